"""Jobs from file to file, which the commands and Python users call."""

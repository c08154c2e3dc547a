"""From file to file: what the commands and Python users both call."""

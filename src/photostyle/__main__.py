"""`python -m photostyle` is the command `photostyle`."""

from photostyle.cli import main

main()

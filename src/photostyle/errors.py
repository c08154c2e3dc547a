"""The one exception that photostyle raises for what a user can mend."""


class PhotostyleError(Exception):
    """One clear sentence that says what is wrong and what to do about it.

    The command line prints it on stderr and exits with 1.
    """

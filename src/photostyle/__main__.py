"""The command, also as `python -m photostyle`."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """`photostyle.cli.main`, imported where an interrupt is no traceback either."""
    try:
        from photostyle import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

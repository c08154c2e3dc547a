"""The entry point of `photostyle` and `python -m photostyle`."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run `photostyle.cli.main`; an interrupt during its import gives no traceback either."""
    try:
        from photostyle import cli

        cli.main()
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    main()

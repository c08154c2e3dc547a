"""The command `photostyle`: every module of this package is the command of its name.

`cli/image.py` defines the click command `image`. A module imports what is heavy (torch, numpy,
Pillow) inside its command, so that `--help` and `--version` answer at once.
"""

from __future__ import annotations

import errno
import os
import pkgutil
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from photostyle.errors import PhotostyleError
from photostyle.version import __version__

_received: list[int] = []
"""The signals that are to end the command."""


def received() -> int | None:
    """The signal that is to end the command, if there was one."""
    return _received[0] if _received else None


class Commands(click.Group):
    """The modules of this package as commands, with one way out for every error."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(import_module(f"{__name__}.{cmd_name}"), cmd_name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return self._invoke(ctx)
        except BaseException:
            if _received:  # libraries make other exceptions of the one that a signal raises
                ctx.exit(128 + _received[0])
            raise

    def _invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PhotostyleError as error:
            raise click.ClickException(str(error)) from error
        except MemoryError as error:
            raise click.ClickException("There is not enough memory for this.") from error
        except RuntimeError as error:  # torch has no MemoryError of its own
            if "memory" not in str(error):
                raise
            raise click.ClickException(
                "There is not enough memory for this; --mode fast or a smaller --tile takes less."
            ) from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # click leaves without a word
                raise
            raise click.ClickException(f"{error.strerror or error}.") from error
        except KeyboardInterrupt:
            ctx.exit(128 + signal.SIGINT)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Give a photo or a video the look of a photo, and keep it real."""


def main() -> NoReturn:
    """The command, which a signal ends by an exception: what is half written is removed."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # What is ignored, as nohup and the background of a shell have it, stays so.
        if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)
    try:
        cli()
    except SystemExit as exit:
        if _received:
            sys.exit(128 + _received[0])
        if not exit.code and "torch" in sys.modules:
            _leave()
        raise
    except BaseException:
        if _received:
            sys.exit(128 + _received[0])
        raise
    finally:
        try:
            sys.stdout.flush()
        except OSError:  # has been told; what is left must not be tried again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit()


def _leave() -> None:
    """End a command that is done at once: it takes Python 0.4 s to take torch apart."""
    with suppress(OSError):  # what cannot be flushed is left to the usual way
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _interrupt(number: int, _: object) -> NoReturn:
    _received.append(number)
    raise KeyboardInterrupt

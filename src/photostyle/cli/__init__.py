"""The command `photostyle`: each module of this package defines the subcommand of the same name.

`cli/image.py` defines the click command `image`, `cli/train_matcher.py` `train-matcher`. Modules
import heavy packages (torch, numpy, Pillow) inside functions, so that `--help` and `--version`
answer at once.
"""

from __future__ import annotations

import errno
import os
import pkgutil
import signal
import sys
import traceback
from contextlib import nullcontext, suppress
from importlib import import_module
from threading import Timer
from typing import Any, NoReturn

import click

from photostyle.cli._quiet import quiet_libraries
from photostyle.errors import PhotostyleError, is_out_of_memory
from photostyle.openmp import limit_spinning
from photostyle.version import __version__

DEBUG = "PHOTOSTYLE_DEBUG"
"""The environment variable that --debug sets, so that child processes inherit it."""

_received: list[int] = []
"""The signals that have been received and end the command."""


class Commands(click.Group):
    """The modules of this package as commands, with error handling for all of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        names = (module.name for module in pkgutil.iter_modules(__path__))
        return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(import_module(f"{__name__}.{name}"), name)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; errors that a user can fix become one sentence, bugs stay exceptions."""
        limit_spinning()
        try:
            with nullcontext() if _debugging() else quiet_libraries():
                return super().invoke(ctx)
        except BaseException as error:
            if _received:  # because of the signal, a library may have raised another exception
                ctx.exit(128 + _received[0])
            if isinstance(error, KeyboardInterrupt):
                ctx.exit(128 + signal.SIGINT)
            sentence = self._sentence(ctx, error)
            if not sentence:
                raise
            if _debugging():
                traceback.print_exc()
            raise click.ClickException(sentence) from error

    def _sentence(self, ctx: click.Context, error: BaseException) -> str | None:
        """The message that says what is wrong and what to do; None for bugs and click's errors."""
        if isinstance(error, PhotostyleError):
            return str(error)
        if is_out_of_memory(error):
            return f"There is not enough memory{self._advice(ctx)}."
        if isinstance(error, OSError) and error.errno != errno.EPIPE:  # click handles closed pipes
            return f"{error.strerror or error}."
        return None

    def _advice(self, ctx: click.Context) -> str:
        """Advice on the command's options that reduce memory use; may be empty."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        options = {parameter.name for parameter in command.params} if command else set()
        if "tile" in options:
            return "; try --mode fast, or a smaller --tile or --working-size"
        return "; try a smaller --working-size" if "working_size" in options else ""


def _set_debug(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001
    if value:
        os.environ[DEBUG] = "1"


def _debugging() -> bool:
    return os.environ.get(DEBUG, "0") not in ("", "0")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.option(
    "--debug",
    is_flag=True,
    expose_value=False,
    callback=_set_debug,
    help=f"Show the traceback of an error; the same as {DEBUG}=1.",
)
def cli() -> None:
    """Give a photo or video the colours and tones of another photo, and keep it photorealistic."""


def main() -> NoReturn:
    """Run the command; signals raise exceptions, so that no half-written file is left behind."""
    _open_missing_streams()
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        # Signals that are ignored, as under nohup or in the background of a shell, stay ignored.
        if number and signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _interrupt)
    sys.unraisablehook = _deliver_again
    try:
        cli()
    except SystemExit as exit:
        if _received:
            sys.exit(128 + _received[0])
        if not exit.code and "torch" in sys.modules:
            _exit_at_once()
        raise
    except BaseException as error:
        if _received:
            sys.exit(128 + _received[0])
        if _debugging():
            raise
        click.echo(
            f"Error: Unexpected {type(error).__name__}: {error}\n"
            "This is a bug in photostyle; `photostyle --debug ...` shows where it happened.",
            err=True,
        )
        sys.exit(1)
    finally:
        try:
            sys.stdout.flush()
        except OSError:  # already reported; Python must not flush again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit()


def _open_missing_streams() -> None:
    """Replace standard streams that are closed (``2>&-``), which Python sets to None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: PTH123, SIM115


def _exit_at_once() -> None:
    """Exit without the 0.4 s that Python takes to unload torch after a successful command."""
    with suppress(OSError):  # the usual exit reports output that cannot be flushed
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _deliver_again(lost: Any) -> None:
    """Send a signal again whose exception Python ignores, as of a weak reference's callback."""
    if _received and isinstance(lost.exc_value, (KeyboardInterrupt, SystemExit)):
        Timer(0.01, os.kill, (os.getpid(), _received[-1])).start()
    else:
        sys.__unraisablehook__(lost)


def _interrupt(number: int, _: object) -> NoReturn:
    """Raise KeyboardInterrupt for Ctrl-C, which `stylize_clip` handles; SystemExit otherwise."""
    _received.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)

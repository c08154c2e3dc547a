"""`photostyle image`: one photo with the look of another."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import click

from photostyle.cli import _options
from photostyle.cli._startup import meanwhile_importing_engine


@click.command()
@click.argument("content", type=click.Path(readable=False))
@click.argument("style", type=click.Path(readable=False))
@click.option(
    "-o",
    "--output",
    type=click.Path(readable=False),
    help="File to write.  [default: CONTENT-STYLE with the extension of CONTENT, "
    "in the current folder; standard output if CONTENT is -]",
)
@click.option(
    "--model", default="photonas", show_default=True, help="photonas, photonet or a weights file."
)
@click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.", metavar="NAME"
)
@click.option(
    "--strength",
    type=click.FloatRange(0, 1),
    default=1.0,
    show_default=True,
    help="How much of the look is taken over.",
)
@_options.way
@_options.threads
@click.option(
    "--depth",
    type=click.Choice(["8", "16", "auto"]),
    default="auto",
    show_default=True,
    help="Bits per channel of the result; auto is that of CONTENT if the format holds it.",
)
@click.option(
    "--profile",
    type=click.Choice(["keep", "srgb"]),
    default="keep",
    show_default=True,
    help="Colour profile of the result: that of CONTENT, or sRGB.",
)
@click.option(
    "--quality", type=click.IntRange(1, 100), help="Of lossy formats.  [default: 95, AVIF, HEIC 90]"
)
@click.option("--strip-metadata", is_flag=True, help="Leave out camera, place, author and so on.")
@click.option("--still", is_flag=True, help="Of an animation take the first frame only.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
@click.option("--compare", is_flag=True, help="Also write content, style and result side by side.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one line of JSON.")
def image(
    content: str,
    style: str,
    output: str | None,
    model: str,
    device: str,
    strength: float,
    mode: Literal["auto", "fast", "exact"],
    working_size: int | None,
    tile: int | None,
    depth: str,
    profile: str,
    quality: int | None,
    strip_metadata: bool,
    still: bool,
    force: bool,
    compare: bool,
    as_json: bool,
) -> None:
    """Give the photo CONTENT the look of the photo STYLE.

    The result has the size of CONTENT. A - reads a photo from standard input and, as the output,
    writes it to standard output.
    """
    if content == style == "-":
        raise click.UsageError("Only one photo can come from standard input.")
    to_stdout = output == "-" or (output is None and content == "-")
    if to_stdout and (as_json or compare):
        raise click.UsageError("--json and --compare need an output file (-o).")
    if to_stdout and sys.stdout.isatty():
        raise click.UsageError("A photo is not written to a terminal: name a file with -o.")

    names = [name for name in (content, style) if name != "-"]
    with meanwhile_importing_engine(all(map(os.path.isfile, names))):
        from photostyle import photo
        from photostyle.allocator import keep_freed_memory
        from photostyle.files import check_target, new_file

        phases = Phases()
        with phases("read"):
            content_photo = photo.read(_source(content), still=still)
            style_photo = photo.read(_source(style), still=True)
            suffix = photo.suffix_for(content_photo, Path(content).suffix)
            if output is None or to_stdout:
                target = Path(f"{_stem(content)}-{_stem(style)}{suffix}")
            else:
                target = Path(output)
            compared = (
                target.with_name(f"{target.stem}-compare{target.suffix}") if compare else None
            )
            format = photo.format_of(target)
            photo.check_depth(format, depth)
            for file in (compared, None if to_stdout else target):
                if file:
                    check_target(file, overwrite=force, inputs={content, style} - {"-"})
    with phases("load"):
        import photostyle

        keep_freed_memory()
        stylizer = photostyle.load(model, device=device)
    with phases("learn"):
        style_photo = style_photo.in_profile(content_photo.profile).with_depth(8)
        learned = stylizer.learn(*style_photo.visible())
    width, height = content_photo.size
    way = stylizer.way(mode, height, width)
    with phases("apply", way) as progress:
        result = content_photo.with_depth(16) if depth == "16" else content_photo
        result = result.restyled(
            lambda pixels, mask: stylizer.apply(
                pixels,
                learned,
                strength,
                mode=way,
                mask=mask,
                in_place=not compare,
                progress=progress,
                **_options.given(working_size=working_size, tile=tile),
            )
        )
    with phases("write"):
        if depth == "8":
            result = result.with_depth(8)
        if profile == "srgb":
            result = result.written_in_srgb()
        settings = f"model {Path(model).stem}, mode {way}, strength {strength:g}"
        result = result.stripped() if strip_metadata else result.stamped(settings)
        if to_stdout:
            photo.encode(result, format, sys.stdout.buffer, quality=quality)
            sys.stdout.buffer.flush()
        else:
            # The result takes its name only when the comparison is complete as well.
            with new_file(target, overwrite=force) as stream:
                photo.encode(result, format, stream, quality=quality)
                if compared:
                    row = photo.side_by_side(content_photo, style_photo, result)
                    photo.write(row, compared, overwrite=force, quality=quality)

    click.echo(f"Mode: {way}.", err=True)
    for note in (
        *content_photo.notes,
        *style_photo.notes,
        *photo.unsupported_features(result, format),
    ):
        click.echo(f"Note: {note}", err=True)
    if to_stdout:
        return
    if not as_json:
        click.echo(os.fsencode(target))  # bytes: a name need not be text
        return
    summary = {
        "output": str(target),
        "compare": str(compared) if compared else None,
        "content_size": content_photo.size,
        "style_size": style_photo.size,
        "model": model,
        "device": str(stylizer.device),
        "mode": way,
        "strength": strength,
        "seconds": {name: round(seconds, 3) for name, seconds in phases.seconds.items()},
    }
    click.echo(json.dumps(summary))


class Phases:
    """Measures the phases of the work and, on a terminal, shows the one that is running."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str, detail: str = "") -> Iterator[Callable[[float], None]]:
        """The block is the phase; it is given what to tell the share that is done, in 0..1."""
        start = time.perf_counter()
        with _bar(f"{name} ({detail})" if detail else name) as progress:
            yield progress
        self.seconds[name] = time.perf_counter() - start


@contextmanager
def _bar(text: str) -> Iterator[Callable[[float], None]]:
    """A bar on stderr, if that is a terminal: it only moves until a first share is told."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=None)
        yield lambda share: bar.update(task, completed=share, total=1)


def _source(name: str) -> Path | BinaryIO:
    return sys.stdin.buffer if name == "-" else Path(name)


def _stem(name: str) -> str:
    return "stdin" if name == "-" else Path(name).stem

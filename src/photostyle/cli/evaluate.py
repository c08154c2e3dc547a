"""`photostyle evaluate`: how good results are, in figures."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from photostyle.errors import PhotostyleError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")
Row = dict[str, Any]
"""What is known of one result: its name and the figures."""

FOLDER = click.Path(path_type=Path, readable=False)


@click.command()
@click.argument("results", required=False, type=FOLDER)
@click.option("--content", type=FOLDER, help="Folder with the content photos.")
@click.option("--style", type=FOLDER, help="Folder with the style photos.")
@click.option("--target", type=FOLDER, help="Folder with what the results should have been.")
@click.option(
    "--teacher",
    type=click.Path(path_type=Path, readable=False),
    help="VGG-19 weights, for gram and style.",
)
@click.option("--graded", type=FOLDER, help="Folder of photos to make graded pairs from.")
@click.option(
    "--model",
    default="photonas",
    show_default=True,
    help="With --graded: photonas, photonet or a weights file.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="With --graded: the draw."
)
@click.option(
    "--cube",
    "cubes",
    multiple=True,
    type=click.Path(path_type=Path, readable=False),
    help="With --graded: a .cube file as one more look; may be repeated.",
)
@click.option("--plain-content", is_flag=True, help="With --graded: leave the content ungraded.")
@click.option(
    "--reconstruct", is_flag=True, help="With --graded: also each photo as its own style."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one line of CSV per result.")
@click.option(
    "--sheet",
    type=click.Path(path_type=Path, readable=False),
    help="Also write a contact sheet, sorted from worst to best.",
)
@click.option("--force", is_flag=True, help="Overwrite an existing sheet.")
def evaluate(
    results: Path | None,
    content: Path | None,
    style: Path | None,
    target: Path | None,
    teacher: Path | None,
    graded: Path | None,
    model: str,
    seed: int,
    cubes: tuple[Path, ...],
    plain_content: bool,
    reconstruct: bool,
    device: str,
    as_json: bool,
    as_csv: bool,
    sheet: Path | None,
    force: bool,
) -> None:
    """Measure how good the photos in the folder RESULTS are.

    The photos in RESULTS, --content, --style and --target belong together by their names without
    extension. The measures are defined in photostyle.evaluation.metrics; score sums them up, and the sheet is
    sorted by it. Of lip the median stands below, of the others the mean.

    \b
    higher is better   score; style, bc; grad, struct; psnr, ssim
    lower is better    gram, swd; lip, clip (%), noise, halo (1 is none); ciede2000

    With --graded in place of RESULTS a model is measured where the right answer is known: of each
    photo two crops in two looks are the content and the style, and the content's crop in the look
    of the style is the target.
    """
    if (results is None) == (graded is None):
        raise click.UsageError("Give either a folder RESULTS or --graded with a folder.")
    if graded and (content or style or target or teacher):
        raise click.UsageError("--graded makes its own content, style and target, and no teacher.")
    if results and (cubes or plain_content or reconstruct):
        raise click.UsageError("--cube, --plain-content and --reconstruct belong to --graded.")
    if as_json and as_csv:
        raise click.UsageError("Choose one of --json and --csv.")

    from photostyle import photo
    from photostyle.evaluation import metrics
    from photostyle.files import check_target
    from photostyle.photo.contact_sheet import save_sheet

    if sheet:
        photo.format_of(sheet)
        check_target(sheet, overwrite=force)
    if graded:
        measured = _graded(graded, model, seed, cubes, plain_content, reconstruct, device)
        key, show = "psnr", _print_summary
    elif results and content and style:
        folders = {"content": content, "style": style, "result": results}
        if target:
            folders["target"] = target
        measured = _matched(folders, teacher, device)
        key, show = "score", _print_table
    else:
        raise click.UsageError("RESULTS can only be measured with --content and --style.")

    rows, strips = [], []
    for row, strip in measured:
        rows.append(row)
        strips.append(strip if sheet else [])
    if sheet:
        order = sorted(range(len(rows)), key=lambda number: rows[number][key])
        save_sheet([strips[i] for i in order], sheet, [_caption(rows[i]) for i in order])
    if as_json:
        mean = metrics.mean([_figures(row) for row in rows])
        click.echo(json.dumps({"mean": mean, "photos": rows}, indent=1))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    else:
        show(rows)


def _matched(
    folders: dict[str, Path], teacher: Path | None, device: str
) -> Iterable[tuple[Row, list[npt.NDArray[np.uint8]]]]:
    """For every result its figures, and content | style | result as thumbnails."""
    from photostyle import photo
    from photostyle.evaluation import metrics
    from photostyle.photo.contact_sheet import thumbnail

    found = {role: _photos(folder) for role, folder in folders.items()}
    for name in found["result"]:
        for role, photos in found.items():
            if name not in photos:
                raise PhotostyleError(
                    f"The {role} folder {str(folders[role])!r} has no photo named {name!r}."
                )
    network = None
    if teacher:
        from photostyle.model.vgg import VGGFeatures
        from photostyle.transfer.stylizer import choose_device

        network = VGGFeatures.load(teacher).to(choose_device(device))
    else:
        click.echo("Without --teacher, gram and style are left out.", err=True)

    for name in _progress(list(found["result"])):
        pixels = {
            role: photo.read(photos[name], still=True).in_srgb() for role, photos in found.items()
        }
        try:
            figures = metrics.measure(**pixels, teacher=network)
        except PhotostyleError as error:
            raise PhotostyleError(f"{name!r} cannot be measured: {error}") from error
        shown = [thumbnail(pixels[role]) for role in ("content", "style", "result")]
        yield {"name": name, **figures}, shown


def _graded(
    folder: Path,
    model: str,
    seed: int,
    cubes: Sequence[Path],
    plain_content: bool,
    reconstruct: bool,
    device: str,
) -> Iterable[tuple[Row, list[npt.NDArray[np.uint8]]]]:
    """For every triple the model's figures, and content | style | result | target."""
    import numpy as np

    import photostyle
    from photostyle import lut, photo
    from photostyle.evaluation import graded_pairs, metrics
    from photostyle.photo.contact_sheet import thumbnail

    files = [(path.name, lut.read(path)) for path in cubes]
    photos = _photos(folder)
    stylizer = photostyle.load(model, device=device)
    for number, (name, path) in enumerate(_progress(list(photos.items()))):
        pixels = photo.read(path, still=True).in_srgb()
        # Every photo comes once in a random grade and once in a .cube file, these in turn.
        looks: list[tuple[str, graded_pairs.Look | None]] = [("random", None)]
        if files:
            looks.append(files[number % len(files)])
        own = {}
        if reconstruct:
            own["reconstruction"] = metrics.psnr(
                pixels, stylizer.apply(pixels, stylizer.learn(pixels))
            )
        for kind, (look_name, look) in enumerate(looks):
            rng = np.random.default_rng([seed, number, kind])
            triple = graded_pairs.triple(
                pixels, rng, look, graded_pairs.plain if plain_content else None
            )
            result = stylizer.apply(triple.content, stylizer.learn(triple.style))
            figures = graded_pairs.compare(triple, result) | own
            shown = [triple.content, triple.style, result, triple.target]
            yield {"name": name, "look": look_name, **figures}, [thumbnail(p) for p in shown]


def _photos(folder: Path) -> dict[str, Path]:
    """The photos in a folder by their names without extension, sorted."""
    from PIL import Image

    Image.init()
    if not folder.is_dir():
        raise PhotostyleError(f"There is no folder {str(folder)!r}.")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        readable = Image.EXTENSION.get(path.suffix.lower()) in Image.OPEN
        if readable and not path.name.startswith("."):
            if path.stem in found:
                raise PhotostyleError(
                    f"The folder {str(folder)!r} has two photos named {path.stem!r}; keep one."
                )
            found[path.stem] = path
    if not found:
        raise PhotostyleError(f"The folder {str(folder)!r} holds no photos.")
    return found


def _progress(items: Sequence[T]) -> Iterable[T]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    return track(
        items, "measuring", console=console, disable=not console.is_terminal, transient=True
    )


def _figures(row: Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if not isinstance(value, str)}


def _caption(row: Row) -> str:
    names = [value for value in row.values() if isinstance(value, str)]
    return "   ".join([*names, *(f"{name} {value:.3g}" for name, value in _figures(row).items())])


def _print_table(rows: list[Row]) -> None:
    from photostyle.evaluation import metrics

    mean = {"name": "mean"} | metrics.mean([_figures(row) for row in rows])
    _print(rows, mean)


def _print_summary(rows: list[Row]) -> None:
    from photostyle.evaluation import metrics

    groups = {"all": rows}
    for row in rows:
        kind = "random looks" if row["look"] == "random" else ".cube looks"
        groups.setdefault(kind, []).append(row)
    table = []
    for kind, members in groups.items():
        mean = metrics.mean([_figures(row) for row in members])
        unchanged = {name: mean.pop(f"content_{name}") for name in ("psnr", "ssim", "ciede2000")}
        share = mean.pop("improved")
        table.append({"": f"{kind}: result", **mean, "improved": f"{share:.0%} of {len(members)}"})
        table.append({"": f"{kind}: content unchanged", **unchanged})
    _print(table)


def _print(rows: list[Row], footer: Row | None = None) -> None:
    """A table of rows, its columns those of the first row."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_footer=footer is not None, header_style="bold")
    for number, name in enumerate(rows[0]):
        table.add_column(
            name,
            _text(footer[name]) if footer else "",
            justify="right" if number else "left",
            no_wrap=True,
        )
    for row in rows:
        table.add_row(*(_text(row.get(name, "")) for name in rows[0]))
    # Wide enough that no figure is cut off: a pipe has no width, and a narrow terminal wraps.
    Console(width=1000).print(table)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"

"""Measures folders of photos, for `photostyle evaluate`; imports nothing heavy."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from photostyle.errors import PhotostyleError
from photostyle.evaluation.options import Crops
from photostyle.jobs.progress import Progress, silent
from photostyle.jobs.report import Result, check_page, reduced, side, write_page

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from photostyle.lut import Lut
    from photostyle.model.vgg import VGGFeatures
    from photostyle.transfer.options import Match

    Measured = tuple[dict[str, Any], dict[str, npt.NDArray[np.uint8]]]
    """A row of figures, and photos (H, W, 3) by their roles, in the order in which to show them."""

Row = dict[str, Any]
"""The name of a result and its figures."""


def evaluate_results(
    results: Path,
    content: Path,
    style: Path,
    *,
    target: Path | None = None,
    vgg: Path | None = None,
    content_masks: Path | None = None,
    style_masks: Path | None = None,
    device: str = "auto",
    sheet: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Row]:
    """Measure the photos in a folder of results with `photostyle.evaluation.metrics.measure`.

    Each row has the name of a result and its metrics. Photos in the folders ``results``,
    ``content``, ``style`` and ``target`` (the correct results) are matched by their names without
    extension. vgg: VGG-19 weights, for gram and style. content_masks, style_masks: folders of label
    maps (see `photostyle.photo.label_map`), for region_style; give both. device: as in
    `photostyle.load`. sheet: a contact sheet to write, with content | style | result by ascending
    score. report: a page to write, with contents and results under sliders (see
    `photostyle.jobs.report`).

    Raises PhotostyleError if photos are missing, unreadable or cannot be measured, or if the sheet
    or the page exists and ``overwrite`` is False.
    """
    folders = {"content": content, "style": style, "result": results}
    if target:
        folders["target"] = target
    if content_masks and style_masks:
        folders |= {"content mask": content_masks, "style mask": style_masks}
    photos = _matching_photos(folders)
    _check_outputs(sheet, report, overwrite)
    measured = _measure_results(photos, _load_vgg(vgg, device) if vgg else None)
    settings = {role: folder.name for role, folder in folders.items()}
    page = _Page(report, f"Results in {results.name}", settings, overwrite) if report else None
    return _collect(measured, len(photos), sheet, page, "score", progress)


def evaluate_graded(
    graded: Path,
    *,
    model: str = "photonas",
    match: Match = "auto",
    seed: int = 0,
    crops: Crops = "overlap",
    cubes: Sequence[Path] = (),
    plain_content: bool = False,
    reconstruct: bool = False,
    device: str = "auto",
    sheet: Path | None = None,
    report: Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> list[Row]:
    """Measure a model on graded pairs of the photos in a folder; see `evaluation.graded_pairs`.

    Each row has the name, the grade ("random" or the name of a .cube file) and the figures of
    `photostyle.evaluation.graded_pairs.compare`.

    model: bundled name or weights file. match: as in `Stylizer.apply`. seed: of crops and grades.
    crops: how much content and style have in common. cubes: .cube files, or folders of them, that
    grade the styles instead of random grades; each photo gets one of them, all equally often, in an
    order that the seed draws. plain_content: leave the content ungraded. reconstruct: add the PSNR
    of each photo stylized with itself. device: as in `photostyle.load`. sheet: a contact sheet to
    write, with content | style | result | target by ascending PSNR. report: as in
    `evaluate_results`.

    Raises PhotostyleError if files are missing or unreadable, or if the sheet or the page exists
    and ``overwrite`` is False.
    """
    from photostyle import lut

    photos = _find_photos(graded)
    _check_outputs(sheet, report, overwrite)
    looks = [(path.name, lut.read(path)) for path in _find_cubes(cubes)]
    measured = _measure_graded(
        photos, looks, model, match, device, seed, crops, plain_content, reconstruct
    )
    settings = {"model": Path(model).stem, "match": match, "seed": seed, "crops": crops}
    page = _Page(report, f"Graded pairs of {graded.name}", settings, overwrite) if report else None
    return _collect(measured, len(photos), sheet, page, "psnr", progress)


def summarize(rows: Sequence[Row]) -> dict[str, float]:
    """The mean of each figure of ``rows``; see `photostyle.evaluation.metrics.mean`.

    Graded pairs also get worst_tenth: the mean PSNR of the result minus that of the unchanged
    content, in dB, over the tenth of the pairs where this difference is lowest.
    """
    from photostyle.evaluation import metrics

    means = metrics.mean([_figures(row) for row in rows])
    if "content_psnr" in means:
        from photostyle.evaluation.graded_pairs import worst_tenth

        means["worst_tenth"] = worst_tenth([row["psnr"] - row["content_psnr"] for row in rows])
    return means


def _measure_results(
    photos: dict[str, dict[str, Path]], vgg: VGGFeatures | None
) -> Iterator[Measured]:
    from photostyle import photo
    from photostyle.evaluation import metrics
    from photostyle.photo.label_map import read_label_maps

    for name, paths in photos.items():
        masks = [paths.pop(role) for role in ("content mask", "style mask") if role in paths]
        maps = read_label_maps(*masks) if masks else None
        labels = (maps.content, maps.style) if maps else None
        pixels = {role: photo.read(path, still=True).in_srgb() for role, path in paths.items()}
        try:
            figures = metrics.measure(**pixels, vgg=vgg, labels=labels)
        except PhotostyleError as error:
            raise PhotostyleError(f"{name!r} cannot be measured: {error}") from error
        shown = {role: pixels[role] for role in ("content", "style", "result")}
        yield {"name": name, **figures}, shown


def _measure_graded(
    photos: dict[str, Path],
    looks: list[tuple[str, Lut]],
    model: str,
    match: Match,
    device: str,
    seed: int,
    crops: Crops,
    plain_content: bool,
    reconstruct: bool,
) -> Iterator[Measured]:
    import numpy as np

    from photostyle import photo
    from photostyle.evaluation import graded_pairs, metrics
    from photostyle.transfer.stylizer import load

    stylizer = load(model, device=device)
    content_grading = graded_pairs.ungraded if plain_content else None
    order = np.random.default_rng(seed).permutation(len(looks))
    for number, (name, path) in enumerate(photos.items()):
        pixels = photo.read(path, still=True).in_srgb()
        grade, grading = looks[order[number % len(looks)]] if looks else ("random", None)
        rng = np.random.default_rng([seed, number])
        triple = graded_pairs.triple(pixels, rng, grading, content_grading, crops)
        result = stylizer.apply(triple.content, stylizer.learn(triple.style), match=match)
        figures = graded_pairs.compare(triple, result)
        if reconstruct:
            own = stylizer.apply(pixels, stylizer.learn(pixels), match=match)
            figures["reconstruction"] = metrics.psnr(pixels, own)
        shown = {
            "content": triple.content,
            "style": triple.style,
            "result": result,
            "target": triple.target,
        }
        yield {"name": name, "grade": grade, **figures}, shown


class _Page(NamedTuple):
    """A page to write, see `photostyle.jobs.report`."""

    path: Path
    title: str
    settings: Mapping[str, object]
    overwrite: bool

    def write(self, results: Iterable[Result], rows: Sequence[Row]) -> None:
        """Write the results, which add to ``rows`` as they are taken."""
        write_page(
            results,
            self.path,
            title=self.title,
            settings=self.settings,
            means=lambda: summarize(rows),
            overwrite=self.overwrite,
        )


def _collect(
    measured: Iterable[Measured],
    count: int,
    sheet: Path | None,
    page: _Page | None,
    key: str,
    progress: Progress,
) -> list[Row]:
    """The rows of ``measured``; writes the sheet, sorted by ascending ``key``, and the page."""
    from photostyle.photo.contact_sheet import save_sheet, thumbnail

    progress("measuring", 0, count)
    rows: list[Row] = []
    strips = []

    def results() -> Iterator[Result]:
        for row, photos in measured:
            rows.append(row)
            strips.append([thumbnail(pixels) for pixels in photos.values()] if sheet else [])
            if page:
                yield _result(row, photos, side(count))
            progress("measuring", len(rows), count)

    if page:
        page.write(results(), rows)
    else:
        deque(results(), maxlen=0)
    if sheet:
        order = sorted(range(len(rows)), key=lambda number: rows[number][key])
        save_sheet([strips[i] for i in order], sheet, [_caption(rows[i]) for i in order])
    return rows


def _result(row: Row, photos: Mapping[str, npt.NDArray[np.uint8]], size: int) -> Result:
    """A row with its photos, reduced to a long side of ``size`` pixels."""
    return Result(
        row["name"],
        reduced(photos["content"], size),
        reduced(photos["result"], size),
        {role: photos[role] for role in ("style", "target") if role in photos},
        {name: value for name, value in row.items() if name != "name"},
    )


def _matching_photos(folders: dict[str, Path]) -> dict[str, dict[str, Path]]:
    """The photo of every role for each result, by the result's name."""
    found = {role: _find_photos(folder) for role, folder in folders.items()}
    for name in found["result"]:
        for role, photos in found.items():
            if name not in photos:
                raise PhotostyleError(
                    f"The {role} folder {str(folders[role])!r} has no photo named {name!r}."
                )
    return {name: {role: found[role][name] for role in folders} for name in found["result"]}


def _find_photos(folder: Path) -> dict[str, Path]:
    """The photos in a folder by their names without extension, sorted."""
    from PIL import Image

    Image.init()
    if not folder.is_dir():
        raise PhotostyleError(f"The folder {str(folder)!r} does not exist.")
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
        raise PhotostyleError(f"The folder {str(folder)!r} has no photos.")
    return found


def _find_cubes(paths: Iterable[Path]) -> list[Path]:
    """The .cube files among ``paths`` and in the folders among them."""
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".cube")
        if not files:
            raise PhotostyleError(f"The folder {str(path)!r} has no .cube files.")
        found += files
    return found


def _load_vgg(path: Path, device: str) -> VGGFeatures:
    from photostyle.model.vgg import VGGFeatures
    from photostyle.transfer.stylizer import choose_device

    return VGGFeatures.load(path).to(choose_device(device))


def _check_outputs(sheet: Path | None, page: Path | None, overwrite: bool) -> None:
    from photostyle import photo
    from photostyle.files import check_target

    if sheet:
        photo.format_of(sheet)
        check_target(sheet, overwrite=overwrite)
    if page:
        check_page(page, overwrite=overwrite)


def _figures(row: Row) -> dict[str, float]:
    return {name: value for name, value in row.items() if not isinstance(value, str)}


def _caption(row: Row) -> str:
    names = [value for value in row.values() if isinstance(value, str)]
    return "   ".join([*names, *(f"{name} {value:.3g}" for name, value in _figures(row).items())])

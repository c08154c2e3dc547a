"""The page, made with Gradio: drop a photo and a style, move the strength, download what you like.

Whatever goes wrong is shown as a sentence without paths of this machine.
"""

from __future__ import annotations

import re
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from PIL import Image

from photostyle import photo
from photostyle.errors import PhotostyleError, is_out_of_memory
from photostyle.jobs.photo import default_output
from photostyle.jobs.report import shown
from photostyle.jobs.styles import StyleInputs
from photostyle.photo import Photo
from photostyle.photo.limits import at_most
from photostyle.transfer.options import KEEPS, MATCHES, MAX_STRENGTH
from photostyle.transfer.stylizer import Stylizer
from photostyle.ui.look import Look, Settings

MAX_PIXELS = 150_000_000
"""The largest photo that the page takes."""

FORGET = 3600
"""Seconds after which a photo is forgotten that nobody looks at."""

_KEPT = 50
"""How many previews are kept."""

CSS = """
footer { display: none !important; }
"""
_REGIONS = "how far each region takes the colours of its counterpart: 0 is the match global"
_KEEP = "what stays as it is: luma, chroma, or the hue of human skin"
_MATCH = (
    "auto: region by region, or the grade where both show the same scene; regions: always region "
    "by region; global: the palette of the whole style; none: as the network colours it"
)
# The button that holds the file is hidden: it downloads when the file has been written.
_DOWNLOAD = "() => setTimeout(() => document.querySelector('#download')?.click(), 100)"

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(frozen=True)
class Opened:
    """The files of one visitor, and what has been made of them."""

    photo_file: str
    photo: Photo
    style_file: str
    styles: StyleInputs
    look: Look


class Desk:
    """What the page does; files are read from and written to one folder alone."""

    def __init__(self, stylizer: Stylizer, folder: Path) -> None:
        self.stylizer, self.folder = stylizer, folder.resolve()
        self._previews: deque[Path] = deque()

    def opened(self, photo_file: str, style_file: str, known: Opened | None) -> Opened:
        """Both files read; what is ``known`` is not read again."""
        if known and (known.photo_file, known.style_file) == (photo_file, style_file):
            return known
        with at_most(MAX_PIXELS):
            same = known and known.photo_file == photo_file
            content = (
                known.photo if known and same else photo.read(self._own(photo_file), still=True)
            )
            styles = StyleInputs(self._own(style_file))
        look = Look(self.stylizer, content, styles)
        return Opened(photo_file, content, style_file, styles, look)

    def preview(self, pixels: Any) -> str:
        """A picture for the browser."""
        path = self.folder / f"preview-{secrets.token_hex(8)}.jpg"
        Image.fromarray(pixels).save(path, quality=92, subsampling=0)
        self._previews.append(path)
        while len(self._previews) > _KEPT:
            self._previews.popleft().unlink(missing_ok=True)
        return str(path)

    def target(self, name: str) -> Path:
        """A new file to be downloaded under a name."""
        folder = self.folder / secrets.token_hex(8)
        folder.mkdir()
        return folder / name

    def _own(self, file: str) -> Path:
        """An uploaded file; raises PhotostyleError for any other file of the machine."""
        path = Path(file).resolve()
        if not path.is_relative_to(self.folder):
            raise PhotostyleError("The file was not uploaded; drop it on the page again.")
        return path

    def sentence(self, error: Exception) -> str:
        """What to show of an error: no path, and nothing of a bug but its kind."""
        if is_out_of_memory(error):
            return "There is not enough memory; use a smaller photo."
        if not isinstance(error, PhotostyleError):
            return f"Unexpected {type(error).__name__}; the terminal shows where it happened."
        folder = rf"[^'\"]*{re.escape(self.folder.name)}[\\/]+([0-9a-f]{{16,}}[\\/]+)?"
        return re.sub(folder, "", str(error))


def build(stylizer: Stylizer, folder: Path) -> gr.Blocks:
    """The page for a stylizer. folder: where Gradio keeps uploads."""
    desk = Desk(stylizer, folder)

    def explained(handler: Handler) -> Handler:
        """A handler whose errors are shown on the page, as sentences."""

        @wraps(handler)
        def call(*arguments: Any) -> Any:
            try:
                return handler(*arguments)
            except Exception as error:
                known = isinstance(error, PhotostyleError)
                raise gr.Error(desk.sentence(error), print_exception=not known) from error

        return call  # type: ignore[return-value]

    @explained
    def answer(photo_file: str | None, style_file: str | None, known: Any, *chosen: Any) -> Any:
        if not (photo_file and style_file):
            return None, None, None, "Drop a photo and a style."
        opened = desk.opened(photo_file, style_file, known)
        look, settings = opened.look, Settings(*chosen)
        look.fit_for(settings, [1.0])
        picture = desk.preview(_style_picture(opened))
        return opened, _pair(look, settings), picture, _notes(opened)

    @explained
    def refine(opened: Opened | None, *chosen: Any) -> Any:
        """The maps of other settings, so that the network need not run when they are changed."""
        if opened is None:
            return gr.skip()
        settings = Settings(*chosen)
        opened.look.fit_for(settings)
        shown_already = settings.strength == 1
        opened.look.fit_for(replace(settings, regions=0))
        return gr.skip() if shown_already else _pair(opened.look, settings)

    @explained
    def change(opened: Opened | None, *chosen: Any) -> Any:
        if opened is None:
            return gr.skip()
        settings = Settings(*chosen)
        opened.look.fit_for(settings, [1.0])
        return _pair(opened.look, settings)

    def _pair(look: Look, settings: Settings) -> tuple[str, str]:
        return desk.preview(look.before()), desk.preview(look.after(settings))

    def written(suffix: str) -> Callable[..., str]:
        @explained
        def write(opened: Opened | None, *chosen: Any) -> str:
            if opened is None:
                raise PhotostyleError("Drop a photo and a style first.")
            look, name, settings = opened.look, opened.styles.name, Settings(*chosen)
            look.fit_for(settings)
            if suffix == ".style":
                target = desk.target(f"{name}.style")
                look.write_style(target)
                return str(target)
            default = default_output(look.photo, Path(opened.photo_file), name)
            if suffix == ".cube":
                target = desk.target(f"{default.stem}.cube")
                look.write_cube(target, settings)
                return str(target)
            target = desk.target(default.name)
            photo.write(look.result(settings), target)
            return str(target)

        return write

    with gr.Blocks(title="photostyle", analytics_enabled=False, delete_cache=(600, FORGET)) as page:
        opened = gr.State(None, time_to_live=FORGET)
        gr.Markdown("# photostyle\nGive a photo the colours and tones of another photo.")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                content = gr.File(label="Photo", height=150, elem_id="photo")
                style = gr.File(
                    label="Style: a photo or a .style file", height=120, elem_id="style"
                )
                picture = gr.Image(
                    label="Style", height=140, interactive=False, buttons=[], elem_id="picture"
                )
                strength = gr.Slider(
                    0, MAX_STRENGTH, value=1, step=0.05, label="Strength", elem_id="strength"
                )
                regions = gr.Slider(
                    0, 1, value=1, step=0.05, label="Regions", elem_id="regions", info=_REGIONS
                )
                match = gr.Radio(
                    list(MATCHES), value="auto", label="Match", elem_id="match", info=_MATCH
                )
                keep = gr.Radio(list(KEEPS), value="none", label="Keep", elem_id="keep", info=_KEEP)
            with gr.Column(scale=3):
                slider = gr.ImageSlider(
                    label="Before and after",
                    interactive=False,
                    max_height=720,
                    buttons=["fullscreen"],
                    elem_id="slider",
                )
                notes = gr.Markdown("Drop a photo and a style.", elem_id="notes")
                with gr.Row():
                    buttons = {
                        suffix: gr.Button(f"Download {name}", elem_id=f"save-{name.strip('.')}")
                        for suffix, name in (("", "photo"), (".style",) * 2, (".cube",) * 2)
                    }
                file = gr.DownloadButton("Download", visible="hidden", elem_id="download")

        options: dict[str, Any] = {
            "concurrency_id": "engine",
            "concurrency_limit": 1,
            "api_visibility": "private",
        }
        chosen = [match, strength, regions, keep]
        look = [opened, *chosen]
        for trigger in (content.change, style.change, match.input):
            answered = trigger(
                answer,
                [content, style, *look],
                [opened, slider, picture, notes],
                **options,
            )
            answered.success(refine, look, [slider], show_progress="hidden", **options)
        for changed in (strength, regions, keep):
            changed.change(
                change,
                look,
                [slider],
                trigger_mode="always_last",
                show_progress="hidden",
                **options,
            )
        match.change(
            lambda match: gr.update(interactive=match in ("auto", "regions")),
            [match],
            [regions],
            show_progress="hidden",
            **options,
        )
        for suffix, button in buttons.items():
            button.click(written(suffix), look, [file], **options).success(
                None, js=_DOWNLOAD, api_visibility="private"
            )
    return page


def theme() -> gr.themes.Base:
    """A theme with fonts of the system: others would be loaded from the network."""
    fonts = [gr.themes.Font("system-ui"), gr.themes.Font("sans-serif")]
    mono = [gr.themes.Font("ui-monospace"), gr.themes.Font("monospace")]
    return gr.themes.Default(font=fonts, font_mono=mono)


def _style_picture(opened: Opened) -> Any:
    return shown(opened.styles.pictures(opened.look.style)[0], 600)


def _notes(opened: Opened) -> str:
    width, height = opened.photo.size
    names = (Path(file).name for file in (opened.photo_file, opened.style_file))
    about = f"{' like '.join(names)}, {width} x {height}."
    notes = (*opened.photo.notes, *opened.styles.notes)
    return " ".join([about, *(note.rpartition("': ")[2] for note in notes)])

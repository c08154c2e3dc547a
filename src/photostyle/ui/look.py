"""A photo in a style, at any strength at once: what the network made of it is kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from photostyle.jobs.lut import write_fitted
from photostyle.jobs.photo import software
from photostyle.jobs.report import shown
from photostyle.lut import pairs
from photostyle.lut.fit import fit as fit_lut
from photostyle.photo import Photo
from photostyle.transfer.options import Keep, Match
from photostyle.transfer.photo_maps import PhotoMaps

if TYPE_CHECKING:
    from photostyle.jobs.styles import StyleInputs
    from photostyle.transfer.stylizer import Stylizer

PREVIEW = 1200
"""Long side of a preview, in pixels."""

STRENGTHS = (1.0, 0.5, 1.5)
"""The strengths that the network computes, for each match; maps of others lie between theirs."""


@dataclass(frozen=True)
class Settings:
    """How a photo is shown.

    regions: 0..1, from the palette of the whole style photo to what ``match`` makes of regions; no
    other match has any. keep: see `Keep`.
    """

    match: Match = "auto"
    strength: float = 1.0
    regions: float = 1.0
    keep: Keep = "none"


class Look:
    """A photo in a style.

    photo: a still. styles: the style, or several as a mix. Raises PhotostyleError as
    `StyleInputs.learn` does.
    """

    def __init__(self, stylizer: Stylizer, photo: Photo, styles: StyleInputs) -> None:
        self.photo, self.styles = photo, styles
        self._stylizer = stylizer
        self.style = styles.learn(stylizer, photo.profile)
        self._small = _reduced(photo)
        self._maps: dict[tuple[Match, float], PhotoMaps] = {}

    def fit(self, match: Match, strengths: Iterable[float] = STRENGTHS) -> None:
        """Run the network for these strengths, unless their maps are kept already."""
        pixels, mask = self.photo.visible()
        for strength in strengths:
            if (match, strength) not in self._maps:
                self._maps[match, strength] = self._stylizer.fit(
                    pixels, self.style, strength, match=match, mask=mask, keep="skin"
                )

    def fit_for(self, settings: Settings, strengths: Iterable[float] = STRENGTHS) -> None:
        """`fit` for what `maps` of these settings need."""
        strengths = tuple(strengths)
        self.fit(settings.match, strengths)
        if _mixes(settings):
            self.fit("global", strengths)

    def maps(self, settings: Settings) -> PhotoMaps:
        """The maps for settings, after `fit_for`.

        The more regions, the closer to the maps of the match, and the farther from those of the
        whole.
        """
        maps = self._maps_of(settings.match, settings.strength)
        if not _mixes(settings):
            return maps
        return self._maps_of("global", settings.strength).lerp(maps, settings.regions)

    def _maps_of(self, match: Match, strength: float) -> PhotoMaps:
        """The maps for a strength, after `fit` for this match and at least the strength 1.

        Those of `fit` themselves, or a quadratic through the strengths 0, 0.5 and 1, and a line
        from 1 to 1.5; a line through 0 and 1 as long as these are all.
        """
        full = self._maps[match, 1.0]
        half, most = (self._maps.get((match, known)) for known in (0.5, 1.5))
        if strength > 1 and most:
            return full.lerp(most, 2 * strength - 2)
        if strength <= 1 and half:  # Neville's algorithm
            return half.blend(2 * strength).lerp(half.lerp(full, 2 * strength - 1), strength)
        return full.blend(strength)

    def before(self) -> npt.NDArray[np.uint8]:
        """The photo, to be shown: (H, W, 3), uint8, sRGB."""
        return shown(self._small, PREVIEW)

    def after(self, settings: Settings) -> npt.NDArray[np.uint8]:
        """The result, to be shown, with `maps`: (H, W, 3), uint8, sRGB."""
        return shown(self._applied(self._small, settings), PREVIEW)

    def result(self, settings: Settings) -> Photo:
        """The result at full resolution, with `maps`; its metadata name the settings."""
        stamp = software(
            self._stylizer.name,
            "fast",
            settings.strength,
            settings.match,
            settings.keep,
            settings.regions if _mixes(settings) else 1.0,
        )
        return self._applied(self.photo, settings).stamped(stamp)

    def write_cube(self, target: Path, settings: Settings) -> None:
        """Write the LUT that comes closest, see `photostyle.jobs.lut.make_lut`."""
        before, after = (
            photo.in_srgb() for photo in (self._small, self._applied(self._small, settings))
        )
        examples = pairs.examples(before, after)
        lut = fit_lut(examples, 33, smoothness=1.0, identity=0.01)
        write_fitted(lut, target, target.stem, True, True, examples)

    def write_style(self, target: Path) -> None:
        """Write the style file, see `photostyle.jobs.style_files.learn_style_file`."""
        from photostyle.transfer import style_file

        style_file.write(self.styles.learn(self._stylizer), target, overwrite=True)

    def _applied(self, photo: Photo, settings: Settings) -> Photo:
        if settings.strength == 0:
            return photo
        width, height = photo.size
        maps = self.maps(settings)
        if photo is not self.photo:
            maps = maps.resized(height, width)
        return photo.map_visible(lambda pixels, _: maps.apply(pixels, settings.keep))


def _mixes(settings: Settings) -> bool:
    return settings.regions < 1 and settings.match in ("auto", "regions")


def _reduced(photo: Photo) -> Photo:
    """A copy with 8 bits per channel and a long side of at most PREVIEW pixels."""
    photo = photo.with_depth(8)
    if max(photo.size) <= PREVIEW:
        return photo
    scale = PREVIEW / max(photo.size)
    width, height = (max(1, round(side * scale)) for side in photo.size)

    def resized(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return np.array(Image.fromarray(values).resize((width, height), Image.Resampling.LANCZOS))

    pixels = resized(np.asarray(photo.visible()[0], np.uint8))
    alpha = None if photo.alpha is None else resized(np.asarray(photo.alpha, np.uint8))
    return replace(photo, pixels=pixels, alpha=alpha)

"""Masks of a photo job, read from files and brought to the sizes of the photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from photostyle.errors import PhotostyleError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from photostyle.photo.label_map import LabelMaps, Weights

    Source = Path | BinaryIO
    Size = tuple[int, int]
    Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Masks:
    """The masks of a content and a style photo, at the sizes of the photos.

    regions: label maps with common labels, if any. only: (H, W), 0..1, how much of the change each
    pixel of the content takes; None for all of it.
    """

    regions: LabelMaps | None
    only: Weights | None

    @classmethod
    def read(
        cls, sources: Sequence[Source | None], content_size: Size, style_size: Size | None
    ) -> Masks:
        """Read masks for photos of these sizes (width, height); None if there is no style photo.

        sources: the label maps of content and style, both or neither, and the mask for ``only``.
        Raises PhotostyleError if a mask cannot be read, is no label map, or has another shape than
        its photo.
        """
        from photostyle.photo import label_map

        content_mask, style_mask, only = sources
        regions = weights = None
        if content_mask is not None and style_mask is not None:
            if style_size is None:
                raise PhotostyleError("Masks of regions need one style photo, not a mix or a file.")
            maps = label_map.read_label_maps(content_mask, style_mask)
            _check_shape(maps.content, content_mask, content_size, "content")
            _check_shape(maps.style, style_mask, style_size, "style")
            regions = label_map.LabelMaps(
                label_map.resized_labels(maps.content, *content_size[::-1]),
                label_map.resized_labels(maps.style, *style_size[::-1]),
                maps.names,
            )
        if only is not None:
            weights = label_map.read_weights(only)
            _check_shape(weights, only, content_size, "content")
            weights = label_map.resized_weights(weights, *content_size[::-1])
        return cls(regions, weights)

    @property
    def content(self) -> Labels | None:
        """(H, W), the number of the region of each pixel of the content, if there are regions."""
        return self.regions and self.regions.content

    @property
    def style(self) -> Labels | None:
        """(H, W), the number of the region of each pixel of the style, if there are regions."""
        return self.regions and self.regions.style

    def notes(self) -> Iterator[str]:
        """Sentences on regions that are missing from one photo, or too rare in it."""
        if self.regions is None:
            return
        from photostyle.transfer.regions import RARE

        content, style, names = self.regions
        unused, missing, small = [], [], []
        areas = (_areas(labels, len(names)) for labels in (content, style))
        for name, ours, theirs in zip(names, *areas, strict=True):
            if not ours:
                unused.append(name)
            elif not theirs:
                missing.append(name)
            elif min(ours, theirs) < RARE:
                small.append(name)
        if missing:
            yield _sentence(missing, "missing from the style mask")
        if small:
            yield _sentence(small, f"smaller than {RARE:.0%} of one of the photos")
        if unused:
            yield f"{_subject(unused)} missing from the content mask and therefore not used."


def _check_shape(
    mask: npt.NDArray[np.generic], source: Source, photo_size: Size, role: str
) -> None:
    """Raise PhotostyleError unless mask and photo have the same shape, apart from rounding."""
    height, width = mask.shape
    photo_width, photo_height = photo_size
    # The smaller of the two may be off by a pixel along one side.
    if abs(width * photo_height - height * photo_width) > max(*mask.shape, *photo_size):
        name = repr(str(source)) if isinstance(source, Path) else "The mask"
        raise PhotostyleError(
            f"{name} is {width}x{height} pixels, which does not have the aspect ratio of the "
            f"{role} photo, {photo_width}x{photo_height}; scale the mask to that size."
        )


def _areas(labels: Labels, count: int) -> npt.NDArray[np.floating]:
    """The fraction of a photo (count,) that each label covers."""
    import numpy as np

    from photostyle.photo.photo import strips

    pixels = sum(np.bincount(labels[rows].ravel(), minlength=count) for rows in strips(labels))
    return np.asarray(pixels / labels.size)


def _sentence(names: Sequence[str], reason: str) -> str:
    follow = "it follows" if len(names) == 1 else "they follow"
    return f"{_subject(names)} {reason}; {follow} the photo as a whole."


def _subject(names: Sequence[str]) -> str:
    listed = ", ".join(map(repr, names))
    return f"The region {listed} is" if len(names) == 1 else f"The regions {listed} are"

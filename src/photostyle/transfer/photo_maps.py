"""What a network makes of one photo, kept as local maps: to apply, blend and scale without it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image

from photostyle.transfer.bars import both_masks
from photostyle.transfer.canvas import Canvas, ImageLike
from photostyle.transfer.local_maps import LocalAffineMaps, apply_maps
from photostyle.transfer.options import Keep


@dataclass(frozen=True)
class PhotoMaps:
    """The local maps from a photo to its result.

    maps: for the photo's height x width. soft: whether to roll off near black and white. picture:
    (H, W), uint8, 0 where black bars stay as they are; None if there are none.
    """

    maps: LocalAffineMaps
    height: int
    width: int
    soft: bool
    picture: npt.NDArray[np.uint8] | None

    def lerp(self, other: PhotoMaps, fraction: float) -> PhotoMaps:
        """Linear interpolation with maps of the same photo: 0 is this, 1 the other."""
        return replace(self, maps=self.maps.lerp(other.maps, fraction))

    def blend(self, strength: float) -> PhotoMaps:
        """Interpolation between maps that change nothing (strength 0) and these (strength 1)."""
        return replace(self, maps=self.maps.blend(strength))

    @torch.no_grad()
    def apply(self, photo: ImageLike, keep: Keep = "none") -> ImageLike:
        """The photo through its maps, as what it is given as; of the maps' height and width.

        keep: as in `Stylizer.apply`; "skin" needs maps that were fitted for it.
        """
        canvas = Canvas(photo, device=self.maps.maps.device)
        self.draw(canvas, keep=keep)
        return cast(ImageLike, canvas.result())

    def draw(
        self,
        canvas: Canvas,
        only: npt.NDArray[np.generic] | None = None,
        progress: Callable[[float], None] = lambda _: None,
        keep: Keep = "none",
    ) -> None:
        """Write the result of the photo on a canvas; only, keep: as in `Stylizer.apply`."""
        apply_maps(canvas, self.maps, self.soft, both_masks(self.picture, only), progress, keep)

    def resized(self, height: int, width: int) -> PhotoMaps:
        """The maps for a copy of the photo of another size."""
        scales = (height / self.height, width / self.width)
        covered = [side * self.maps.ratio for side in self.maps.maps.shape[1:]]
        size = [round(side * scale) for side, scale in zip(covered, scales, strict=True)]
        maps = F.interpolate(self.maps.maps[None], size, mode="bilinear")[0]
        picture = self.picture
        if picture is not None:
            shape = (width, height)
            picture = np.array(Image.fromarray(picture).resize(shape, Image.Resampling.NEAREST))
        return PhotoMaps(LocalAffineMaps(maps, 1), height, width, self.soft, picture)

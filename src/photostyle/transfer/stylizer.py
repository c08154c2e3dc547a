"""Photos in, photos out: `Stylizer`, the engine behind the commands and the library."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.errors import PhotostyleError
from photostyle.model import checkpoint as checkpoints
from photostyle.model.checkpoint import Checkpoint, digest_of
from photostyle.model.matcher import ANALYSIS_SIZE, Blocks, Matcher, load_matcher
from photostyle.model.moments import Moments
from photostyle.model.network import STRIDE, Passthrough, PhotoNet
from photostyle.model.skin import load_skin_head
from photostyle.transfer.bars import Bars, box_mask, find_bars
from photostyle.transfer.canvas import CPU, Canvas, ImageLike, resized
from photostyle.transfer.content_moments import (
    PIXELS,
    RESIDUAL,
    ContentMoments,
    apart,
    joined,
)
from photostyle.transfer.correspondence import Correspondence, by_hand, find
from photostyle.transfer.local_maps import EPSILON, contrast, fit_ratio, limited
from photostyle.transfer.options import (
    KEEPS,
    MATCHES,
    MAX_STRENGTH,
    TILE,
    WORKING_SIZE,
    Keep,
    Match,
    Mode,
)
from photostyle.transfer.photo_maps import PhotoMaps
from photostyle.transfer.pipeline import StyleTransfer, compose, style_maps
from photostyle.transfer.regions import RegionMasks
from photostyle.transfer.skin import SkinFinder
from photostyle.transfer.style import AnyStyle, Style, StyleMix, learn_style, parts_of
from photostyle.transfer.tiling import OVERLAP, compose_tiled
from photostyle.version import __version__

STYLE_SIZE = 1024
"""Long side of the copy of a style photo that is learned, in pixels."""

EXACT_PIXELS = 1 << 20
"""Mode "auto" transfers photos of at most this many pixels exactly."""

Mask = npt.NDArray[np.uint8] | npt.NDArray[np.floating]
"""(H, W), uint8 or floats in 0..1: the weight of each pixel in the statistics."""

Labels = npt.NDArray[np.integer[Any]]
"""(H, W), integers in 0..255: the number of the region of each pixel."""


def load(source: str | os.PathLike[str] = "photonas", device: str = "auto") -> Stylizer:
    """A stylizer with the weights ``source``: a bundled name or a safetensors file.

    device: "cpu", "cuda", "cuda:N", or "auto" for CUDA if available. Raises PhotostyleError if
    the weights or the device are not available.
    """
    checkpoint = checkpoints.load(source)
    # Weights that do not refine reproduce other programs, which know no regions.
    compares = checkpoint.transfer.refine and not isinstance(checkpoint.network, Passthrough)
    matcher = load_matcher() if compares else None
    return Stylizer(checkpoint, choose_device(device), matcher, Path(source).stem)


def choose_device(name: str) -> torch.device:
    """The device of a name as in `load`; raises PhotostyleError if it is not available."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type not in ("cpu", "cuda"):
            raise ValueError
    except (RuntimeError, ValueError):
        raise PhotostyleError(f"Unknown device {name!r}; use auto, cpu, cuda or cuda:N.") from None
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise PhotostyleError(f"There is no CUDA device {name!r}; use --device cpu.")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


class Stylizer:
    """Learns the style of one photo and applies it to others.

    ``learn`` and ``apply`` take any `ImageLike` of any size, and raise PhotostyleError for others.
    The network of the checkpoint and the matcher are moved to the device, not copied. Without a
    matcher a style is transferred as a whole, or by labels. name: of the weights, for messages.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: torch.device,
        matcher: Matcher | None = None,
        name: str = "",
    ) -> None:
        self.checkpoint, self.device, self.name = checkpoint, device, name
        self.matcher_digest = "" if matcher is None else digest_of(matcher)
        self.matcher = None if matcher is None else matcher.to(device)
        self.network = checkpoint.network.to(device).to(memory_format=torch.channels_last)

    @torch.no_grad()
    def learn(
        self, photo: ImageLike, mask: Mask | None = None, labels: Labels | None = None
    ) -> Style:
        """The style of ``photo``, of a copy with a long side of at most STYLE_SIZE pixels.

        labels: the number of the region of each pixel, for `apply` with labels of the same numbers.
        """
        canvas = Canvas(photo, device=self.device)
        _check_mask(mask, canvas)
        small, ratio = canvas.reduced(STYLE_SIZE)
        weights, digest = reduced_mask(mask, small, ratio), self.checkpoint.digest
        numbers = None if labels is None else checked_labels(labels, canvas)
        if self.checkpoint.transfer.refine:
            bars = find_bars(small)
            small = bars.crop(small)
            weights = None if weights is None else bars.crop(weights)
            numbers = None if numbers is None else bars.crop(numbers)
        small = self.on_device(small)
        style, _ = learn_style(self.network, small, weights, digest)
        return replace(
            style,
            blocks=_halved(self.blocks(small, weights)),
            labels=numbers,
            matcher=self.matcher_digest,
            provenance={"model": self.name, "photostyle": __version__},
        )

    @torch.no_grad()
    def with_blocks(self, style: AnyStyle) -> AnyStyle:
        """A style whose blocks are read by this matcher: from its thumbnail, if by another one."""
        if isinstance(style, StyleMix):
            parts = ((self.with_blocks(part), weight) for part, weight in style.parts)
            return StyleMix.of(parts)
        if self.matcher is None or style.matcher == self.matcher_digest:
            return style
        thumbnails, masks = (
            None if part is None else apart(part.float().to(self.device), style.photos)
            for part in (style.thumbnail, style.mask)
        )
        assert thumbnails is not None
        blocks = self.blocks(thumbnails, masks)
        assert blocks is not None
        descriptors, colors = (joined(part) for part in (blocks.descriptors, blocks.colors))
        blocks = Blocks(descriptors, colors, blocks.statistics.mean(0, keepdim=True))
        return replace(style, blocks=_halved(blocks), matcher=self.matcher_digest)

    @cached_property
    def skin_finder(self) -> SkinFinder:
        """Finds skin with the bundled matcher, whatever the weights."""
        matcher = self.matcher or load_matcher().to(self.device)
        return SkinFinder(matcher, load_skin_head().to(self.device))

    def blocks(self, pixels: Tensor, mask: Tensor | None = None) -> Blocks | None:
        """What the matcher reads of RGB (B, 3, H, W), 0..1; None without a matcher.

        mask: (B, 1, H, W), 0..1; instead of what does not count it sees the mean of what does.
        """
        if self.matcher is None:
            return None
        if mask is not None and mask.any():
            mean = Moments.of(pixels, mask).mean.to(pixels)[..., None, None]
            pixels = torch.lerp(mean, pixels, mask)
        return self.matcher.blocks(self.on_device(resized(pixels, ANALYSIS_SIZE, STRIDE)))

    def correspond(
        self,
        content: Tensor,
        style: Style,
        match: Match,
        labels: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Correspondence, RegionMasks | None]:
        """What photos of one content, RGB (B, 3, H, W), and a style have in common.

        labels: (1, H, W), the regions of the content given by hand. mask: (B, 1, H, W), the weight
        of each pixel. Returns the masks of the content's regions, too, if there are any.
        """
        height, width = content.shape[2:]
        small = resized(content, ANALYSIS_SIZE)
        if labels is not None:
            return by_hand(labels, style, small, height, width, mask)
        blocks = None if match in ("global", "none") else self.blocks(content, mask)
        if blocks is None or style.blocks is None or self.matcher is None:
            return Correspondence(match), None
        if mask is not None:
            mask = resized(mask, ANALYSIS_SIZE)
        found = find(self.matcher, blocks, style, match, mask)
        if mask is not None:  # what does not count has regions, too
            whole = self.blocks(content)
            assert whole is not None
            counts = F.interpolate(mask, blocks.colors.shape[2:], mode="area")
            blocks = whole._replace(
                descriptors=torch.lerp(whole.descriptors, blocks.descriptors, counts),
                colors=torch.lerp(whole.colors, blocks.colors, counts),
            )
        return found, found.regions(blocks, small, height, width)

    @torch.no_grad()
    def apply(
        self,
        photo: ImageLike,
        style: AnyStyle,
        strength: float = 1.0,
        *,
        match: Match = "auto",
        mode: Mode = "auto",
        working_size: int = WORKING_SIZE,
        tile: int = TILE,
        mask: Mask | None = None,
        labels: Labels | None = None,
        only: Mask | None = None,
        keep: Keep = "none",
        in_place: bool = False,
        progress: Callable[[float], None] = lambda _: None,
    ) -> ImageLike:
        """``photo`` in ``style``, of the same type and size.

        A PIL image comes back in RGB, or RGBA with its alpha; a tensor as float32 in 0..1.

        style: what `learn` returns, or several as a `StyleMix`. strength: in [0, MAX_STRENGTH]; 0
        returns the photo as it is, 0.5 makes more than half of the change, 1.5 exaggerates it.
        match: see `Match`. labels: the number of the region of each pixel; each region takes the
        colours of the region of that number in the style photo, which needs labels as well. only:
        how much of the change each pixel takes. keep: see `Keep`.
        mode: "exact" runs the network on the photo itself, in tiles of ``tile`` pixels if it is
        larger; "fast" runs it on a copy with a long side of ``working_size`` pixels; both apply
        local affine colour maps to the photo; "auto" is `choose_mode`. in_place: overwrite the
        photo if it is a writable array. progress: called with the fraction done, 0..1.
        """
        check_strength(strength)
        check_working_size(working_size)
        check_match(match)
        check_keep(keep)
        self.check_style(style)
        canvas = Canvas(photo, in_place, self.device)
        _check_mask(mask, canvas)
        _check_mask(only, canvas)
        numbers = None if labels is None else checked_labels(labels, canvas)
        if numbers is not None and (isinstance(style, StyleMix) or style.labels is None):
            raise PhotostyleError("The style photo needs a mask of regions as well.")
        fast = self.choose_mode(mode, canvas.height, canvas.width) == "fast"
        if not fast and _needs_tiles(canvas.height, canvas.width, tile):
            canvas.device = CPU  # whose memory holds all of it
        if strength == 0:
            for top, bottom in canvas.strips():
                canvas.put(top, canvas.rows(top, bottom))
        else:
            side = working_size if fast else max(canvas.height, canvas.width)
            transfer = _Transfer(style, strength, match, mask, numbers, only, keep)
            fitting = 0.5 if canvas.ratio(side) > 1 else 0.9  # of the work
            maps = self._stylize(
                canvas, transfer, side, tile, lambda done: progress(fitting * done)
            )
            if maps:
                maps.draw(canvas, only, lambda done: progress(fitting + (1 - fitting) * done), keep)
        progress(1.0)
        return cast(ImageLike, canvas.result())

    @torch.no_grad()
    def fit(
        self,
        photo: ImageLike,
        style: AnyStyle,
        strength: float = 1.0,
        *,
        match: Match = "auto",
        working_size: int = WORKING_SIZE,
        mask: Mask | None = None,
        keep: Keep = "none",
    ) -> PhotoMaps:
        """The local maps that `apply` in the mode "fast" fits to a photo, to keep them.

        They can be applied to it again, blended with those of another strength, and applied to a
        copy of another size. All arguments are as in `apply`, but the strength is above 0. Maps
        for the keep "skin" serve for any other as well.
        """
        check_strength(strength)
        check_working_size(working_size)
        check_match(match)
        self.check_style(style)
        canvas = Canvas(photo, device=self.device)
        _check_mask(mask, canvas)
        transfer = _Transfer(style, strength, match, mask, None, None, keep)
        maps = self._stylize(canvas, transfer, working_size, TILE, lambda _: None, always_maps=True)
        assert maps is not None
        return maps

    @staticmethod
    def choose_mode(mode: Mode, height: int, width: int) -> Literal["fast", "exact"]:
        """The mode for a photo of a size: "auto" is exact up to EXACT_PIXELS pixels, then fast."""
        if mode not in ("auto", "fast", "exact"):
            raise PhotostyleError(f"Unknown mode {mode!r}; use auto, fast or exact.")
        if mode != "auto":
            return mode
        return "exact" if height * width <= EXACT_PIXELS else "fast"

    def on_device(self, photo: Tensor) -> Tensor:
        """Pixels (B, 3, H, W) where and as the network takes them."""
        return photo.to(self.device).contiguous(memory_format=torch.channels_last)

    def check_style(self, style: AnyStyle) -> None:
        """Raises PhotostyleError if it is no style, or was learned with other weights."""
        if not isinstance(style, (Style, StyleMix)):
            raise PhotostyleError(f"A style is what `learn` returns, not {type(style).__name__}.")
        for part, _ in parts_of(style):
            if part.digest != self.checkpoint.digest:
                raise PhotostyleError(
                    f"The style was learned with other weights{_named(part)}; use those, or learn "
                    "it again."
                )
            if not _fits(part, self.network):
                raise PhotostyleError("The style is damaged; learn it again.")

    def parts(self, style: AnyStyle, match: Match) -> tuple[tuple[Style, float], ...]:
        """The styles whose results are blended, with their weights; one, if no regions are used."""
        if isinstance(style, Style):
            return parts_of(style)
        by_region = (
            self.matcher is not None
            and match not in ("global", "none")
            and any(part.blocks is not None for part, _ in style.parts)
        )
        return style.parts if by_region else ((style.barycenter(), 1.0),)

    def _stylize(
        self,
        canvas: Canvas,
        options: _Transfer,
        side: int,
        tile: int,
        progress: Callable[[float], None],
        always_maps: bool = False,
    ) -> PhotoMaps | None:
        """The pipeline on a copy with a long side of ``side`` pixels: the maps for the photo.

        Weights that do not refine draw their own pixels on a photo as large as the copy, and return
        None, unless ``always_maps`` or to keep skin.
        """
        copy, ratio = canvas.reduced(side)
        settings = self.checkpoint.transfer
        bars = find_bars(copy) if settings.refine else Bars()
        fit_by = fit_ratio(*copy.shape[2:])
        picture = bars.picture(copy.shape[2], copy.shape[3], fit_by)
        content = picture.of(copy)

        mask, labels = reduced_mask(options.mask, copy, ratio), options.labels
        mask = None if mask is None else picture.of(mask)
        options = options._replace(labels=None if labels is None else bars.crop(labels))
        transfers = [
            (self._transfer(style, options, content, mask), weight)
            for style, weight in self.parts(options.style, options.match)
        ]
        results = 0  # how many there are

        def compose_here(pixels: Tensor, transfer: StyleTransfer) -> Tensor:
            nonlocal results

            def report(done: float) -> None:
                progress((results + done) / len(transfers))

            result = self._compose(pixels, transfer, tile, report)
            results += 1
            return result

        if ratio == 1 and not settings.refine and not always_maps and options.keep != "skin":
            each = (
                weight * transfer.extrapolated(compose_here(content, transfer), content)
                for transfer, weight in transfers
            )
            result = torch.stack(list(each)).sum(0)
            for top, bottom in canvas.strips():
                strip = canvas.rows(top, bottom)
                rows = result[0, :, top:bottom]
                canvas.put(top, limited(rows, strip, options.only, top, options.keep))
            return None
        maps = style_maps(compose_here, content, transfers, EPSILON, fit_by)
        if options.keep == "skin":
            maps = self.skin_finder.added(maps, content)
        maps = maps.blend(float(contrast(content, mask)))
        shown = None
        if any(bars):
            maps = maps.padded(*picture.margins(*copy.shape[2:]))
            shown = box_mask(bars.exact_picture(canvas, ratio), canvas.height, canvas.width)
        progress(1.0)
        size = (canvas.height, canvas.width)
        return PhotoMaps(maps.enlarged(ratio), *size, settings.refine, shown)

    def _transfer(
        self, style: Style, options: _Transfer, content: Tensor, mask: Tensor | None
    ) -> StyleTransfer:
        """The transfer of a style to a content (1, 3, h, w)."""
        found, regions = self.correspond(
            self.on_device(resized(content, WORKING_SIZE)),
            style,
            options.match,
            options.labels,
            None if mask is None else resized(mask.to(self.device), WORKING_SIZE),
        )
        if regions is not None:
            regions = replace(regions, height=content.shape[2], width=content.shape[3])
        statistics = ContentMoments(mask, regions)
        return StyleTransfer(style, self.checkpoint.transfer, options.strength, statistics, found)

    def _compose(
        self,
        content: Tensor,
        transfer: StyleTransfer,
        tile: int,
        progress: Callable[[float], None],
    ) -> Tensor:
        """`compose` on the device, in smaller tiles if it runs out of memory."""
        height, width = content.shape[2:]
        try:
            if _needs_tiles(height, width, tile):
                return compose_tiled(self.network, content, transfer, tile, progress)
            return compose(self.network, self.on_device(content), transfer).to(content.device)
        except torch.OutOfMemoryError:
            # The largest size below the one that failed.
            smaller = min(tile, max(height, width)) // 2
            if smaller < OVERLAP or not _needs_tiles(height, width, smaller):
                raise PhotostyleError(
                    f"The memory of {self.device} is not enough; free some of it, or use a smaller "
                    "--working-size or --device cpu."
                ) from None
        torch.cuda.empty_cache()
        fresh = transfer.with_content(
            ContentMoments(transfer.content.mask, transfer.content.regions)
        )
        return self._compose(content, fresh, smaller, progress)


def check_strength(strength: float) -> None:
    """Raises PhotostyleError for a strength outside [0, MAX_STRENGTH]."""
    if not 0 <= strength <= MAX_STRENGTH:
        raise PhotostyleError(f"The strength must be between 0 and {MAX_STRENGTH}, not {strength}.")


def _halved(blocks: Blocks | None) -> Blocks | None:
    return None if blocks is None else Blocks(*(part.half() for part in blocks))


def _named(style: Style) -> str:
    """The model that learned a style, in brackets, if that is known."""
    name = style.provenance.get("model")
    return f" ({name})" if isinstance(name, str) and name else ""


def _fits(style: Style, network: PhotoNet) -> bool:
    """Whether a style has the moments that a network asks for, with their numbers of channels."""
    channels = dict.fromkeys((PIXELS, RESIDUAL), 3)
    for layer in network.wct_layers:
        level = int(layer[-1])
        channels[layer] = network.widths[5 - level if layer.startswith("d") else level - 1]
    return channels == {layer: part.mean.shape[1] for layer, part in style.moments.items()}


def check_match(match: str) -> None:
    """Raises PhotostyleError for an unknown match."""
    if match not in MATCHES:
        raise PhotostyleError(f"Unknown match {match!r}; use {', '.join(MATCHES)}.")


def check_keep(keep: str) -> None:
    """Raises PhotostyleError for what cannot be kept."""
    if keep not in KEEPS:
        raise PhotostyleError(f"Unknown keep {keep!r}; use {', '.join(KEEPS)}.")


def check_working_size(size: int) -> None:
    """Raises PhotostyleError for a size below 1 pixel."""
    if not size >= 1:
        raise PhotostyleError(f"The working size must be at least 1 pixel, not {size}.")


class _Transfer(NamedTuple):
    """What `Stylizer.apply` is to do to a photo."""

    style: AnyStyle
    strength: float
    match: Match
    mask: Mask | None
    labels: Tensor | None
    only: Mask | None
    keep: Keep


def checked_labels(labels: Labels, photo: Canvas) -> Tensor:
    """Labels as (1, h, w), reduced to the nearest; raises PhotostyleError if they do not fit."""
    size = (photo.height, photo.width)
    if np.shape(labels) != size or not np.issubdtype(labels.dtype, np.integer):
        raise PhotostyleError(
            f"Labels must be integers of shape {size}, not {labels.dtype} of {np.shape(labels)}."
        )
    step = photo.ratio(2 * ANALYSIS_SIZE)
    numbers = np.ascontiguousarray(labels[step // 2 :: step, step // 2 :: step])
    if not numbers.size:
        numbers = np.ascontiguousarray(labels)
    if not 0 <= numbers.min() <= numbers.max() < 256:
        raise PhotostyleError("Labels must be between 0 and 255.")
    return torch.from_numpy(numbers.astype(np.uint8))[None].to(photo.device)


def _check_mask(mask: Mask | None, photo: Canvas) -> None:
    """Raises PhotostyleError for a mask that does not fit the photo, or outside of 0..1."""
    if mask is None:
        return
    if np.shape(mask) != (photo.height, photo.width):
        size = (photo.height, photo.width)
        raise PhotostyleError(f"The mask must be of shape {size}, not {np.shape(mask)}.")
    if mask.dtype != np.uint8 and not ((mask >= 0) & (mask <= 1)).all():
        raise PhotostyleError("The mask must contain uint8, or floats between 0 and 1.")


def reduced_mask(mask: Mask | None, photo: Tensor, ratio: int) -> Tensor | None:
    """A mask reduced like the photo (1, 3, h, w): (1, 1, h, w), float32 in 0..1."""
    if mask is None:
        return None
    scale = 255 if mask.dtype == np.uint8 else 1
    weights = torch.from_numpy(np.asarray(mask, np.float32))[None, None] / scale
    return F.avg_pool2d(weights.to(photo.device), ratio, ceil_mode=True)


def _needs_tiles(height: int, width: int, tile: int) -> bool:
    """Whether a photo is larger than what is computed for one tile."""
    return max(height, width) > tile + 2 * OVERLAP

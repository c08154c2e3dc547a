"""The outcome of a network for a batch, and losses to distil it into a smaller network."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from photostyle.model.matcher import Matcher
from photostyle.model.network import PhotoNet
from photostyle.model.transfer_settings import TransferSettings
from photostyle.training import losses
from photostyle.training.losses import Regions
from photostyle.transfer.content_moments import ContentMoments
from photostyle.transfer.correspondence import Correspondence, find_each
from photostyle.transfer.pipeline import StyleTransfer, stylize
from photostyle.transfer.regions import RegionMasks
from photostyle.transfer.style import Style, learn_style

Found = tuple[Correspondence, RegionMasks]


@dataclass(frozen=True)
class Outcome:
    """The outputs of a network for a batch of content and style photos.

    style: learned from the style photos. reconstruction: of the style photos, RGB (B, 3, H, W).
    result: the stylized content photos, RGB (B, 3, H, W), not clamped. found: what a matcher found
    that contents and styles have in common, if there was one.
    """

    style: Style
    reconstruction: Tensor
    result: Tensor
    found: Found | None = None

    @classmethod
    def of(
        cls,
        network: PhotoNet,
        content: Tensor,
        style: Tensor,
        settings: TransferSettings,
        matcher: Matcher | Found | None = None,
    ) -> Outcome:
        """Run a network on content and style photos, both RGB (B, 3, H, W), 0..1.

        matcher: finds their regions and looks, as for users; H and W must then be multiples of 16.
        Or what it found for the same photos before, which does not depend on the network.
        """
        learned, reconstruction = learn_style(network, style)
        found = matcher
        if isinstance(found, Matcher):
            with torch.no_grad():
                blocks = found.blocks(style)
            found = find_each(found, content, replace(learned, blocks=blocks))
        transfer = StyleTransfer(learned, settings)
        if found:
            correspondence, masks = found
            statistics = ContentMoments(regions=masks)
            transfer = StyleTransfer(learned, settings, 1.0, statistics, correspondence)
        return cls(learned, reconstruction, stylize(network, content, transfer), found)

    @property
    def regions(self) -> Regions | None:
        """The regions whose colours the network decides, not the look."""
        if self.found is None:
            return None
        found, masks = self.found
        assert found.style_masks is not None
        weights = found.trust * (1 - found.same_scene[:, None])
        return Regions(masks.masks, found.style_masks, weights)

    def detach(self) -> Outcome:
        """The same without gradients, for use as a teacher's outcome."""
        return Outcome(
            self.style.detach(), self.reconstruction.detach(), self.result.detach(), self.found
        )


def distillation(student: Outcome, teacher: Outcome, layers: tuple[str, ...]) -> dict[str, Tensor]:
    """Distillation losses between a student and its teacher on the same photos, by name.

    output: Charbonnier and gradient distances of the results plus those of the reconstructions.
    moments: relative distance of the style's means and covariances (`losses.moments`), averaged
    over those of the student's WCT ``layers`` that the teacher has with the same number of
    channels; missing if there are none.
    """
    output = torch.stack(
        [
            losses.pixel(mine, theirs) + 0.5 * losses.gradient(mine, theirs)
            for mine, theirs in (
                (student.result, teacher.result),
                (student.reconstruction, teacher.reconstruction),
            )
        ]
    ).sum()
    pairs = [
        (mine, theirs)
        for layer in layers
        if (theirs := teacher.style.moments.get(layer))
        and (mine := student.style.moments[layer]).mean.shape == theirs.mean.shape
    ]
    if not pairs:
        return {"output": output}
    moments = torch.stack([losses.moments(mine, theirs) for mine, theirs in pairs]).mean()
    return {"output": output, "moments": moments}

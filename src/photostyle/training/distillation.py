"""The outcome of a network for a batch, and how a smaller network learns it from a larger one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from photostyle.model.network import PhotoNet
from photostyle.model.transfer_settings import TransferSettings
from photostyle.training import losses
from photostyle.transfer.pipeline import StyleTransfer, stylize
from photostyle.transfer.style import Style, learn_style


@dataclass(frozen=True)
class Outcome:
    """What a network makes of a batch of content and style photos.

    style: learned from the style photos; reconstruction: of the style photos, (B, 3, H, W); result:
    of the transfer, (B, 3, H, W).
    """

    style: Style
    reconstruction: Tensor
    result: Tensor

    @classmethod
    def of(
        cls, network: PhotoNet, content: Tensor, style: Tensor, settings: TransferSettings
    ) -> Outcome:
        """content, style: RGB (B, 3, H, W), 0..1."""
        learned, reconstruction = learn_style(network, style)
        result = stylize(network, content, StyleTransfer(learned, settings))
        return cls(learned, reconstruction, result)

    def detach(self) -> Outcome:
        """The same without gradients, as the outcome of a teacher."""
        moments = {layer: moments.detach() for layer, moments in self.style.moments.items()}
        style = replace(self.style, moments=moments)
        return Outcome(style, self.reconstruction.detach(), self.result.detach())


def distillation(student: Outcome, teacher: Outcome, layers: tuple[str, ...]) -> dict[str, Tensor]:
    """Distillation losses of a student and its teacher on the same photos, by name.

    output: Charbonnier and gradient distance of the results, plus that of the reconstructions.
    moments: relative distance of the style's means and covariances (`losses.moments`), mean over
    the student's WCT ``layers`` that the teacher has with the same number of channels.
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

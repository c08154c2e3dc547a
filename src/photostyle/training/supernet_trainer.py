"""Training of a supernet; see `photostyle.training.supernet`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from photostyle.model.architecture import PHOTONET
from photostyle.model.checkpoint import save
from photostyle.model.network import PhotoNet
from photostyle.training import losses
from photostyle.training.distillation import Outcome, distillation
from photostyle.training.supernet import SMALLEST, Supernet, sample
from photostyle.training.trainer import Batch, Trainer, weighted


class SupernetTrainer(Trainer):
    """A training run for a `Supernet`, which trains all networks at once."""

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The terms of the largest network, and one sum each for the smallest and a random one.

        The largest network has the usual loss. The other two learn its outcome, the reconstruction
        of the style photo, and the target if there is one.
        """
        supernet, settings = self.network, self.recipe.transfer
        assert isinstance(supernet, Supernet)
        rng = np.random.default_rng([self.recipe.seed, self.step, 1])
        with supernet.shared_encodings():
            outcome = Outcome.of(supernet, batch.content, batch.style, settings, self.loss.matcher)
            terms = weighted(self.loss.terms(supernet, batch, outcome))
            teacher = outcome.detach()
            for name, architecture in (("smallest", SMALLEST), ("sampled", sample(rng))):
                network = supernet.subnetwork(architecture)
                smaller = Outcome.of(network, batch.content, batch.style, settings, outcome.found)
                learned = distillation(smaller, teacher, architecture.wct_layers)
                learned["reconstruction"] = losses.pixel(smaller.reconstruction, batch.style)
                if batch.target is not None:
                    learned["pixel"] = losses.pixel(smaller.result, batch.target)
                terms[name] = torch.stack(list(weighted(learned).values())).sum()
        return terms

    def write(self) -> Path:
        """Write the supernet and its largest network; return the path of the supernet."""
        checkpoint = self.result()
        supernet = checkpoint.network
        assert isinstance(supernet, Supernet)
        path = self.folder / "supernet.safetensors"
        # In full precision, because training continues from it.
        save(checkpoint, path, torch.float32, overwrite=True)
        largest = replace(checkpoint, network=supernet.extract(PHOTONET))
        save(largest, self.folder / "weights.safetensors", torch.float16, overwrite=True)
        return path

    def _build(self, start: PhotoNet | None) -> PhotoNet:
        network = super()._build(start)
        return network if isinstance(network, Supernet) else Supernet.around(network)

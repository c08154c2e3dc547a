"""What colour edits look like: a distribution of LUTs, learned from many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from photostyle.bundled import EDITS, bundled_file
from photostyle.errors import PhotostyleError
from photostyle.lut.lut import Array, Lut, grid, tetrahedra

SIZE = 17
"""Points per axis of the changes."""


@dataclass(frozen=True)
class Prior:
    """A normal distribution of changes of colours, around none, by its principal components.

    components (K, 17, 17, 17, 3): the change of each grid colour at one standard deviation
    """

    components: Array

    @classmethod
    def learn(cls, groups: Sequence[Sequence[Lut]], count: int) -> Prior:
        """The ``count`` strongest components of LUTs; each group of them counts the same."""
        identity = grid(SIZE)
        changes = [
            np.stack([lut.map(identity) - identity for lut in luts]) / np.sqrt(len(luts))
            for luts in groups
        ]
        samples = np.concatenate(changes)
        _, deviations, directions = np.linalg.svd(
            samples.reshape(len(samples), -1), full_matrices=False
        )
        components = deviations[:count, None] * directions[:count]
        return cls(components.reshape(-1, *samples.shape[1:]))

    def likeliest(self, colors: Array, changes: Array, counts: Array, noise: float) -> Array:
        """The likeliest table of changes (17, 17, 17, 3), given those of some colours.

        colors, changes: (n, 3). counts: (n,), weights. noise: standard deviation of the mean error
        of ``changes``, in 0..1.
        """
        number = len(self.components)
        at = self.components.transpose(1, 2, 3, 4, 0).reshape(SIZE**3, -1)
        matrix, right = np.eye(number) * noise**2, np.zeros(number)
        counts = counts / counts.sum()
        for part in range(0, len(colors), 1 << 14):
            rows = slice(part, part + (1 << 14))
            points, weights = tetrahedra(colors[rows] * (SIZE - 1), SIZE)
            features = sum(w[:, None] * at[p] for p, w in zip(points, weights, strict=True))
            features = np.asarray(features).reshape(-1, 3, number)
            weighted = (counts[rows, None, None] * features).reshape(-1, number)
            matrix += weighted.T @ features.reshape(-1, number)
            right += changes[rows].ravel() @ weighted
        amounts = np.linalg.solve(matrix, right)
        return np.tensordot(amounts, self.components, 1)

    def save(self, path: Path, provenance: str) -> None:
        """Write a safetensors file with half-precision values."""
        from safetensors.numpy import save_file

        save_file(
            {"components": self.components.astype(np.float16)}, path, {"provenance": provenance}
        )


def load(path: Path | None = None) -> Prior:
    """Read a prior, None for the one that comes with photostyle.

    Raises PhotostyleError if the file is none.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = path or bundled_file(EDITS)
    try:
        components = load_file(path)["components"].astype(np.float64)
        if components.ndim != 5 or components.shape[1:] != (SIZE, SIZE, SIZE, 3):
            raise KeyError
    except (OSError, SafetensorError, KeyError) as error:
        raise PhotostyleError(f"{str(path)!r} is no prior of LUTs.") from error
    return Prior(components)

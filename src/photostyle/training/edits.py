"""Learns what colour edits look like, for `photostyle lut fit`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from photostyle.errors import PhotostyleError
from photostyle.evaluation import grades
from photostyle.files import check_target
from photostyle.lut import Lut, read
from photostyle.lut.prior import SIZE, Prior


def learn_edits(
    looks: Sequence[Path],
    output: Path,
    *,
    components: int = 80,
    grades: int = 200,
    seed: int = 5,
    overwrite: bool = False,
) -> Prior:
    """Learn a `Prior` from LUTs and as many random grades as ``grades``, and write it.

    Both kinds count the same. Raises PhotostyleError if a file cannot be read or written.
    """
    if not looks:
        raise PhotostyleError("There are no .cube files to learn from.")
    check_target(output, overwrite=overwrite, inputs=looks)
    rng = np.random.default_rng(seed)
    drawn = [random_grade(rng) for _ in range(grades)]
    groups = [one for one in ([read(path) for path in looks], drawn) if one]
    prior = Prior.learn(groups, components)
    prior.save(output, f"{len(looks)} LUTs, {grades} random grades (seed {seed})")
    return prior


def random_grade(rng: np.random.Generator) -> Lut:
    """A random grade as a LUT."""
    grade = grades.sample(rng)

    def graded(colors: np.ndarray) -> np.ndarray:
        flat = torch.from_numpy(colors.reshape(-1, 1, 3)).permute(2, 0, 1)
        return np.asarray(grade(flat).permute(1, 2, 0)).reshape(colors.shape)

    return Lut.of(graded, SIZE)

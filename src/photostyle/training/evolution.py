"""The paper's aging evolution as an Optuna sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from photostyle.model.architecture import Architecture
from photostyle.training.supernet import BITS, canonical

SPACE: dict[str, BaseDistribution] = dict.fromkeys(BITS, CategoricalDistribution((False, True)))
"""The search space: each of the 31 bits may be on or off."""

ATTEMPTS = 100
"""Number of mutations to try before one that was already evaluated is accepted."""


def architecture_of(parameters: Mapping[str, bool]) -> Architecture:
    """The canonical architecture of a point of SPACE."""
    return canonical(Architecture(**parameters))


def parameters_of(architecture: Architecture) -> dict[str, bool]:
    """The point of SPACE for an architecture."""
    return {bit: getattr(architecture, bit) for bit in BITS}


def count_trials(study: Study) -> int:
    """Number of trials, excluding those that failed, which will be repeated.

    It seeds the sampler of the next trial, so that a resumed search samples the same candidates as
    an uninterrupted one, and two workers sample different ones.
    """
    return sum(t.state != TrialState.FAIL for t in study.get_trials(deepcopy=False))


class AgingEvolution(BaseSampler):
    """Regularized evolution (Real et al., AAAI 2019) with the sizes of An et al. 2020.

    The first ``population`` candidates are random. Each later one is the best of ``tournament``
    random members of the population with one bit flipped. The population are the latest
    ``population`` candidates: the oldest dies, however good. A mutation that was already evaluated
    is redrawn.
    """

    def __init__(self, seed: int, population: int = 50, tournament: int = 10):
        self.seed, self.population, self.tournament = seed, population, tournament

    def infer_relative_search_space(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,  # noqa: ARG002
    ) -> dict[str, BaseDistribution]:
        return SPACE

    def sample_relative(
        self,
        study: Study,
        trial: FrozenTrial,  # noqa: ARG002
        search_space: dict[str, BaseDistribution],  # noqa: ARG002
    ) -> dict[str, Any]:
        rng = np.random.default_rng([self.seed, count_trials(study)])
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        alive = finished[-self.population :]
        if len(alive) < self.population:
            return {bit: bool(rng.integers(2)) for bit in BITS}
        known = {architecture_of(other.params) for other in finished}
        for _ in range(ATTEMPTS):
            drawn = rng.choice(len(alive), min(self.tournament, len(alive)), replace=False)
            parent = min((alive[number] for number in drawn), key=_value)
            bit = BITS[int(rng.integers(len(BITS)))]
            child = parent.params | {bit: not parent.params[bit]}
            if architecture_of(child) not in known:
                break
        return child

    def sample_independent(
        self,
        study: Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,  # noqa: ARG002
    ) -> Any:
        raise KeyError(f"{param_name} of trial {trial.number} is not a bit of an architecture")


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value

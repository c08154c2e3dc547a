"""The aging evolution of the paper as a sampler of Optuna."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from photostyle.model.architecture import Architecture
from photostyle.training.supernet import PARTS, canonical

SPACE: dict[str, BaseDistribution] = dict.fromkeys(PARTS, CategoricalDistribution((False, True)))
"""What is searched: each of the 31 parts may be on or off."""

ATTEMPTS = 100
"""Mutations drawn in search of a network that is not known yet."""


def architecture_of(parameters: Mapping[str, bool]) -> Architecture:
    """The canonical architecture of a point of SPACE."""
    return canonical(Architecture(**parameters))


def parameters_of(architecture: Architecture) -> dict[str, bool]:
    """The point of SPACE of an architecture."""
    return {part: getattr(architecture, part) for part in PARTS}


def draws(study: Study) -> int:
    """How many trials were drawn, those that failed not counted, as they are made up for.

    The seed of the next draw: a resumed search goes on as it would have, and a second worker draws
    something else.
    """
    return sum(t.state != TrialState.FAIL for t in study.get_trials(deepcopy=False))


class AgingEvolution(BaseSampler):
    """Regularised evolution (Real et al., AAAI 2019) with the numbers of An et al. 2020.

    The first ``population`` candidates are random. Then each is the best of ``tournament`` random
    members of the population with one bit flipped, and the population are the latest ``population``
    candidates: the oldest dies, however good. A network that is known already is drawn anew.
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
        rng = np.random.default_rng([self.seed, draws(study)])
        finished = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        alive = finished[-self.population :]
        if len(alive) < self.population:
            return {part: bool(rng.integers(2)) for part in PARTS}
        known = {architecture_of(other.params) for other in finished}
        for _ in range(ATTEMPTS):
            drawn = rng.choice(len(alive), min(self.tournament, len(alive)), replace=False)
            parent = min((alive[number] for number in drawn), key=_value)
            part = PARTS[int(rng.integers(len(PARTS)))]
            child = parent.params | {part: not parent.params[part]}
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
        raise KeyError(f"{param_name} of trial {trial.number} is no part of a network")


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value

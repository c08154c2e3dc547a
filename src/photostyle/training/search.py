"""Architecture search (the P-step of An et al. 2020) among the subnetworks of a supernet.

Every candidate is a trial of an Optuna study. Its storage makes the search resumable and lets
several processes, on one or more machines, divide the work.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.pruners import BasePruner, NopPruner, PercentilePruner
from optuna.samplers import BaseSampler, NSGAIISampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from photostyle.errors import PhotostyleError
from photostyle.files import new_file
from photostyle.jobs.progress import Progress
from photostyle.model.architecture import PHOTONAS, PHOTONET, Architecture
from photostyle.training.evaluator import Evaluator, Figures, paper_score
from photostyle.training.evolution import (
    SPACE,
    AgingEvolution,
    architecture_of,
    count_trials,
    parameters_of,
)
from photostyle.training.recipe import Score, SearchSettings
from photostyle.training.supernet import SMALLEST, canonical, sample

ANCHORS = (PHOTONET, PHOTONAS, SMALLEST)
"""Evaluated first and never pruned: the teacher's architecture, the paper's, the smallest."""

SLOWER, FARTHER = 1.05, 1.15
"""A candidate is pruned if it is slower and farther than another one by more than these factors."""

OBJECTIVES: dict[Score, str] = {"pareto": "distance", "results": "error", "paper": "score"}
"""The figure that a search minimizes, beside the latency if it is not the paper's score."""


@dataclass(frozen=True)
class Candidate:
    """A network that was evaluated.

    state: "complete", or "pruned" after ``pairs`` pairs. figures: latency, score (with the paper's
    score) and the means over the pairs of the figures of `Evaluator.compare`.
    """

    number: int
    architecture: Architecture
    state: str
    pairs: int
    figures: Figures

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "architecture": str(self.architecture),
            "ones": str(self.architecture).count("1"),
            "state": self.state,
            "pairs": self.pairs,
            **{name: round(value, 6) for name, value in self.figures.items()},
        }


class Search:
    """A search in an Optuna study, which is created unless the storage already has it.

    storage: a file or database URL. name: name of the study. Raises PhotostyleError if the storage
    cannot be used or the study was made with other settings.
    """

    def __init__(self, settings: SearchSettings, storage: str, name: str):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.settings = settings
        self.objective = OBJECTIVES[settings.score]
        self._pareto = settings.score != "paper"
        try:
            self.study = optuna.create_study(
                storage=_storage(storage),
                study_name=name,
                directions=["minimize"] * (2 if self._pareto else 1),
                pruner=_pruner(settings),
                load_if_exists=True,
            )
        except Exception as error:  # each type of storage raises its own exceptions
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise PhotostyleError(f"The storage {storage!r} cannot be used: {reason}") from None
        found = self.study.user_attrs.get("plan")  # existing studies use this name
        if found is None:
            self.study.set_user_attr("plan", asdict(settings))
        elif found != asdict(settings):
            raise PhotostyleError(
                f"The study {name!r} in {storage!r} was made with other options or another "
                "supernet; use the same ones, or a new --output or --study."
            )

    def run(
        self,
        evaluator: Evaluator,
        count: int,
        progress: Progress,
        also: Sequence[Architecture] = (),
    ) -> None:
        """Evaluate candidates until there are ``count`` different ones, with ANCHORS and ``also``.

        progress: called with the number of candidates, and the latest architecture as the detail.
        An interrupted search continues with the candidates that would have followed.
        """
        with evaluator.supernet.shared_encodings():
            while True:
                known = {candidate.architecture for candidate in self.candidates()}
                missing = [a for a in map(canonical, [*ANCHORS, *also]) if a not in known]
                if len(known) >= count and not missing:
                    return
                planned = missing if len(known) >= count else self._planned()
                if planned:
                    self.study.enqueue_trial(parameters_of(planned[0]))
                self.study.sampler = self._sampler()
                trial = self.study.ask(SPACE)
                try:
                    candidate = self._evaluate(trial, evaluator)
                except BaseException:
                    self.study.tell(trial, state=TrialState.FAIL)
                    raise
                if candidate:
                    progress("searching", len(known) + 1, count, str(candidate.architecture))

    def candidates(self) -> list[Candidate]:
        """All evaluated candidates without repetitions, in the order of their numbers."""
        found: dict[Architecture, Candidate] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if candidate := _candidate(trial):
                found.setdefault(candidate.architecture, candidate)
        return list(found.values())

    def front(self) -> list[Candidate]:
        """The Pareto front of the objective and latency, fastest first."""
        complete = [c for c in self.candidates() if c.state == "complete"]
        return [
            c
            for c in sorted(complete, key=self._objectives)
            if not any(self._dominates(other, c) for other in complete)
        ]

    def choose(self, within: float) -> Candidate:
        """The best candidate by the paper's score, or one on the Pareto front.

        On the front it is the fastest whose distance to the teacher, or error, is at most
        (1 + ``within``) times that of the paper's PHOTONAS, or the best if none is that good.
        """
        if not self._pareto:
            complete = [c for c in self.candidates() if c.state == "complete"]
            return min(complete, key=lambda c: c.figures[self.objective])
        front = self.front()
        limit = (1 + within) * self.find(PHOTONAS).figures[self.objective]
        return next((c for c in front if c.figures[self.objective] <= limit), front[-1])

    def find(self, architecture: Architecture) -> Candidate:
        """The candidate of an architecture; raises PhotostyleError if it was not evaluated."""
        for candidate in self.candidates():
            if candidate.architecture == canonical(architecture):
                return candidate
        raise PhotostyleError(f"The search has not evaluated {architecture}.")

    def write(self, path: Path) -> None:
        """Write all candidates as lines of JSON."""
        with new_file(path, overwrite=True) as file:
            for candidate in self.candidates():
                file.write(json.dumps(candidate.as_json()).encode() + b"\n")

    def _planned(self) -> list[Architecture]:
        """The initial architectures that are not in the study yet; then the sampler takes over.

        These are ANCHORS, and with two objectives a first population of all sizes.
        """
        rng = np.random.default_rng(self.settings.seed)
        count = self.settings.population - len(ANCHORS) if self._pareto else 0
        sampled = {
            architecture_of(trial.system_attrs.get("fixed_params", trial.params))
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state != TrialState.FAIL
        }
        planned = [*ANCHORS, *(sample(rng) for _ in range(count))]
        return [architecture for architecture in planned if architecture not in sampled]

    def _sampler(self) -> BaseSampler:
        if not self._pareto:
            return AgingEvolution(self.settings.seed, self.settings.population)
        # A new one with its own seed for each trial: see `count_trials`.
        seed = np.random.default_rng([self.settings.seed, count_trials(self.study)])
        return NSGAIISampler(
            population_size=self.settings.population, seed=int(seed.integers(2**32 - 1))
        )

    def _evaluate(self, trial: Trial, evaluator: Evaluator) -> Candidate | None:
        """Evaluate a trial's network and store the result in the study; None for a repetition."""
        architecture = architecture_of(trial.params)
        if not architecture.wct_layers:
            # The network would transfer nothing.
            self.study.tell(trial, state=TrialState.PRUNED)
            return None
        for known in self.study.get_trials(deepcopy=False):
            candidate = _candidate(known)
            if candidate and candidate.architecture == architecture:
                complete = known.state == TrialState.COMPLETE
                self.study.tell(trial, known.values if complete else None, state=known.state)
                return None

        latency = evaluator.latency(architecture)
        network = evaluator.supernet.subnetwork(architecture)
        rows: list[Figures] = []
        state, estimate = "complete", None
        while len(rows) < self.settings.pairs and state == "complete":
            rows.append(evaluator.compare(network, len(rows)))
            if architecture not in ANCHORS:
                state, estimate = self._prune(trial, rows, latency, architecture)
        figures = _mean(rows) | {"latency": latency}
        if estimate is not None:
            figures[self.objective] = estimate
        if not self._pareto:
            figures["score"] = paper_score(figures["pixel"], figures["feature"], architecture)
        trial.set_user_attr("pairs", len(rows))
        if self._pareto:
            trial.set_user_attr("objectives", [row[self.objective] for row in rows])
        trial.set_user_attr("state", state)
        trial.set_user_attr("figures", figures)
        if self._pareto:
            self.study.tell(trial, [figures[self.objective], latency])
        elif state == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, figures[self.objective])
        return Candidate(trial.number, architecture, state, len(rows), figures)

    def _prune(
        self, trial: Trial, rows: Sequence[Figures], latency: float, architecture: Architecture
    ) -> tuple[str, float | None]:
        """The state of a candidate after some pairs, and its estimated objective if it is pruned.

        With one objective Optuna's pruner decides. Optuna has no pruner for two objectives: after a
        quarter and half of the pairs we prune a candidate that is clearly slower than another
        (SLOWER) and, on these pairs, clearly farther from the teacher or the known answers
        (FARTHER). Its estimate is the other's objective times the same ratio, so that the candidate
        is dominated.
        """
        done, pairs = len(rows), self.settings.pairs
        if done == pairs:
            return "complete", None
        if not self._pareto:
            mean = _mean(rows)
            trial.report(paper_score(mean["pixel"], mean["feature"], architecture), done)
            return ("pruned" if trial.should_prune() else "complete"), None
        if done not in (pairs // 4, pairs // 2):
            return "complete", None
        mine = _mean(rows)[self.objective]
        for other in self.study.get_trials(deepcopy=False):
            candidate = _candidate(other)
            if candidate and candidate.state == "complete":
                theirs = float(np.mean(other.user_attrs["objectives"][:done]))
                slower = latency > SLOWER * candidate.figures["latency"]
                if slower and mine > FARTHER * theirs:
                    estimate = candidate.figures[self.objective] * mine / max(theirs, 1e-9)
                    return "pruned", estimate
        return "complete", None

    def _objectives(self, candidate: Candidate) -> tuple[float, float]:
        return candidate.figures["latency"], candidate.figures[self.objective]

    def _dominates(self, one: Candidate, other: Candidate) -> bool:
        a, b = self._objectives(one), self._objectives(other)
        return a != b and a[0] <= b[0] and a[1] <= b[1]


def _storage(name: str) -> optuna.storages.BaseStorage:
    """The storage in a journal file or a database, by file name or URL.

    A journal is the default because SQLite takes ten times as long for a trial's 31 parameters.
    """
    if "://" in name:
        return optuna.storages.RDBStorage(name)
    journal = Path(name)
    if journal.is_file() and (lines := journal.read_bytes()) and not lines.endswith(b"\n"):
        raise ValueError("its last line is incomplete; delete that line")
    return JournalStorage(JournalFileBackend(name))


def _pruner(settings: SearchSettings) -> BasePruner:
    """With the paper's score, a pruner of the worst quarter after the first population."""
    if settings.score != "paper":
        return NopPruner()
    return PercentilePruner(75, settings.population, max(1, settings.pairs // 4))


def _candidate(trial: FrozenTrial) -> Candidate | None:
    """The candidate of a finished trial; None if it repeats another."""
    attributes = trial.user_attrs
    if "figures" not in attributes or not trial.state.is_finished():
        return None
    return Candidate(
        trial.number,
        architecture_of(trial.params),
        attributes["state"],
        attributes["pairs"],
        attributes["figures"],
    )


def _mean(rows: Sequence[Figures]) -> Figures:
    """The mean of each figure over the pairs that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}

"""The P-step: search the architectures of a supernet for good and fast ones.

Every candidate is a trial of an Optuna study, whose storage makes the search resumable and lets
several processes, on one machine or on several, work on it together.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
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
from photostyle.model.architecture import PHOTONAS, PHOTONET, Architecture
from photostyle.training.evolution import (
    SPACE,
    AgingEvolution,
    architecture_of,
    draws,
    parameters_of,
)
from photostyle.training.judge import Figures, Judge, paper_score
from photostyle.training.supernet import SMALLEST, canonical, sample

ANCHORS = (PHOTONET, PHOTONAS, SMALLEST)
"""Judged first and in full: the teacher's architecture, the published one, the smallest."""

SLOWER, FARTHER = 1.05, 1.15
"""How many times slower and farther than another a candidate must be to be given up early."""


@dataclass(frozen=True)
class Plan:
    """Everything that decides what a search finds, besides the machine's speed.

    score: "pareto" (two objectives) or "paper" (one). supernet, reference: as
    `photostyle.model.checkpoint.identify` names them. latency_size: side of the square that is timed.
    """

    supernet: str
    reference: str
    photos: int
    score: str = "pareto"
    pairs: int = 12
    size: int = 160
    latency_size: int = 192
    population: int = 50
    seed: int = 0


@dataclass(frozen=True)
class Candidate:
    """A network that was judged, and its figures: see `Judge.compare`, latency and score.

    state: "complete", or "pruned" when it was given up after ``pairs`` pairs; its figures are then
    means over these.
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
            "parts": str(self.architecture).count("1"),
            "state": self.state,
            "pairs": self.pairs,
            **{name: round(value, 6) for name, value in self.figures.items()},
        }


class Search:
    """A search in an Optuna study, which is made unless the storage has it.

    Raises PhotostyleError when the storage cannot be used or holds that study of another plan.
    """

    def __init__(self, plan: Plan, storage: str, name: str):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.plan = plan
        self._pareto = plan.score == "pareto"
        try:
            self.study = optuna.create_study(
                storage=_storage(storage),
                study_name=name,
                directions=["minimize"] * (2 if self._pareto else 1),
                pruner=_pruner(plan),
                load_if_exists=True,
            )
        except Exception as error:  # every kind of storage has errors of its own
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise PhotostyleError(f"The storage {storage!r} cannot be used: {reason}") from None
        found = self.study.user_attrs.get("plan")
        if found is None:
            self.study.set_user_attr("plan", asdict(plan))
        elif found != asdict(plan):
            raise PhotostyleError(
                f"The study {name!r} in {storage!r} was made with other options or another "
                "supernet; repeat those, or use a new --output or --study."
            )

    def run(
        self,
        judge: Judge,
        count: int,
        progress: Callable[[Candidate], None],
        also: Sequence[Architecture] = (),
    ) -> None:
        """Judge candidates until the study holds ``count`` different ones, ANCHORS and ``also``.

        ``progress`` is told of each. After an interruption the same candidates follow as without.
        """
        with judge.supernet.shared_encodings():
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
                    candidate = self._judge(trial, judge)
                except BaseException:
                    self.study.tell(trial, state=TrialState.FAIL)
                    raise
                if candidate:
                    progress(candidate)

    def candidates(self) -> list[Candidate]:
        """All different candidates that were judged, in the order of their numbers."""
        judged: dict[Architecture, Candidate] = {}
        for trial in self.study.get_trials(deepcopy=False):
            if candidate := _candidate(trial):
                judged.setdefault(candidate.architecture, candidate)
        return list(judged.values())

    def front(self) -> list[Candidate]:
        """The candidates that no other one dominates in distance and latency, fastest first."""
        complete = [c for c in self.candidates() if c.state == "complete"]
        return [
            c
            for c in sorted(complete, key=_latency)
            if not any(_dominates(other, c) for other in complete)
        ]

    def choose(self, within: float) -> Candidate:
        """The network to train on: under the paper's score the best one.

        Otherwise the fastest whose distance to the teacher is at most (1 + ``within``) times that
        of the published PHOTONAS, or the closest when none is that close.
        """
        if not self._pareto:
            complete = [c for c in self.candidates() if c.state == "complete"]
            return min(complete, key=lambda c: c.figures["score"])
        front = self.front()
        limit = (1 + within) * self.find(PHOTONAS).figures["distance"]
        return next((c for c in front if c.figures["distance"] <= limit), front[-1])

    def find(self, architecture: Architecture) -> Candidate:
        """What is known of an architecture; raises PhotostyleError when it was not judged."""
        for candidate in self.candidates():
            if candidate.architecture == canonical(architecture):
                return candidate
        raise PhotostyleError(f"The search has not judged {architecture}.")

    def write(self, path: Path) -> None:
        """Write all candidates as lines of JSON."""
        with new_file(path, overwrite=True) as file:
            for candidate in self.candidates():
                file.write(json.dumps(candidate.as_json()).encode() + b"\n")

    def _planned(self) -> list[Architecture]:
        """What is not left to the sampler and has not been drawn yet.

        ANCHORS, and in the default search a first population in which all sizes are as frequent.
        """
        rng = np.random.default_rng(self.plan.seed)
        count = self.plan.population - len(ANCHORS) if self._pareto else 0
        drawn = {
            architecture_of(trial.system_attrs.get("fixed_params", trial.params))
            for trial in self.study.get_trials(deepcopy=False)
            if trial.state != TrialState.FAIL
        }
        planned = [*ANCHORS, *(sample(rng) for _ in range(count))]
        return [architecture for architecture in planned if architecture not in drawn]

    def _sampler(self) -> BaseSampler:
        if not self._pareto:
            return AgingEvolution(self.plan.seed, self.plan.population)
        # A fresh one for each trial, seeded for it: see `draws`.
        seed = np.random.default_rng([self.plan.seed, draws(self.study)])
        return NSGAIISampler(
            population_size=self.plan.population, seed=int(seed.integers(2**32 - 1))
        )

    def _judge(self, trial: Trial, judge: Judge) -> Candidate | None:
        """Judge a trial's network unless it is known already, and tell the study."""
        architecture = architecture_of(trial.params)
        if not architecture.wct_layers:
            # Nothing would be transferred: no candidate.
            self.study.tell(trial, state=TrialState.PRUNED)
            return None
        for known in self.study.get_trials(deepcopy=False):
            candidate = _candidate(known)
            if candidate and candidate.architecture == architecture:
                complete = known.state == TrialState.COMPLETE
                self.study.tell(trial, known.values if complete else None, state=known.state)
                return None

        latency = judge.latency(architecture)
        network = judge.supernet.subnetwork(architecture)
        rows: list[Figures] = []
        state, distance = "complete", None
        while len(rows) < self.plan.pairs and state == "complete":
            rows.append(judge.compare(network, len(rows)))
            if architecture not in ANCHORS:
                state, distance = self._prune(trial, rows, latency, architecture)
        figures = _mean(rows) | {"latency": latency}
        if distance is not None:
            figures["distance"] = distance
        if not self._pareto:
            figures["score"] = paper_score(figures["pixel"], figures["feature"], architecture)
        trial.set_user_attr("distances", [row["distance"] for row in rows])
        trial.set_user_attr("state", state)
        trial.set_user_attr("figures", figures)
        if self._pareto:
            self.study.tell(trial, [figures["distance"], latency])
        elif state == "pruned":
            self.study.tell(trial, state=TrialState.PRUNED)
        else:
            self.study.tell(trial, figures["score"])
        return Candidate(trial.number, architecture, state, len(rows), figures)

    def _prune(
        self, trial: Trial, rows: Sequence[Figures], latency: float, architecture: Architecture
    ) -> tuple[str, float | None]:
        """State of a candidate after some pairs, and when it is given up its distance, estimated.

        One objective: Optuna's pruner decides. It knows none for two objectives; then, after a
        quarter and after a half of the pairs, a candidate is given up that is clearly slower than
        another one (SLOWER) and on these pairs clearly farther from the teacher (FARTHER). It stays
        farther by as much in the estimate, and so it is dominated.
        """
        done, pairs = len(rows), self.plan.pairs
        if done == pairs:
            return "complete", None
        if not self._pareto:
            mean = _mean(rows)
            trial.report(paper_score(mean["pixel"], mean["feature"], architecture), done)
            return ("pruned" if trial.should_prune() else "complete"), None
        if done not in (pairs // 4, pairs // 2):
            return "complete", None
        mine = _mean(rows)["distance"]
        for other in self.study.get_trials(deepcopy=False):
            candidate = _candidate(other)
            if candidate and candidate.state == "complete":
                theirs = float(np.mean(other.user_attrs["distances"][:done]))
                slower = latency > SLOWER * candidate.figures["latency"]
                if slower and mine > FARTHER * theirs:
                    return "pruned", candidate.figures["distance"] * mine / max(theirs, 1e-9)
        return "complete", None


def _storage(place: str) -> optuna.storages.BaseStorage:
    """A file, or a database by its URL.

    The file is a journal: SQLite takes ten times as long for the 31 parameters of a trial.
    """
    if "://" in place:
        return optuna.storages.RDBStorage(place)
    journal = Path(place)
    if journal.is_file() and (lines := journal.read_bytes()) and not lines.endswith(b"\n"):
        raise ValueError("its last line was cut off; delete that line")
    return JournalStorage(JournalFileBackend(place))


def _pruner(plan: Plan) -> BasePruner:
    """The worst quarter of what comes after the first population is not judged to the end."""
    if plan.score == "pareto":
        return NopPruner()
    return PercentilePruner(75, plan.population, max(1, plan.pairs // 4))


def _candidate(trial: FrozenTrial) -> Candidate | None:
    """What a trial says, unless it repeats another or is not finished."""
    attributes = trial.user_attrs
    if "figures" not in attributes or not trial.state.is_finished():
        return None
    return Candidate(
        trial.number,
        architecture_of(trial.params),
        attributes["state"],
        len(attributes["distances"]),
        attributes["figures"],
    )


def _mean(rows: Sequence[Figures]) -> Figures:
    """The mean of each figure over the pairs that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}


def _latency(candidate: Candidate) -> tuple[float, float]:
    return candidate.figures["latency"], candidate.figures["distance"]


def _dominates(one: Candidate, other: Candidate) -> bool:
    a, b = _latency(one), _latency(other)
    return a != b and a[0] <= b[0] and a[1] <= b[1]

"""The plot of a search: every candidate by latency and its objective."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from photostyle.files import new_file
from photostyle.model.architecture import PHOTONAS, PHOTONET
from photostyle.training.search import Candidate, Search

_LABELS = {
    "distance": "mean colour difference to the teacher's results (CIEDE2000)",
    "error": "error: CIEDE2000 to known answers, 20 (1 - region_style) of others",
    "score": "the paper's score",
}


def save_plot(search: Search, chosen: Candidate, path: Path) -> None:
    """Write the plot as PNG, with PhotoNet, the paper's PhotoNAS and the chosen network marked.

    An existing file is replaced. Raises PhotostyleError if the file cannot be written.
    """
    figure = Figure(figsize=(8, 5.5), dpi=120, layout="constrained")
    axes = figure.subplots()

    candidates = search.candidates()

    def points(group: Sequence[Candidate]) -> tuple[list[float], list[float]]:
        return [c.figures["latency"] for c in group], [c.figures[search.objective] for c in group]

    for state, color in (("pruned", "0.85"), ("complete", "0.6")):
        group = [candidate for candidate in candidates if candidate.state == state]
        axes.scatter(*points(group), s=14, color=color, label=f"{state} ({len(group)})")
    axes.plot(*points(search.front()), "-", color="tab:blue", marker=".", label="Pareto front")
    marks = [
        ("PhotoNet", "s", "tab:green", PHOTONET),
        ("PhotoNAS of the paper", "D", "tab:orange", PHOTONAS),
        (f"chosen: {chosen.architecture}", "*", "tab:red", chosen.architecture),
    ]
    for label, marker, color, architecture in marks:
        group = [c for c in candidates if c.architecture == architecture]
        size = 200 if marker == "*" else 60
        axes.scatter(
            *points(group), s=size, marker=marker, color=color, label=label, zorder=3, alpha=0.85
        )
    axes.set_xlabel("time to learn and apply a style / the teacher's")
    axes.set_ylabel(_LABELS[search.objective])
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    with new_file(path, overwrite=True) as file:
        figure.savefig(file, format="png")

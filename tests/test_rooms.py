"""The order of packages: imports run one way, never in a circle, not even for types."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
DOOR = "photostyle"

ROOMS = (
    *("errors", "version", "files", "allocator"),
    *("model", "transfer", "photo", "video", "lut", "jobs"),
    *("evaluation", "training", "bench", "cli", "__main__"),
)
"""Packages and top-level modules. Each imports only from those before it."""

FOUNDATION = {"errors", "version", "files", "allocator"}

ALLOWED = {
    "photo": FOUNDATION,
    "video": FOUNDATION,
    "transfer": {*FOUNDATION, "model"},
}
"""What a room may import, where that is less than all rooms before it."""


def modules() -> dict[str, Path]:
    """Paths by dotted names, with a package under its own name."""
    found = {}
    for path in (SOURCE / DOOR).rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports anywhere in its text, with those of other projects."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = name if MODULES[name].stem == "__init__" else name.rpartition(".")[0]
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [base])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield submodule if submodule in MODULES else base
        elif isinstance(node, ast.Call) and "import_module" in ast.unparse(node.func):
            yield from (str(a.value) for a in node.args if isinstance(a, ast.Constant))


IMPORTS = {
    name: set(imports(name, ast.parse(path.read_text()))) - {name} for name, path in MODULES.items()
}


def short(name: str) -> str:
    return name.removeprefix(f"{DOOR}.")


def room(name: str) -> str:
    return short(name).partition(".")[0]


def arrows() -> Iterator[tuple[str, str]]:
    """Every import of one of our modules by another, except those of the public door."""
    for name, targets in IMPORTS.items():
        if name != DOOR:
            yield from ((name, target) for target in targets if room(target) in {*ROOMS, DOOR})


def runs_up(name: str, target: str) -> bool:
    if target == DOOR:
        return True
    here, there = room(name), room(target)
    if here == there:
        return False
    return there not in ALLOWED.get(here, ROOMS[: ROOMS.index(here)])


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one twice; empty without one."""
    done: set[str] = set()

    def search(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(edges.get(name, ())):
            if found := search(target, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(edges) if (found := search(name, []))), [])


def test_every_module_has_its_room() -> None:
    assert {room(name) for name in MODULES if name != DOOR} == set(ROOMS)


def test_no_import_runs_up() -> None:
    wrong = sorted(f"{short(a)} -> {short(b)}" for a, b in arrows() if runs_up(a, b))
    assert not wrong, "\n".join(["These imports run up:", *wrong])


def test_no_imports_run_in_a_circle() -> None:
    edges: dict[str, set[str]] = {}
    for name, target in arrows():
        edges.setdefault(name, set()).add(target)
    assert not (found := cycle(edges)), " -> ".join(map(short, found))


def test_networks_and_transfer_do_not_know_ffmpeg() -> None:
    for name, targets in IMPORTS.items():
        if room(name) in ("model", "transfer"):
            assert not any(target.startswith("imageio") for target in targets), name


def test_arrows_are_found_in_every_form() -> None:
    text = """
import photostyle.jobs, numpy
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from ..transfer import style
def late():
    from . import limits
    from photostyle import Stylizer, lut
    importlib.import_module("photostyle.cli")
"""
    found = set(imports("photostyle.photo.decode", ast.parse(text)))
    ours = {name for name in found if name.startswith(DOOR)}
    assert {short(name) for name in ours} == {
        *("jobs", "transfer.style", "photo.limits", "photostyle", "lut", "cli")
    }
    assert runs_up("photostyle.photo.decode", "photostyle.transfer.style")
    assert runs_up("photostyle.model.network", "photostyle")
    assert not runs_up("photostyle.cli.image", "photostyle.jobs")
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_the_readme_names_every_room() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| `errors`"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    named = [
        name.rstrip("/") for row in rows for name in re.findall(r"`([\w/]+)`", row.split("|")[1])
    ]
    assert named == [name for name in ROOMS if name != "__main__"]

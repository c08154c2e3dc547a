"""The order of packages: imports point one way and form no cycle, not even for types."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
ROOT_PACKAGE = "photostyle"

PACKAGES = (
    *("errors", "version", "files", "bundled", "allocator", "openmp", "threads", "bt2100"),
    *("display", "input_space"),
    *("model", "transfer", "photo", "video", "lut", "jobs"),
    *("evaluation", "training", "bench", "ui", "cli", "__main__"),
)
"""Packages and top-level modules. Each imports only from those before it."""

FOUNDATION = {
    *("errors", "version", "files", "bundled", "allocator", "openmp", "threads", "bt2100"),
    *("display", "input_space"),
}

ALLOWED = {
    "photo": FOUNDATION,
    "video": FOUNDATION,
    "transfer": {*FOUNDATION, "model"},
}
"""The imports that a package may use, if not those of all packages before it."""


def modules() -> dict[str, Path]:
    """Paths of our modules by dotted name; a package has its own name."""
    found = {}
    for path in (SOURCE / ROOT_PACKAGE).rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(name: str, tree: ast.AST) -> Iterator[str]:
    """Dotted names that a module imports anywhere, including third-party ones."""
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
    return name.removeprefix(f"{ROOT_PACKAGE}.")


def package_of(name: str) -> str:
    return short(name).partition(".")[0]


def internal_imports() -> Iterator[tuple[str, str]]:
    """Imports of our modules by each other, except those in `photostyle` itself."""
    for name, targets in IMPORTS.items():
        if name != ROOT_PACKAGE:
            yield from (
                (name, target)
                for target in targets
                if package_of(target) in {*PACKAGES, ROOT_PACKAGE}
            )


def points_up(name: str, target: str) -> bool:
    if target == ROOT_PACKAGE:
        return True
    here, there = package_of(name), package_of(target)
    if here == there:
        return False
    return there not in ALLOWED.get(here, PACKAGES[: PACKAGES.index(here)])


def cycle(edges: dict[str, set[str]]) -> list[str]:
    """A cycle of imports, with its first module repeated at the end; empty if there is none."""
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


def test_every_module_belongs_to_a_package() -> None:
    assert {package_of(name) for name in MODULES if name != ROOT_PACKAGE} == set(PACKAGES)


def test_no_import_points_to_a_later_package() -> None:
    wrong = sorted(f"{short(a)} -> {short(b)}" for a, b in internal_imports() if points_up(a, b))
    assert not wrong, "\n".join(["These imports point to later packages:", *wrong])


def test_imports_form_no_cycle() -> None:
    edges: dict[str, set[str]] = {}
    for name, target in internal_imports():
        edges.setdefault(name, set()).add(target)
    assert not (found := cycle(edges)), " -> ".join(map(short, found))


def test_networks_and_transfer_do_not_import_ffmpeg() -> None:
    for name, targets in IMPORTS.items():
        if package_of(name) in ("model", "transfer"):
            assert not any(target.startswith("imageio") for target in targets), name


def test_imports_of_every_form_are_found() -> None:
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
    ours = {name for name in found if name.startswith(ROOT_PACKAGE)}
    assert {short(name) for name in ours} == {
        *("jobs", "transfer.style", "photo.limits", "photostyle", "lut", "cli")
    }
    assert points_up("photostyle.photo.decode", "photostyle.transfer.style")
    assert points_up("photostyle.model.network", "photostyle")
    assert not points_up("photostyle.cli.image", "photostyle.jobs")
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert cycle({"a": {"b", "c"}, "b": {"c"}}) == []


def test_the_readme_names_every_package() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| `errors`"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    named = [
        name.rstrip("/") for row in rows for name in re.findall(r"`([\w/]+)`", row.split("|")[1])
    ]
    assert named == [name for name in PACKAGES if name != "__main__"]

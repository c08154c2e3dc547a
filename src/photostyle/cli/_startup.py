"""Makes `photostyle image` start sooner; each function says what it saves for a full-HD photo."""

from __future__ import annotations

import gc
import sys
from contextlib import suppress
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from threading import Thread
from types import ModuleType
from typing import Any

UNUSED = "torch._meta_registrations"
"""A module of torch that computes shapes for meta tensors, which no command needs."""

TESTED = ("2.14.",)
"""The versions of torch with which deferring `UNUSED` is tested."""


def import_torch_meanwhile() -> Thread:
    """Import torch in another thread while photos are read: saves the time that reading takes."""
    _reduce_garbage_collection()
    finder = _defer_unused()

    def import_engine() -> None:
        with suppress(Exception):  # raised again where torch is needed
            import_module("photostyle.transfer.stylizer")
        if finder:
            finder.import_with_siblings = True

    thread = Thread(target=import_engine)
    thread.start()
    return thread


def _reduce_garbage_collection() -> None:
    """Saves the 0.2 s that the garbage collector takes, in vain, while torch is imported.

    The process handles one photo and never allocates a million objects after that.
    """
    gc.set_threshold(1_000_000)


def _defer_unused() -> DeferringFinder | None:
    """Saves 0.2 s: `UNUSED` is imported only when one of its attributes is used, if ever.

    Only for the versions of torch in TESTED; any other version is imported as usual.
    """
    from importlib import metadata

    try:
        tested = metadata.version("torch").startswith(TESTED)
    except metadata.PackageNotFoundError:
        tested = False
    if not tested or "torch" in sys.modules:
        return None
    finder = DeferringFinder(UNUSED)
    sys.meta_path.insert(0, finder)
    return finder


class DeferringFinder:
    """An import hook that defers a private module until one of its attributes is used.

    import_with_siblings: also import it before any other private module of its package, which may
    rely on what it registers. (`importlib.util.LazyLoader` would import it as soon as `inspect`
    iterates over all modules.)
    """

    def __init__(self, name: str) -> None:
        self.name, self.import_with_siblings = name, False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname == self.name:
            spec = PathFinder.find_spec(fullname, path, target)
            if spec and isinstance(spec.loader, SourceFileLoader):
                spec.loader = _Loader(spec.loader.name, spec.loader.path)
            return spec
        if self.import_with_siblings and fullname.startswith(self.name.partition("._")[0] + "._"):
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
            module = sys.modules.get(self.name)
            if isinstance(module, _DeferredModule):
                module.load()
        return None


class _Loader(SourceFileLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _DeferredModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _DeferredModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `inspect` looks these up in every module
            raise AttributeError(name)
        self.load()
        return getattr(self, name)

    def load(self) -> None:
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert isinstance(self.__spec__.loader, _Loader)
        SourceFileLoader.exec_module(self.__spec__.loader, self)

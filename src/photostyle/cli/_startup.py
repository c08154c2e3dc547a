"""What makes the seconds before a command's work begins few."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from threading import Thread
from types import ModuleType
from typing import Any

UNUSED = "torch._meta_registrations"
"""A quarter of the time that importing torch takes: the shapes of what its operators give, for
tensors without values, of which a command has none."""


@contextmanager
def meanwhile_importing_engine(wanted: bool) -> Iterator[None]:
    """While the block reads photos another thread imports torch, which takes as long."""

    def import_engine() -> None:
        with suppress(Exception):  # which will come again where the engine is needed
            import_module("photostyle.engine")

    thread = Thread(target=import_engine)
    gc.disable()  # an import makes no garbage to speak of, and looking for it takes a tenth longer
    if wanted:
        sys.meta_path.insert(0, _Finder)
        thread.start()
    try:
        yield
    finally:
        if wanted:  # to leave in the middle of it could end in a crash
            thread.join()
            sys.meta_path.remove(_Finder)
        gc.freeze()  # nor is there any among what has been imported
        gc.enable()


class _Finder(PathFinder):
    """Finds `UNUSED`, to be imported when something in it is first looked up."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname != UNUSED:
            return None
        spec = super().find_spec(fullname, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Module(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `inspect` looks for these in every module there is
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert isinstance(self.__loader__, _Loader)
        SourceFileLoader.exec_module(self.__loader__, self)
        return getattr(self, name)

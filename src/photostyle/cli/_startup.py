"""Makes a command start sooner."""

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
"""A quarter of the time that importing torch takes: shapes of results for tensors without values,
which no command computes with."""


def import_torch_meanwhile() -> None:
    """Import torch in another thread while photos are read, which takes as long."""

    def import_engine() -> None:
        with suppress(Exception):  # raised again where torch is needed
            import_module("photostyle.transfer.stylizer")

    Thread(target=import_engine).start()


@contextmanager
def meanwhile_importing_engine(wanted: bool) -> Iterator[None]:
    """While the block reads photos another thread, if wanted, imports torch, which takes as long.

    What is imported is no longer looked at for garbage, and `UNUSED` comes `Late`.
    """

    def import_engine() -> None:
        with suppress(Exception):  # which will come again where the engine is needed
            import_module("photostyle.transfer.stylizer")

    thread, late = Thread(target=import_engine), Late(UNUSED)
    try:
        gc.disable()  # an import makes no garbage to speak of; looking for it takes a tenth longer
        if wanted and "torch" not in sys.modules:
            sys.meta_path.insert(0, late)
        if wanted:
            thread.start()
        yield
    finally:
        if thread.ident:  # to leave in the middle of it could end in a crash
            thread.join()
        late.wakes = True
        gc.freeze()  # nor is there any among what has been imported
        gc.enable()


class Late:
    """A finder that lets a private module wait to be imported until something in it is looked up.

    wakes: whether it is also imported before any more of its package's private modules is, which
    count on it. What looks up nothing, such as operators that it registers, does without it.
    (`importlib.util.LazyLoader` would import it as soon as `inspect` goes through all modules.)
    """

    def __init__(self, name: str) -> None:
        self.name, self.wakes = name, False

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if fullname == self.name:
            spec = PathFinder.find_spec(fullname, path, target)
            if spec and isinstance(spec.loader, SourceFileLoader):
                spec.loader = _Loader(spec.loader.name, spec.loader.path)
            return spec
        if self.wakes and fullname.startswith(self.name.partition("._")[0] + "._"):
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
            module = sys.modules.get(self.name)
            if isinstance(module, _Waiting):
                module.wake()
        return None


class _Loader(SourceFileLoader):
    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Waiting(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


class _Waiting(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # `inspect` looks for these in every module there is
            raise AttributeError(name)
        self.wake()
        return getattr(self, name)

    def wake(self) -> None:
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert isinstance(self.__spec__.loader, _Loader)
        SourceFileLoader.exec_module(self.__spec__.loader, self)

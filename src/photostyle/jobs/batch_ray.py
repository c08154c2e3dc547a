"""Runs the jobs of a batch on a Ray cluster, with one actor per core or GPU."""

from __future__ import annotations

import logging
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from photostyle.bundled import networks
from photostyle.errors import PhotostyleError, needs_extra
from photostyle.jobs import storage
from photostyle.jobs.batch_plan import Entry
from photostyle.jobs.batch_pool import Running
from photostyle.jobs.batch_worker import MEMORY, Job, Outcome, Settings, Worker, prepared
from photostyle.version import __version__

ATTEMPTS = 3
"""How often a file is tried if the processes that work on it are lost."""

STARTS = 10
"""How many actors may be lost one after another, before one does any work."""

PATIENCE = 300.0
"""Seconds to wait for the first free core or GPU, and for another one when all are lost."""

HEAD_PATIENCE = 30.0
"""Seconds that the head may be out of reach; after 60 Ray ends this process without a word."""

INTERVAL = 5.0
"""Seconds after which nodes that have joined or left are noticed."""


@contextmanager
def connected(address: str) -> Iterator[Cluster]:
    """A running cluster; address: HOST:PORT, or "auto" for that which this machine belongs to.

    Raises PhotostyleError if Ray is not installed or there is no such cluster.
    """
    with needs_extra("ray"):
        import ray
    if ray.is_initialized():  # by a Python program, which also ends it
        yield Cluster()
        return
    _check_reachable(address)
    with _quiet(ray._private.worker):
        try:
            with _signals_kept():
                ray.init(address, log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:  # of many kinds: of addresses, versions, packages, the network
            said = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
            raise PhotostyleError(
                f"The Ray cluster {address!r} cannot be used ({said}); {_ADVICE}"
            ) from error
        try:
            yield Cluster()
        finally:
            ray.shutdown()


@contextmanager
def _quiet(worker: Any) -> Iterator[None]:
    """Keep Ray's messages on lost processes out of stdout, for which it has no setting."""
    worker._worker_logs_enabled = False
    try:
        yield
    finally:
        worker._worker_logs_enabled = True


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Undo it if the block handles signals, as `ray.init` does."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in handlers.items():
            signal.signal(number, handler)


_ADVICE = "start one with `ray start --head`, or give the address of one that runs."


def _check_reachable(address: str) -> None:
    """Raise PhotostyleError at once if nothing listens at HOST:PORT; Ray tries for a minute."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if address == "auto":
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=10):
            return
    except ValueError:
        raise PhotostyleError(f"{address!r} is no address of a Ray cluster; {_ADVICE}") from None
    except OSError as error:
        said = error.strerror or error
        raise PhotostyleError(
            f"There is no Ray cluster at {address!r} ({said}); {_ADVICE}"
        ) from None


class Cluster:
    """The cluster that this process is connected to."""

    def run(self, jobs: Iterable[Job], settings: Settings, count: int | None) -> Running:
        """Run jobs in ``count`` actors; None for one per core or GPU, as nodes join and leave.

        A job whose actor is lost, alone or with its node, is given to another one, up to ATTEMPTS
        times. Raises PhotostyleError if the nodes have another version of photostyle, or offer no
        core or GPU for a long time.
        """
        crew = _Crew(settings, count)
        remaining = iter(jobs)
        again: deque[tuple[Job, int]] = deque()
        try:
            while True:
                for actor in crew.free():
                    job, attempt = again.popleft() if again else (next(remaining, None), 1)
                    if job is None:
                        crew.dismiss(actor)
                    else:
                        crew.give(actor, job, attempt)
                if crew.dismissed and not (crew.working or again):
                    return
                for job, attempt, outcome in crew.wait():
                    if outcome or attempt == ATTEMPTS:
                        yield job, outcome or Outcome("failed", error=_LOST)
                    else:
                        again.append((job, attempt + 1))
        finally:
            crew.end()


_LOST = f"The processes that worked on it were lost {ATTEMPTS} times."


class _Actor:
    """A process of a node."""

    def ready(self, settings: Settings) -> str:
        """Prepare to work; returns the version of photostyle."""
        self._worker: Worker = prepared(settings)
        return __version__

    def work(self, job: Job) -> Outcome:
        return self._worker.work(job)


class _Crew:
    """The actors: those that start, those that are ready, and those that work."""

    def __init__(self, settings: Settings, count: int | None) -> None:
        nodes = _nodes()
        gpus, cores = (sum(node.get(name, 0) for node in nodes) for name in ("GPU", "CPU"))
        self._gpu = settings.device.startswith("cuda") or (settings.device == "auto" and gpus > 0)
        self._settings = replace(
            settings,
            device="cuda" if self._gpu else "cpu",
            threads=max(1, int(cores / gpus)) if self._gpu and gpus else 1,
            model=settings.model
            if settings.model in ("none", *networks())
            else str(Path(settings.model).absolute()),
        )
        self._count = count
        self.working: dict[Any, tuple[Any, Job, int]] = {}
        self.dismissed = False
        self._starting: dict[Any, Any] = {}
        self._ready: list[Any] = []
        self._lost = 0
        self._checked = -INTERVAL
        self._worked = self._seen = time.monotonic()

    def free(self) -> Iterator[Any]:
        """The actors without a job."""
        while self._ready:
            yield self._ready.pop()

    def give(self, actor: Any, job: Job, attempt: int) -> None:
        self.working[actor.work.remote(_absolute(job))] = actor, job, attempt

    def dismiss(self, actor: Any) -> None:
        """End an actor that finds no more jobs, and start no other."""
        self.dismissed = True
        _kill(actor)

    def wait(self) -> Iterator[tuple[Job, int, Outcome | None]]:
        """Wait for some jobs to end, with their outcomes, or None if their actors were lost."""
        import ray

        self._fill()
        refs = [*self._starting, *self.working]
        if not refs:
            time.sleep(1)
        finished, _ = ray.wait(refs, timeout=INTERVAL) if refs else ([], [])
        if self.working or self._ready:
            self._worked = time.monotonic()
        elif time.monotonic() - self._worked > PATIENCE:
            raise PhotostyleError(
                f"The Ray cluster has offered no free core or GPU for {PATIENCE / 60:.0f} minutes; "
                f"a process needs {MEMORY >> 30} GiB of memory."
            )
        for ref in finished:
            if ref in self._starting:
                self._started(ref)
                continue
            actor, job, attempt = self.working.pop(ref)
            try:
                outcome = ray.get(ref)
            except ray.exceptions.RayError:  # the process, or its node, is lost
                _kill(actor)
                self._replace()
                yield job, attempt, None
            else:
                self._lost = 0
                self._ready.append(actor)
                yield job, attempt, outcome

    def end(self) -> None:
        for actor in [*self._starting.values(), *(actor for actor, _, _ in self.working.values())]:
            _kill(actor)

    def _started(self, ref: Any) -> None:
        """Count an actor among the free ones, if it has started well."""
        import ray

        actor = self._starting.pop(ref)
        try:
            version = ray.get(ref)
        except ray.exceptions.RayError as error:
            self._lost += 1
            _kill(actor)
            self._replace()
            lines = str(error).strip().splitlines() or [type(error).__name__]
            if isinstance(error, ray.exceptions.RayTaskError) or self._lost > STARTS:
                raise PhotostyleError(
                    f"The Ray cluster cannot run photostyle ({lines[-1].strip().rstrip('.')}); "
                    f"install photostyle[ray] {__version__} on all nodes."
                ) from error
        else:
            if version != __version__:
                raise PhotostyleError(
                    f"A node of the Ray cluster has photostyle {version}, and this machine "
                    f"{__version__}; install the same version on all nodes."
                )
            self._ready.append(actor)

    def _fill(self) -> None:
        """Start actors for cores or GPUs without one, also of nodes that have joined."""
        if time.monotonic() - self._checked < INTERVAL:
            return
        self._checked = time.monotonic()
        if not self._sees_head() or self.dismissed:
            return
        size = self._count or _room(self._gpu)
        for _ in range(size - len(self._starting) - len(self._ready) - len(self.working)):
            self._start()

    def _sees_head(self) -> bool:
        """Whether the head can be reached; raises PhotostyleError if that is not so for long."""
        import ray

        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=INTERVAL).close()
        except OSError as error:
            if time.monotonic() - self._seen > HEAD_PATIENCE:
                raise PhotostyleError(
                    "The head of the Ray cluster is lost; start the cluster again, and go on with "
                    "--resume."
                ) from error
            return False
        self._seen = time.monotonic()
        return True

    def _replace(self) -> None:
        """An actor is lost: start one for its job if no others will come, or others soon."""
        self._checked = -INTERVAL
        if self.dismissed:
            self._start()

    def _start(self) -> None:
        import ray

        options = {"num_cpus": 1, "num_gpus": int(self._gpu), "memory": MEMORY}
        actor = ray.remote(**options)(_Actor).remote()
        self._starting[actor.ready.remote(self._settings)] = actor


def _nodes() -> list[dict[str, float]]:
    """The resources of the nodes that are alive."""
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _room(gpu: bool) -> int:
    """The number of actors for which the nodes have GPUs, or cores and memory."""
    if gpu:
        return sum(int(node.get("GPU", 0)) for node in _nodes())
    return sum(int(min(node.get("CPU", 0), node.get("memory", 0) // MEMORY)) for node in _nodes())


def _absolute(job: Job) -> Job:
    """A job with absolute paths: actors have working folders of their own."""

    def absolute(name: str) -> str:
        path = storage.place(name)
        return str(path.absolute()) if isinstance(path, Path) else name

    def entry(style: Entry) -> Entry:
        return absolute(style) if isinstance(style, str) else (absolute(style[0]), style[1])

    task = job.task
    content, output = (
        path.absolute() if isinstance(path, Path) else path for path in (task.content, task.output)
    )
    style = tuple(entry(one) for one in task.style)
    return replace(job, task=replace(task, content=content, style=style, output=output))


def _kill(actor: Any) -> None:
    import ray

    with suppress(Exception):  # it may be dead
        ray.kill(actor)

"""Runs the jobs of a batch in this process or in several of this machine."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

from photostyle.jobs.batch_worker import Job, Outcome, Settings, Worker, prepared

Running = Generator[tuple[Job, Outcome], None, None]
"""Jobs and what became of them, in the order of their ends."""

DIED = "The process that worked on it died."


def run_here(jobs: Iterable[Job], settings: Settings) -> Running:
    """Run jobs in this process."""
    worker = Worker(settings)
    yield from ((job, worker.work(job)) for job in jobs)


def run_in_processes(jobs: Iterable[Job], settings: Settings, count: int) -> Running:
    """Run jobs in ``count`` processes.

    A process that dies takes all others of its pool with it; what they were doing is done again at
    the end, one by one, to find the file that it died of.
    """
    lost: list[Job] = []
    for job, outcome in _run(iter(jobs), settings, count):
        if outcome:
            yield job, outcome
        else:
            lost.append(job)
    for job, outcome in _run(iter(lost), settings, 1):
        yield job, outcome or Outcome("failed", error=DIED)


def _run(
    jobs: Iterator[Job], settings: Settings, count: int
) -> Iterator[tuple[Job, Outcome | None]]:
    """Run jobs in one pool after another; None for those that were in work when one broke."""
    broken = True
    while broken:
        broken = False
        for job, outcome in _run_pool(jobs, settings, count):
            broken = broken or outcome is None
            yield job, outcome


def _run_pool(
    jobs: Iterator[Job], settings: Settings, count: int
) -> Iterator[tuple[Job, Outcome | None]]:
    """Run jobs in one pool until there are no more, or it breaks."""
    pool = ProcessPoolExecutor(
        count, get_context("spawn"), initializer=_start, initargs=(settings,)
    )
    running: dict[Future[Outcome], Job] = {}
    broken = False
    try:
        while True:
            # One more than there are processes, so that none waits; but only one in a search.
            while not broken and len(running) < count + (count > 1) and (job := next(jobs, None)):
                try:
                    running[pool.submit(_work, job)] = job
                except BrokenProcessPool:
                    broken = True
                    yield job, None
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                try:
                    yield job, future.result()
                except BrokenProcessPool:
                    broken = True
                    yield job, None
    finally:
        # Nothing is in work, or nobody waits for it; a process that ends takes torch apart first.
        for process in list((pool._processes or {}).values()):
            process.terminate()
        pool.shutdown(cancel_futures=True)


_worker: Worker


def _start(settings: Settings) -> None:
    """Prepare a process."""
    global _worker
    _worker = prepared(settings)


def _work(job: Job) -> Outcome:
    """Run a job in a process that `_start` has prepared."""
    return _worker.work(job)

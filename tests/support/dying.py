"""Processes of a batch that die of a file."""

from __future__ import annotations

import os
import signal
import time

from photostyle.jobs import batch_ray
from photostyle.jobs.batch_pool import _work
from photostyle.jobs.batch_worker import Job, Outcome


def work(job: Job) -> Outcome:
    """In place of `photostyle.jobs.batch_pool._work`: it dies of b.png."""
    _die_of_b(job)
    return _work(job)


class Actor(batch_ray._Actor):
    """In place of `photostyle.jobs.batch_ray._Actor`: it takes its time, and dies of b.png."""

    def work(self, job: Job) -> Outcome:
        time.sleep(0.2)
        _die_of_b(job)
        return super().work(job)


def _die_of_b(job: Job) -> None:
    if job.task.content.name == "b.png":
        os.kill(os.getpid(), signal.SIGKILL)

"""A Ray cluster of two nodes with a core each, in processes of this machine.

As a program it starts one, prints its address and the process of each node, removes the second node
when it reads a line, and stops all when its input ends, which is also when its parent dies.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


class TwoNodes:
    """A cluster that runs. environment: for commands that use it."""

    def __init__(self, process: subprocess.Popen[str], environment: dict[str, str]) -> None:
        assert process.stdout is not None
        self._process, self.environment = process, environment
        self.address, *nodes = process.stdout.readline().split() or [""]
        self._nodes = [int(node) for node in nodes]

    def workers(self) -> list[int]:
        """The processes of both nodes that work on a file at this moment."""
        return [
            number
            for number, parent, title in _processes()
            if parent in self._nodes and title.startswith("ray::") and title.endswith(".work")
        ]

    def busy_worker(self) -> int:
        """One of them, as soon as there is one."""
        while not (found := self.workers()):
            time.sleep(0.01)
        return found[0]

    def remove_node(self) -> None:
        """Kill the second node with its workers."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(file=self._process.stdin, flush=True)
        assert self._process.stdout.readline() == "removed\n"


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """A cluster for as long as the block; then all of its processes have ended."""
    # Not pytest's folder: paths of sockets are short.
    with TemporaryDirectory(prefix="ray-", dir="/tmp") as folder:
        environment = {
            **os.environ,
            **{"RAY_TMPDIR": folder, "RAY_USAGE_STATS_ENABLED": "0"},
            **{"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        }
        with subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        ) as process:  # at the end its input is closed, and it is waited for
            try:
                yield TwoNodes(process, environment)
            finally:
                process.communicate(timeout=60)
                left = [title for _, _, title in _processes() if folder in title]
        assert not left, left


def _processes() -> Iterator[tuple[int, int, str]]:
    """The number, the parent and the command of each process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            title = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
        yield int(folder.name), parent, title


def main() -> None:
    from ray.cluster_utils import Cluster

    node = {
        **{"num_cpus": 1, "num_gpus": 0, "memory": 4 << 30},
        **{"object_store_memory": 80_000_000, "include_dashboard": False},
    }
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        second = cluster.add_node(**node)
        cluster.wait_for_nodes()
        nodes = [
            node.all_processes["raylet"][0].process.pid for node in (cluster.head_node, second)
        ]
        print(cluster.address, *nodes, flush=True)
        if sys.stdin.readline():
            cluster.remove_node(second, allow_graceful=False)
            print("removed", flush=True)
            sys.stdin.read()
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()

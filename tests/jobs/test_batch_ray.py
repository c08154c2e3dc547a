"""`photostyle batch --ray`: a real cluster that loses workers and a node; clusters that fail."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image
from support.photos import clouds
from support.ray_cluster import TwoNodes, two_nodes

from photostyle.cli import cli
from photostyle.jobs.batch_journal import JOURNAL

DYING = """
from photostyle.jobs import batch_ray
from support import dying

batch_ray._Actor = dying.Actor

from photostyle.cli import main

main()
"""

COMMON = ["batch", "photos", "dusk.png", "-o", "results", "--model", "none", "--json"]
COUNT = 40


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number in range(COUNT):
        name = "b" if number == 1 else f"{number:02}"
        Image.fromarray(clouds(20, 15, seed=number)).save(f"photos/{name}.png")
    Image.fromarray(clouds(20, 15, seed=99)).save("dusk.png")


def started(cluster: TwoNodes, address: str, *code: str) -> subprocess.Popen[str]:
    command = [sys.executable, *code, *COMMON, "--resume", "--ray", address]
    return subprocess.Popen(
        command,
        env={**cluster.environment, "RAY_ADDRESS": cluster.address},  # for "auto"
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_lost_workers_and_nodes_cost_no_other_photo() -> None:
    """One photo kills every worker, one worker is killed in its work, a node is lost."""
    with two_nodes() as cluster:
        with started(cluster, cluster.address, "-c", DYING) as command:
            assert command.stdout is not None
            lines: list[dict[str, Any]] = []
            for line in command.stdout:
                lines.append(json.loads(line))
                if len(lines) == 5:
                    os.kill(cluster.busy_worker(), signal.SIGKILL)
                if len(lines) == 10:
                    cluster.remove_node()
            assert command.stderr is not None
            said = command.stderr.read()
        assert command.returncode == 1, said
        assert sorted(Path(line["content"]).name for line in lines) == sorted(
            path.name for path in Path("photos").iterdir()
        )
        failed = [line for line in lines if line["status"] != "done"]
        assert [line["content"] for line in failed] == ["photos/b.png"]
        assert "were lost 3 times" in failed[0]["error"]
        made = {path.name for path in Path("results").iterdir()}
        assert made == {path.name for path in Path("photos").iterdir()} - {"b.png"} | {JOURNAL}

        with started(cluster, "auto", "-m", "photostyle") as command:
            stdout, stderr = command.communicate()
        assert command.returncode == 0, stderr
        statuses = [json.loads(line)["status"] for line in stdout.splitlines()]
        assert sorted(statuses) == ["done"] + (COUNT - 1) * ["skipped"]
        assert stderr == f"1 done, {COUNT - 1} skipped, 0 failed.\n"
    for path in Path("photos").iterdir():
        assert Image.open(Path("results", path.name)).size == (20, 15)


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nowhere", "auto"])
def test_a_cluster_that_is_not_there(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where "auto" looks: no folder, variable or process of a cluster that runs meanwhile.
    monkeypatch.setenv("RAY_TMPDIR", str(Path.cwd()))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("ray._private.services.find_gcs_addresses", set)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # and does not listen
        chosen = address.format(port=free.getsockname()[1])
        outcome = CliRunner().invoke(cli, [*COMMON, "--ray", chosen])
    assert outcome.exit_code == 1
    assert "Ray cluster" in outcome.stderr
    assert "`ray start --head`" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
    assert not Path("results").exists()

"""`flow store migrate`, as people call it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flow_core.testing import FlowTester, ProcessResult


@pytest.fixture
def lab(team_folder: Path) -> FlowTester:
    """A folder with three runs in its store."""
    return FlowTester(team_folder)


def migrate(lab: FlowTester, *arguments: str) -> ProcessResult:
    return lab.flow("store", "migrate", "local", *arguments)


def data(done: ProcessResult) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_runs_move_and_are_known_there(lab: FlowTester) -> None:
    looked = data(migrate(lab, "local://there", "--dry-run", "--json").check())
    assert looked["copied"] == ["F/1", "F/2", "F/3"]
    assert not (lab.path / "there").exists()
    done = migrate(lab, "local://there").check()
    assert done.stdout.startswith("3 runs copied: ")
    assert done.stderr == ""
    again = migrate(lab, "local://there").check().stdout.splitlines()
    assert again == ["0 runs copied: 0 objects, 0 B.", "3 runs are there already."]
    runs = lab.flow("--datastore", "local://there", "runs").check().stdout
    assert [line.split()[0] for line in runs.splitlines()[1:]] == ["F/3", "F/2", "F/1"]
    assert "good" in runs
    assert "6" in lab.flow("--datastore", "local://there", "dump", "F/2/end").check().stdout
    # Work goes on there: numbers, resume, and what the cache knows.
    file = str(lab.path / "flow.py")
    new = lab.flow("--datastore", "local://there", "run", file).check().stdout
    assert "F/4" in new
    assert "3 of 3 tasks found" in new
    assert (
        "F/5"
        in lab.flow("--datastore", "local://there", "resume", file, "--origin-run-id", "1")
        .check()
        .stdout
    )


def test_some_of_them(lab: FlowTester) -> None:
    assert data(migrate(lab, "local://a", "--run", "F/2", "--json").check())["copied"] == ["F/2"]
    assert "hello" in lab.flow("--datastore", "local://a", "logs", "F/2/start").check().stdout
    assert data(migrate(lab, "local://b", "--tag", "good", "--json").check())["copied"] == ["F/3"]
    assert data(migrate(lab, "local://c", "--since", "1h", "--json").check())["copied"] != []
    assert "no run of a flow 'G'" in migrate(lab, "local://d", "--flow", "G").error["error"]
    assert migrate(lab, "local://d", "--run", "F").error["where"] == "--run"
    assert migrate(lab, "local://d", "--since", "soon").error["where"] == "--since"


def test_a_conflict_is_told(lab: FlowTester) -> None:
    file = str(lab.path / "flow.py")
    lab.flow("--datastore", "local://there", "run", file).check()
    done = migrate(lab, "local://there")
    assert done.returncode == 1
    assert done.stdout.startswith("2 runs copied: ")
    assert done.stderr == "not copied: F/1: the target has another run of this name\n"
    assert data(migrate(lab, "local://there", "--json"))["conflicts"] == ["F/1"]


def test_nothing_to_copy_is_told(lab: FlowTester) -> None:
    done = lab.flow("store", "migrate", "local://nowhere", "local").check()
    assert done.stdout == "0 runs copied: 0 objects, 0 B.\n"
    assert done.stderr == (
        "nothing was found: there are no runs in local://nowhere; is it the right store?\n"
    )
    done = migrate(lab, "local://there", "--tag", "bad").check()
    assert done.stderr == "nothing was found: no run in local is as described\n"


def test_stores_that_cannot_be(lab: FlowTester) -> None:
    assert "are the same store" in migrate(lab, "local").error["error"]
    assert "no plugin provides the store 'nowhere'" in migrate(lab, "nowhere://x").error["error"]


def test_killed_at_any_moment_and_started_again(lab: FlowTester) -> None:
    command = [sys.executable, "-c", "from flow_core.cli import main; main()"]
    command += ["store", "migrate", "local", "local://there"]
    killed = 0
    for objects in (1, 2, 10, 30):
        process = subprocess.Popen(
            command, cwd=lab.path, env=lab.environment(), stdout=subprocess.DEVNULL
        )
        while process.poll() is None and len(list((lab.path / "there").rglob("*"))) < objects:
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    assert killed
    done = data(migrate(lab, "local://there", "--json").check())
    assert sorted(done["copied"] + done["there"]) == ["F/1", "F/2", "F/3"]
    assert done["notes"] == {}
    assert data(migrate(lab, "local://there", "--verify", "--json").check())["objects"] == 0
    found = lab.flow("--datastore", "local://there", "runs", "--json").check().stdout
    assert len(json.loads(found)) == 3

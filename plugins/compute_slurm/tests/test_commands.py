"""``flow slurm list``, ``kill``, ``logs`` and ``script`` on a real Slurm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import Bench, controller_away, job

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox

FLOW = """
from flow_core import FlowSpec, slurm, step

class WorkFlow(FlowSpec):
    @slurm(partition="short", cpus=2, memory=300, time="0:04:00", setup="TOOL=hammer")
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass
"""


def flow(folder: Path, *words: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "flow_core", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture
def running(bench: Bench) -> dict[str, Any]:
    """Two tasks of an array that run, and a gang that waits."""
    ids = bench.submit(*[job(f"echo said {n}; sleep 1000", name=f"f-1-a-{n}-0") for n in range(2)])
    for id in ids:
        bench.begin(id)
    gang = bench.start("true", "true", name="f-1-g-1-0", options={"extra": ["--hold"]})
    return {"array": ids, "gang": gang, "bench": bench}


def test_list_and_kill(running: dict[str, Any], tmp_path: Path) -> None:
    bench, (first, second), gang = running["bench"], running["array"], running["gang"]
    run = f"F/{bench.run}"
    heads, *lines = flow(tmp_path, "slurm", "list", run).splitlines()
    assert heads.split() == ["JOB", "STATE", "RUN", "NAME", "NODE", "OR", "REASON"]
    own = {line.split()[0]: line.split() for line in lines}
    assert own[first][1:4] == ["RUNNING", run, "f-1-a-0-0"]
    assert own[first][4].startswith("node")
    assert own[gang][1:4] == ["PENDING", run, "f-1-g-1-0"]
    told = json.loads(flow(tmp_path, "slurm", "list", "F", "--json"))
    (of_gang,) = [each for each in told if each["job"] == gang]
    assert (of_gang["members"], of_gang["why"][:7]) == (2, "JobHeld")
    for words in ([f"{run}/a"], [run, "--step", "a"], [run, "--user", of_gang["user"]]):
        told = json.loads(flow(tmp_path, "slurm", "list", *words, "--json"))
        assert {first, second} <= {each["job"] for each in told}
        assert {each["step"] for each in told} == {"a"}
    for words in ([f"{run}/b"], [run, "--step", "b"], [run, "--user", "nobody"]):
        assert flow(tmp_path, "slurm", "list", *words).startswith("no jobs of flows")
    nothing = flow(tmp_path, "slurm", "kill", run, "--step", "b")
    assert nothing == "no jobs of flows wait or run there\n"

    assert flow(tmp_path, "slurm", "kill", second) == f"{second}  f-1-a-1-0  is ended\n"
    assert bench.end(second).cause == "cancelled"
    assert flow(tmp_path, "slurm", "kill", first.partition("_")[0]).startswith(first)
    told = json.loads(flow(tmp_path, "slurm", "kill", run, "--json"))
    assert gang in [each["job"] for each in told]
    assert bench.end(first).cause == bench.end(gang).cause == "cancelled"


def test_logs_and_script(running: dict[str, Any], tmp_path: Path) -> None:
    first, second = running["array"]
    bench = running["bench"]
    log = next(bench.folder.glob("*/*/1.log"))
    bench.until(log.read_text)
    assert flow(tmp_path, "slurm", "logs", second) == "said 1\n"
    text = flow(tmp_path, "slurm", "script", second)
    assert text.startswith("#!/bin/sh\n#SBATCH --cpus-per-task=1\n")
    assert "#SBATCH --array=0-1\n" in text
    assert "exec /bin/sh -c 'echo said 1; sleep 1000'" in text
    both = flow(tmp_path, "slurm", "logs", first.partition("_")[0])
    assert f"== {first} f-1-a-0-0\nsaid 0\n" in both


def test_the_script_of_a_step_can_be_submitted(slurm: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "work_flow.py").write_text(FLOW)
    text = flow(tmp_path, "slurm", "script", "work_flow.py", "start")
    assert text.startswith("#!/bin/bash -l\n#SBATCH --partition=short\n#SBATCH --time=0:04:00\n")
    (tmp_path / "script").write_text(text)
    told = slurm.run("sbatch", "--wait", f"--output={tmp_path}/log", f"{tmp_path}/script")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "log").read_text().endswith("a task could run here\n")
    said = flow(tmp_path, "slurm", "script", "work_flow.py", "strat", fails=True)
    assert "has no step 'strat'" in said
    assert "start" in said


def test_lists_of_a_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / "work_flow.py").write_text(FLOW)
    (tmp_path / "pyproject.toml").write_text(
        '[tool.flow]\nslurm_setup = ["module load gcc", "module load cuda"]\n'
        'slurm_extra = ["--exclusive", "--reservation=night"]\n'
    )
    lines = flow(tmp_path, "slurm", "script", "work_flow.py", "end").splitlines()
    assert {"#SBATCH --exclusive", "#SBATCH --reservation=night"} <= {*lines}
    assert "set -e\nmodule load gcc\nmodule load cuda\n" in "\n".join(lines)


def test_what_is_not_there(slurm: Sandbox, tmp_path: Path) -> None:
    said = flow(tmp_path, "slurm", "logs", "999999", fails=True)
    assert "Slurm knows no job 999999 of a flow" in said
    assert "flow slurm list" in said
    assert "Which jobs?" in flow(tmp_path, "slurm", "kill", fails=True)
    for words in (["list"], ["kill"]):
        said = flow(tmp_path, "slurm", *words, "NoneFlow", fails=True)
        assert "error: There is no run of a flow 'NoneFlow'\n" in said
        assert ", the jobs of Slurm\n" in said
        said = flow(tmp_path, "slurm", *words, "NoneFlow/1", fails=True)
        assert "error: There is no run NoneFlow/1\n" in said
        assert "the cluster has no job of it" in said
    said = flow(tmp_path, "slurm", "kill", "NoneFlow/1/a/7", fails=True)
    assert "'NoneFlow/1/a/7' names no run, and no job" in said


def test_a_run_without_jobs(slurm: Sandbox, tmp_path: Path) -> None:
    text = FLOW.replace("WorkFlow", "HereFlow").replace("@slurm", "# @slurm")
    (tmp_path / "here_flow.py").write_text(text)
    flow(tmp_path, "run", "here_flow.py")
    for name in ("HereFlow", "HereFlow/1", "HereFlow/1/start"):
        said = flow(tmp_path, "slurm", "list", name)
        assert said == "no jobs of flows; with those that ended: --ended\n"
        said = flow(tmp_path, "slurm", "kill", name)
        assert said == "no jobs of flows wait or run there\n"
    said = flow(tmp_path, "slurm", "kill", "HereFlow/1", "--step", "strat", fails=True)
    assert "Run HereFlow/1 has no step 'strat'" in said
    assert "did you mean 'start'?" in said
    assert "latest runs: 1" in flow(tmp_path, "slurm", "kill", "HereFlow/7", fails=True)


def test_a_cluster_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "none.conf"))
    said = flow(tmp_path, "slurm", "list", fails=True)
    assert "The configuration of Slurm is not there" in said
    assert f"SLURM_CONF={tmp_path}/none.conf" in said


def test_a_cluster_that_does_not_answer(new_slurm: Callable[..., Sandbox], tmp_path: Path) -> None:
    with controller_away(new_slurm(1)):
        said = flow(tmp_path, "slurm", "list", fails=True)
    assert "Slurm does not answer" in said
    assert "see whether its controller is there: scontrol ping" in said
    assert "Traceback" not in said


def test_a_machine_without_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "empty.conf"))
    (tmp_path / "empty.conf").write_text("")
    (tmp_path / "work_flow.py").write_text(FLOW)
    said = flow(tmp_path, "run", "work_flow.py", fails=True)
    assert "Slurm does not answer" in said
    assert "to try it out: flow slurm sandbox -- COMMAND" in said

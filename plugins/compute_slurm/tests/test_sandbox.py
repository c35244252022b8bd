"""The local cluster: it comes up, takes jobs, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_core.api import FlowError
from flow_slurm import sandbox as module
from flow_slurm.sandbox import Nodes, Sandbox

from .conftest import eventually, processes_with

pytestmark = pytest.mark.usefixtures("slurm")


def processes_of(cluster: Sandbox) -> list[int]:
    """Return all processes of a cluster, by another way than the code that ends them."""
    return processes_with(cluster.name)


def test_jobs_run_on_all_nodes(slurm: Sandbox, tmp_path: Path) -> None:
    told = slurm.run(
        "sbatch", "--wait", "--nodes=3", "--mem=50", f"--output={tmp_path}/log",
        "--wrap", "srun --label printenv SLURMD_NODENAME",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    nodes = (tmp_path / "log").read_text().split()[1::2]
    assert sorted(nodes) == slurm.names == ["node1", "node2", "node3"]


def test_two_clusters_do_not_see_each_other(
    slurm: Sandbox, new_slurm: Callable[..., Sandbox]
) -> None:
    other = new_slurm(1)
    assert other.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N").stdout.split() == ["node1"]
    assert slurm.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N").stdout.split() == slurm.names


def test_stopping_ends_jobs_and_what_they_have_started(tmp_path: Path) -> None:
    with Sandbox(nodes=Nodes(1, 2, 500)) as cluster:
        script = f"setsid sleep 1000 & echo $! >{tmp_path}/pid; sleep 1000"
        cluster.run("sbatch", "--mem=50", f"--output={tmp_path}/log", "--wrap", script)
        eventually(lambda: (tmp_path / "pid").exists() and len(processes_of(cluster)) > 6)
        folder = cluster.folder
    eventually(lambda: not processes_of(cluster))
    assert not os.path.exists(folder)


def test_a_killed_owner_takes_its_cluster_along(tmp_path: Path) -> None:
    program = (
        "from flow_slurm.sandbox import Nodes, Sandbox; import time\n"
        "cluster = Sandbox(nodes=Nodes(1, 1, 500)); cluster.start()\n"
        "cluster.run('sbatch', '--mem=50', '--output=/dev/null', '--wrap', 'sleep 1000')\n"
        "print(cluster.folder, flush=True); time.sleep(1000)"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    folder = owner.stdout.readline().strip()
    cluster = Sandbox.opened(folder)
    assert processes_of(cluster)
    owner.kill()
    owner.communicate()
    eventually(lambda: not processes_of(cluster) and not os.path.exists(folder))


def test_a_given_folder_is_kept_and_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    for expected in ("1", "2"):
        with Sandbox(str(folder), Nodes(1, 1, 500)) as cluster:
            told = cluster.run(
                "sbatch", "--parsable", "--mem=9", "--output=/dev/null", "--wrap=true"
            )
            assert told.stdout.strip() == expected, told.stderr
            cluster.stop_controller()
    assert (folder / "slurm.conf").exists()


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with Sandbox(str(tmp_path / "own"), Nodes(1, 1, 500)) as cluster:
        with pytest.raises(FlowError) as caught:
            Sandbox(str(tmp_path / "own")).start()
        assert "There is a sandbox in this folder, and it runs" in str(caught.value)
        assert f"export SLURM_CONF={cluster.configuration}" in str(caught.value)
        assert cluster.run("sinfo").returncode == 0


def test_a_node_goes_and_comes_back(new_slurm: Callable[..., Sandbox]) -> None:
    cluster = new_slurm(2, SlurmdTimeout="3", MessageTimeout="5")
    cluster.stop_node("node2")

    def state() -> str:
        return cluster.run("sinfo", "-h", "-n", "node2", "-p", "main", "-o", "%T").stdout.strip()

    eventually(lambda: state().startswith("down"))
    cluster.start_node("node2")
    cluster.wait_ready()


def test_without_slurm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_program", lambda name: None)
    with pytest.raises(FlowError) as caught:
        Sandbox().start()
    assert str(caught.value) == (
        "A local Slurm needs 'munged', which is not on this machine\n"
        "  try:   on Debian or Ubuntu: apt-get install slurm-wlm munge slurm-wlm-basic-plugins"
    )


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="The path of the sandbox is too long") as caught:
        Sandbox(str(tmp_path / ("x" * 100))).start()
    assert "--folder /tmp/slurm" in str(caught.value)


def test_a_daemon_that_does_not_come_up(tmp_path: Path) -> None:
    (tmp_path / "own" / "munge").mkdir(parents=True)
    (tmp_path / "own" / "munge" / "key").write_text("short")
    with pytest.raises(FlowError) as caught:
        Sandbox(str(tmp_path / "own")).start()
    assert str(caught.value).startswith("The daemon munged of the sandbox does not come up")
    assert "munged: Error: " in str(caught.value)


def flow(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flow_core", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_command_runs_inside() -> None:
    inside = "echo $SLURM_CONF; sinfo -h -p main -o '%D %c %m'; exit 7"
    process = flow(
        "slurm",
        "sandbox",
        "--nodes",
        "2",
        "--cpus",
        "3",
        "--memory",
        "700",
        "--",
        "sh",
        "-c",
        inside,
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 7, err
    path, line = out.splitlines()
    assert line.split() == ["2", "3", "700"]
    assert not os.path.exists(path)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_who_ends_it_ends_the_command_first(number: int) -> None:
    inside = "trap 'sleep 0.5; echo asked; sinfo -h -o %D; exit 3' TERM HUP; echo $SLURM_CONF; "
    process = flow("slurm", "sandbox", "--", "sh", "-c", inside + "while :; do sleep 0.1; done")
    assert process.stdout is not None
    path = process.stdout.readline().strip()
    assert os.path.exists(path)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert out.split() == ["asked", "1"], "the cluster is there as long as the command"
    assert not os.path.exists(path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_waits_for_ctrl_c(number: int) -> None:
    process = flow("slurm", "sandbox", "--memory", "500")
    assert process.stdout is not None
    first, second = process.stdout.readline(), process.stdout.readline()
    assert first == "A Slurm with 1 node is ready; in another shell:\n"
    path = second.strip().removeprefix("export SLURM_CONF=")
    assert os.path.exists(path)
    cluster = Sandbox.opened(os.path.dirname(path))
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == 0
    eventually(lambda: not processes_of(cluster))
    assert not os.path.exists(path)


def test_a_command_that_is_none() -> None:
    process = flow("slurm", "sandbox", "--", "no-such-program")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "'no-such-program' could not be started" in err


def test_an_option_that_is_none() -> None:
    _, err = flow("slurm", "sandbox", "--node", "3").communicate(timeout=60)
    assert err.startswith("error: There is no option --node\n")
    assert "did you mean '--nodes'?" in err

"""Jobs of a real Slurm: how they start, what is told of them, and that none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flow_core.api import FlowError
from flow_remote.backend import Ended, Refused, Running, Waiting
from flow_slurm.client import Client

from .conftest import Bench, controller_away, eventually, held, job, processes_with

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox

    OwnBench = Callable[..., tuple[Bench, Sandbox]]


def squeue(cluster: Sandbox, *words: str) -> list[str]:
    return cluster.run("squeue", "-h", *words).stdout.splitlines()


# --- one job ------------------------------------------------------------------------------------


def test_a_job_runs_and_ends(bench: Bench) -> None:
    id = bench.start("exit 0")
    assert bench.end(id) == Ended(id, 0, code=0)
    assert [type(each) for each in bench.told] == [Running, Ended]
    assert bench.of(id, Running)[0].node in ("node1", "node2", "node3")
    assert bench.woken


def test_an_exit_status_and_the_log(bench: Bench) -> None:
    end = bench.end(bench.start("echo said; echo wrong >&2; exit 3"))
    assert (end.code, end.signal, end.cause, end.message) == (3, None, "", "")
    assert end.log.split() == ["said", "wrong"]


def test_a_signal_ends_it(bench: Bench) -> None:
    end = bench.end(bench.start("kill -9 $$"))
    assert (end.code, end.signal, end.cause) == (None, 9, "")


def test_what_a_job_gets(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "7")  # as where the launcher is a job itself
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "1")
    monkeypatch.setenv("SOMETHING_ELSE", "1")
    (tmp_path / "here").mkdir()
    script = f"pwd; env >{tmp_path}/env"
    variables = {"A": "x 'y'\n$z", "B": "ü"}
    id = bench.start(script, variables=variables, folder=str(tmp_path / "here"))
    assert bench.end(id).code == 0
    text = (tmp_path / "env").read_text()
    assert "A=x 'y'\n$z\n" in text
    seen = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert seen["B"] == "ü"
    assert seen["PWD"] == str(tmp_path / "here")
    assert seen["PATH"] == os.environ["PATH"]
    assert seen["SLURM_JOB_ID"] == id
    assert seen["SLURM_MEM_PER_NODE"] == "50"
    assert "SOMETHING_ELSE" not in seen
    assert "SLURM_GET_USER_ENV" not in seen  # a login shell takes seconds


def test_secrets_come_by_name_and_stand_nowhere(
    bench: Bench, slurm: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEST_SECRET", "gold, silver\nand more")
    came = tmp_path / "came"
    script = f'printf %s "$TEST_SECRET" >{came}.new && mv {came}.new {came}; sleep 100'
    id = bench.start(script, options={"environment": ["TEST_SECRET"]})
    bench.until(came.exists)
    assert came.read_text() == "gold, silver\nand more"
    shown = b""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended meanwhile
            shown += file.read_bytes()
    assert str(came).encode() in shown  # that of the task is among them
    assert b"gold, silver" not in shown
    files = [path for path in bench.folder.rglob("*") if path.is_file()]
    assert files
    assert not any(b"gold, silver" in path.read_bytes() for path in files)
    assert "gold" not in slurm.run("scontrol", "show", "job", id).stdout
    assert {oct(p.stat().st_mode)[-3:] for p in bench.folder.glob("*/*") if p.is_dir()} == {"700"}


def test_a_variable_that_is_not_set(bench: Bench) -> None:
    answer = bench.refused(options={"environment": ["NOT_SET_ANYWHERE"]})
    assert answer == Refused(
        "the environment variable NOT_SET_ANYWHERE, which the step asks for, is not set",
        "export NOT_SET_ANYWHERE=…",
    )


def test_lines_of_setup(bench: Bench) -> None:
    id = bench.start("[ $TOOL = hammer ]", options={"setup": ["TOOL=hammer", "export TOOL"]})
    assert bench.end(id).code == 0
    end = bench.end(bench.start("true", options={"setup": ["module-is-none load cuda", "true"]}))
    assert end.cause == "launch"
    assert end.message.startswith("the lines of setup failed in Slurm job ")
    assert "module-is-none" in end.log


def test_memory_that_is_used_up(bench: Bench) -> None:
    script = f"exec {sys.executable} -c 'x = bytearray(300_000_000); import time; time.sleep(100)'"
    end = bench.end(bench.start(script, resources={"memory": 40.0}))
    assert end.cause == "out-of-memory"
    assert "FAILED: StepId=" in end.message
    assert "exceeded" in end.message
    assert end.hint == "give it more memory: @slurm(memory=…)"


@pytest.mark.slow
def test_a_time_limit(own_bench: OwnBench) -> None:
    bench, cluster = own_bench()
    id = bench.start("sleep 200", options={"time": "0:30"})
    bench.begin(id)
    assert squeue(cluster, "-j", id, "-o", "%l") == ["1:00"]  # it counts whole minutes
    cluster.run("scontrol", "update", f"JobId={id}", "TimeLimit=0")  # it looks every 30 seconds
    end = bench.end(id, seconds=150)
    assert end.cause == "timeout"
    assert "TIMEOUT" in end.message
    assert end.hint == 'give it more time: @slurm(time="…")'


# --- many jobs ----------------------------------------------------------------------------------


def test_jobs_that_come_together_are_one_array(bench: Bench, slurm: Sandbox) -> None:
    jobs = [job(f"exit {n}", name=f"f-1-a-{n}-0") for n in range(4)]
    jobs.append(job("exit 4", name="f-1-b-1-0", resources={"memory": 60.0}))
    ids = bench.submit(*jobs)
    arrays = {id.partition("_")[0] for id in ids}
    assert len(arrays) == 2
    assert ids[:4] == [f"{ids[0].partition('_')[0]}_{n}" for n in range(4)]
    assert [bench.end(id).code for id in ids] == [0, 1, 2, 3, 4]
    told = slurm.run("scontrol", "show", "job", ids[1]).stdout
    assert "JobName=f-1-a\n" in told
    assert f"Comment=flow F/{bench.run} " in told


def test_a_throttle(bench: Bench, tmp_path: Path) -> None:
    script = f"mkdir {tmp_path}/one && sleep 0.3 && rmdir {tmp_path}/one"
    ids = bench.submit(*[job(script, options={"throttle": 1}) for _ in range(3)])
    assert [bench.end(id).code for id in ids] == [0, 0, 0]


def test_arrays_are_no_longer_than_the_cluster_allows(own_bench: OwnBench) -> None:
    bench, _ = own_bench(MaxArraySize="3")
    ids = bench.submit(*[job(f"exit {n}") for n in range(7)])
    assert len({id.partition("_")[0] for id in ids}) == 3
    assert [bench.end(id).code for id in ids] == list(range(7))


def test_few_requests_for_many_jobs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    run = subprocess.run

    def counted(words: Any, *args: Any, **more: Any) -> Any:
        asked.append((os.path.basename(words[0]), *words[1:]))
        return run(words, *args, **more)

    monkeypatch.setattr(subprocess, "run", counted)
    began = time.monotonic()
    ids = bench.submit(*[job("true") for _ in range(30)])
    for id in ids:
        bench.end(id)
    took = time.monotonic() - began
    looks = [words for words in asked if words[0] != "sbatch"]
    assert len(asked) - len(looks) == 1
    assert {*looks} <= {("squeue", "--json", "--states=all")}, "one request tells of all"
    assert len(looks) <= 2 + took / 0.2, "however many there are"


# --- refusals and waiting -----------------------------------------------------------------------


def test_a_wrong_partition(bench: Bench) -> None:
    answer = bench.refused(options={"partition": "mian"})
    assert answer.message == (
        "sbatch: invalid partition specified: mian; "
        "Batch job submission failed: Invalid partition name specified"
    )
    assert answer.hint == "partitions here: main"
    assert not answer.transient
    assert (
        bench.refused(options={"partition": "xyz"}).hint == "partitions here: main, short, urgent"
    )


def test_more_memory_than_there_is(bench: Bench) -> None:
    answer = bench.refused(resources={"memory": 999999.0})
    assert "Memory specification can not be satisfied" in answer.message
    assert answer.hint == (
        "largest node of each partition: main: 4 processors, 4000 MB, gpu:2; "
        "asked for: 1 processors, 999999 MB"
    )


@pytest.mark.parametrize(
    ("options", "resources", "said", "hint"),
    [
        ({"gpu_type": "a100"}, {"gpu": 1}, "configuration is not available", "MB, gpu:a100:1"),
        ({"extra": ["--gres=dpu:1"]}, {}, "generic resource (gres)", "nodes here have: gpu:2"),
        (
            {"constraint": "avx512"},
            {},
            "Invalid feature specification",
            "features of nodes here: none",
        ),
        ({"extra": ["--nosuch"]}, {}, "unrecognized option '--nosuch'", ""),
        ({}, {"cpu": 5}, "CPU count per node can not be satisfied", "asked for: 5 processors, 50"),
    ],
)
def test_what_is_refused(bench: Bench, options: Any, resources: Any, said: str, hint: str) -> None:
    answer = bench.refused(options=options, resources=resources)
    assert said in answer.message
    assert hint in answer.hint


def test_nothing_of_a_refused_job_is_left(bench: Bench) -> None:
    bench.refused(options={"partition": "xyz"})
    assert list(bench.folder.glob("*/*")) == []


def test_a_job_that_would_wait_for_ever(bench: Bench, slurm: Sandbox) -> None:
    id = bench.start("true", options={"partition": "short", "time": "1-0"})
    end = bench.end(id)
    assert end.cause == "launch"
    assert end.message.startswith(f"Slurm job {id} would wait for ever: PartitionTimeLimit")
    assert end.hint == "less time, or another partition: @slurm(time=…, partition=…)"
    bench.until(lambda: not squeue(slurm, "-j", id, "-t", "PENDING"))


def test_a_job_that_no_node_can_run(bench: Bench) -> None:
    end = bench.end(bench.start("true", resources={"cpu": 99}))  # sbatch itself takes it
    assert (end.cause, end.hint.partition(":")[0]) == (
        "launch",
        "see what nodes have, and ask for less",
    )
    assert "PartitionConfig" in end.message


def test_why_a_job_waits(own_bench: OwnBench) -> None:
    bench, cluster = own_bench()
    first = bench.start("sleep 100", resources={"cpu": 4})
    bench.begin(first)
    second = bench.start("true", resources={"cpu": 4})
    news = bench.until(lambda: bench.of(second, Waiting))
    assert news[0].why.startswith(("Resources", "Priority"))
    cluster.run("scontrol", "update", "PartitionName=main", "State=DOWN")
    bench.until(lambda: any("PartitionDown" in w.why for w in bench.of(second, Waiting)))


# --- ending -------------------------------------------------------------------------------------

STUBBORN = "trap '' TERM; echo began; while :; do sleep 0.1; done"


def test_cancel(bench: Bench, tmp_path: Path) -> None:
    ids = bench.submit(*[job("sleep 1000") for _ in range(2)])
    ids.append(bench.start("sleep 1000", resources={"memory": 60.0}))
    for id in ids:
        bench.begin(id)
    bench.backend.cancel(ids, 5)
    for id in ids:
        end = bench.end(id)
        assert end.cause == "cancelled"
        assert end.code != 0


def test_tasks_are_asked_before_they_are_ended(bench: Bench, tmp_path: Path) -> None:
    script = f"trap 'echo asked >{tmp_path}/asked; exit 4' TERM; touch {tmp_path}/on; while :; do sleep 0.1; done"
    id = bench.start(script)
    bench.until((tmp_path / "on").exists)
    bench.backend.cancel([id], 10)
    end = bench.end(id)
    assert (end.cause, end.code) == ("cancelled", 4)
    assert (tmp_path / "asked").read_text() == "asked\n"


def test_who_does_not_end_is_ended_when_the_grace_is_over(
    own_bench: OwnBench, tmp_path: Path
) -> None:
    bench, _ = own_bench(KillWait="200")  # the cluster's own patience is longer
    id = bench.start(f"MARK={tmp_path}; export MARK; {STUBBORN}")
    bench.begin(id)
    bench.until(lambda: processes_with(f"MARK={tmp_path}"))
    began = time.monotonic()
    bench.backend.cancel([id], 1.5)
    end = bench.end(id, seconds=100)
    assert end.cause == "cancelled"
    assert time.monotonic() - began > 1
    bench.until(lambda: not processes_with(f"MARK={tmp_path}"))


def test_what_waits_is_cancelled_at_once(bench: Bench) -> None:
    id = bench.start("true", options={"extra": ["--hold"]})
    bench.backend.cancel([id], 600)
    assert bench.end(id).cause == "cancelled"


def test_close_ends_all_and_leaves_nothing(
    new_bench: Callable[..., Bench], slurm: Sandbox, tmp_path: Path
) -> None:
    bench = new_bench()
    mark = f"MARK={tmp_path}"
    ids = bench.submit(
        *[job(f"{mark}; export MARK; setsid sleep 1000 & {STUBBORN}") for _ in range(3)]
    )
    ids.append(bench.start("true", options={"extra": ["--hold"]}))
    for id in ids[:3]:
        bench.begin(id)
    bench.until(lambda: len(processes_with(mark)) >= 6)
    bench.backend.close()
    bench.backend.close()
    eventually(lambda: not processes_with(mark))
    assert not [line for line in squeue(slurm, "-o", "%o") if str(tmp_path) in line]
    assert list((tmp_path / "jobs").iterdir()) == []


def test_somebody_else_cancels(bench: Bench, slurm: Sandbox) -> None:
    id = bench.start("sleep 1000")
    bench.begin(id)
    slurm.run("scancel", id)
    end = bench.end(id)
    assert end.cause == "cancelled"
    assert end.message.startswith(f"Slurm job {id} on node")
    assert "CANCELLED, by somebody else" in end.message


@pytest.mark.parametrize("all_of_them", [True, False])
def test_somebody_else_cancels_elements_that_wait(
    bench: Bench, slurm: Sandbox, all_of_them: bool
) -> None:
    ids = bench.submit(*[job("sleep 1000", options={"throttle": 1}) for _ in range(4)])
    bench.begin(ids[0])
    gone = ids[1:] if all_of_them else ids[2:3]
    slurm.run("scancel", *gone)
    for id in gone:
        end = bench.end(id)
        assert end.cause == "cancelled"
        assert end.message == f"Slurm job {id}: CANCELLED, by somebody else"
    assert not any(bench.of(id, Ended) for id in ids if id not in gone)


def test_an_array_with_many_holes_is_known_in_full(
    bench: Bench, slurm: Sandbox, new_bench: Callable[..., Bench]
) -> None:
    names = [f"f-1-holes-{n}-{bench.run}" for n in range(100)]
    held = [job("sleep 1000", name=name, options={"extra": ["--hold"]}) for name in names]
    ids = bench.submit(*held)
    slurm.run("scancel", *ids[1::3])
    left = [id for n, id in enumerate(ids) if n % 3 != 1]
    found = new_bench().backend.find(names)
    assert sorted(found.values()) == sorted(left)
    for id in ids[1::3]:
        assert bench.end(id).cause == "cancelled"
    assert not any(bench.of(id, Ended) for id in left)
    bench.backend.close()
    known = {state.id for state in Client().jobs() if not state.has_ended}
    assert known.isdisjoint(ids)


def test_preferences_of_a_person_hide_no_jobs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQUEUE_PARTITION", "none")
    monkeypatch.setenv("SQUEUE_USERS", "nobody")
    id = bench.start("sleep 1000")
    bench.begin(id)
    assert id in [state.id for state in Client().jobs()]


# --- another launcher ---------------------------------------------------------------------------


def test_another_launcher_finds_what_runs(
    bench: Bench, new_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    names = [f"f-1-found-{n}-{os.getpid()}" for n in range(3)]
    scripts = [held(tmp_path, "exit 5"), "true", "sleep 1000"]
    ids = bench.submit(*[job(s, name=n) for s, n in zip(scripts, names, strict=True)])
    bench.end(ids[1])
    other = new_bench()
    assert other.backend.find([*names, "f-1-unknown-0-0"]) == {names[0]: ids[0], names[2]: ids[2]}
    assert other.backend.submit([job("false", name=names[2])]) == [ids[2]]  # it runs already
    (tmp_path / "go").touch()
    assert other.end(ids[0]).code == 5
    other.backend.cancel([ids[2]], 0)
    assert other.end(ids[2]).cause == "cancelled"


def test_a_killed_launcher_leaves_jobs_that_go_on(
    slurm: Sandbox, new_bench: Callable[..., Bench], tmp_path: Path
) -> None:
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from conftest import *\n"
        "bench = Bench(Path(sys.argv[2]))\n"
        "bench.start(held(bench.folder, 'exit 6'), name='f-1-left-1-0'); print('on', flush=True)\n"
        "time.sleep(1000)"
    )
    words = [sys.executable, "-c", program, os.path.dirname(__file__), f"{tmp_path}/jobs"]
    launcher = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert launcher.stdout is not None
    assert launcher.stdout.readline() == "on\n"
    launcher.send_signal(signal.SIGKILL)
    launcher.communicate()
    bench = new_bench()
    found = bench.backend.find(["f-1-left-1-0"])
    (bench.folder / "go").touch()
    assert bench.end(found["f-1-left-1-0"]).code == 6


# --- gangs --------------------------------------------------------------------------------------


def test_a_gang_is_one_job(bench: Bench, slurm: Sandbox, tmp_path: Path) -> None:
    wanted = "MASTER_ADDR MASTER_PORT LOCAL_RANK LOCAL_WORLD_SIZE NODE_RANK SLURM_PROCID"
    shown = " ".join(f"${name}" for name in wanted.split())
    scripts = [f"echo {shown} $SLURMD_NODENAME >{tmp_path}/{n}; exit 0" for n in range(4)]
    id = bench.start(*scripts, options={"nodes": 2})
    assert [bench.end(id, member=n).code for n in range(4)] == [0] * 4
    assert len(bench.of(id, Running)) == 4
    seen = [(tmp_path / str(n)).read_text().split() for n in range(4)]
    hosts, ports, local, size, nodes, ranks, machines = zip(*seen, strict=True)
    assert len({*hosts}) == len({*ports}) == 1
    assert 20000 <= int(ports[0]) < 40000
    assert ranks == ("0", "1", "2", "3")
    assert local == ("0", "1", "0", "1")
    assert size == ("2",) * 4
    assert nodes == ("0", "0", "1", "1")
    assert len({*machines}) == 2


def test_members_reach_the_first_one(bench: Bench, tmp_path: Path) -> None:
    first = (
        "import os, socket; s = socket.create_server(('', int(os.environ['MASTER_PORT']))); "
        "c, _ = s.accept(); c.sendall(b'hello')"
    )
    other = (
        "import os, socket, time\n"
        "for _ in range(100):\n"
        "    try: c = socket.create_connection((os.environ['MASTER_ADDR'], os.environ['MASTER_PORT'])); break\n"
        "    except OSError: time.sleep(0.1)\n"
        f"open('{tmp_path}/got', 'wb').write(c.recv(5))"
    )
    run = f"exec {sys.executable} -c"
    id = bench.start(f'{run} "{first}"', f'{run} "{other}"', options={"nodes": 2})
    assert [bench.end(id, member=n).code for n in range(2)] == [0, 0]
    assert (tmp_path / "got").read_bytes() == b"hello"


def test_a_member_that_fails_is_told_while_others_run(bench: Bench) -> None:
    id = bench.start("sleep 1000", "echo broken; exit 7")
    end = bench.end(id, member=1)
    assert (end.code, end.cause) == (7, "")
    assert "broken" in end.log
    assert not [each for each in bench.of(id, Ended) if each.member == 0]
    bench.backend.cancel([id], 1)
    assert bench.end(id, member=0).cause == "cancelled"


def test_members_are_asked_before_they_are_ended(bench: Bench, tmp_path: Path) -> None:
    script = (
        "trap 'sleep 1; echo asked >{0}; exit 4' TERM; touch {0}-on; while :; do sleep 0.1; done"
    )
    id = bench.start(*[script.format(tmp_path / str(n)) for n in range(2)])
    bench.until(lambda: all((tmp_path / f"{n}-on").exists() for n in range(2)))
    bench.backend.cancel([id], 10)
    assert [bench.end(id, member=n).cause for n in range(2)] == ["cancelled"] * 2
    assert [(tmp_path / str(n)).exists() for n in range(2)] == [True, True]


# --- trouble ------------------------------------------------------------------------------------


def test_preemption(own_bench: OwnBench) -> None:
    bench, cluster = own_bench()
    once = bench.start("sleep 1000", resources={"cpu": 2})
    again = bench.start("[ -n \"$SLURM_RESTART_COUNT\" ] || sleep 1000", resources={"cpu": 2}, options={"requeue": True})  # fmt: skip
    bench.begin(once)
    bench.begin(again)
    cluster.run("sbatch", "-p", "urgent", "-c4", "--mem=50", "-o/dev/null", "--wrap", "sleep 3")
    end = bench.end(once)
    assert end.cause == "preempted"
    assert "PREEMPTED" in end.message
    assert "@slurm(requeue=True)" in end.hint
    bench.until(lambda: bench.of(again, Waiting))
    assert "started again" in bench.of(again, Waiting)[0].why
    cluster.run("scontrol", "update", f"JobId={again}", "StartTime=now")  # not in two minutes
    bench.until(lambda: len(bench.of(again, Running)) == 2)
    assert bench.end(again).code == 0


@pytest.mark.chaos
def test_a_node_that_is_gone(own_bench: OwnBench) -> None:
    bench, cluster = own_bench(SlurmdTimeout="3", MessageTimeout="5")
    id = bench.start("sleep 1000")
    node = bench.begin(id).node
    cluster.stop_node(node)
    end = bench.end(id, seconds=90)
    assert end.cause == "lost"
    assert "NODE_FAIL" in end.message
    assert end.hint == 'try it again: @retry(on=["lost"])'


@pytest.mark.chaos
def test_a_controller_that_is_away_for_a_while(own_bench: OwnBench, tmp_path: Path) -> None:
    bench, cluster = own_bench()
    good, bad = (bench.start(held(tmp_path, f"exit {status}")) for status in (0, 3))
    bench.begin(good)
    bench.begin(bad)
    with controller_away(cluster):
        waiting = bench.until(lambda: [w for w in bench.told if isinstance(w, Waiting)])
        assert waiting[0].why.startswith("Slurm does not answer, its jobs go on; asking again: ")
        answer = bench.refused("true", name="f-1-late-1-0")
        assert answer.transient
        assert "Unable to contact slurm controller" in answer.message
        (tmp_path / "go").touch()
        assert bench.end(good).code == 0, "it says so itself"
    assert bench.end(bad, seconds=90).code == 3
    late = bench.start("exit 4", name="f-1-late-1-0")
    assert bench.end(late).code == 4


def test_cancelled_while_the_controller_is_away(own_bench: OwnBench) -> None:
    bench, cluster = own_bench()
    id = bench.start("sleep 1000")
    bench.begin(id)
    with controller_away(cluster):
        bench.backend.cancel([id], 1)
    assert bench.end(id, seconds=90).cause == "cancelled"


def test_a_job_that_slurm_has_forgotten(own_bench: OwnBench, tmp_path: Path) -> None:
    bench, cluster = own_bench(MinJobAge="2")
    told = bench.start(held(tmp_path, "exit 3"))
    silent = bench.start("sleep 1000")
    bench.begin(told)
    bench.begin(silent)
    watcher = bench.backend.watcher
    with watcher.lock:  # the launcher is busy, or its machine sleeps
        (tmp_path / "go").touch()
        cluster.run("scancel", "-s", "KILL", silent)
        eventually(lambda: not squeue(cluster, "-t", "all", "-o", "%i"), 90)
    assert bench.end(told).code == 3
    end = bench.end(silent)
    assert end.cause == "lost" or end.signal is not None


def test_close_says_what_may_still_run(
    own_bench: OwnBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flow_slurm.backend._FAREWELL", 0.5)
    bench, cluster = own_bench()
    id = bench.start("sleep 1000")
    bench.begin(id)
    with controller_away(cluster), pytest.raises(FlowError) as caught:
        bench.backend.close()
    assert "1 jobs of this run may still be in Slurm" in str(caught.value)
    assert f"scancel {id}" in str(caught.value)


def test_a_folder_that_cannot_be_written(slurm: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    bench = Bench(tmp_path / "file" / "jobs")
    with pytest.raises(FlowError) as caught:
        bench.backend.submit([job("true")])
    assert "The scripts of a job cannot be written" in str(caught.value)
    assert "FLOW_SLURM_FOLDER" in str(caught.value)


def test_without_slurm_it_says_where_it_would_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("flow_slurm.programs.find_program", lambda name: None)
    with pytest.raises(FlowError) as caught:
        Bench(tmp_path)
    assert "Slurm is not on this machine: there is no 'sbatch'" in str(caught.value)
    assert "flow slurm sandbox" in str(caught.value)


# --- other builds of Slurm, and answers that are lost --------------------------------------------


def test_a_squeue_without_json(
    new_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    from flow_slurm.client import Client, SlurmError

    run = Client._run

    def without_json(self: Client, program: str, *words: str, **more: Any) -> str:
        if "--json" in words:
            raise SlurmError("unrecognized option '--json'")
        return run(self, program, *words, **more)

    monkeypatch.setattr(Client, "_run", without_json)
    bench = new_bench()
    ids = bench.submit(*[job(f"exit {n}") for n in range(3)])
    assert [bench.end(id).code for id in ids] == [0, 1, 2]
    id = bench.start("sleep 1000")
    bench.begin(id)
    bench.backend.cancel([id], 1)
    assert bench.end(id).cause == "cancelled"


SBATCH = """#!/bin/sh
# Takes the job, and then its answer is lost.
{sbatch} "$@"
echo "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation" >&2
exit 1
"""


def test_a_lost_answer_starts_nothing_twice(
    bench: Bench, slurm: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "sbatch"
    fake.write_text(SBATCH.format(sbatch=shutil.which("sbatch")))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    jobs = [job(f"echo x >>{tmp_path}/ran-{n}", name=f"f-1-lost-{n}-0") for n in range(2)]
    ids = bench.submit(*jobs)
    assert [bench.end(id).code for id in ids] == [0, 0]
    assert [(tmp_path / f"ran-{n}").read_text() for n in range(2)] == ["x\n", "x\n"]


LIMITED = """#!/bin/sh
# As with an account that may have two jobs.
for word; do case $word in --array=0-1|--array=0-0) array=1 ;; --array=*) array=2 ;; esac; done
if [ "$array" = 2 ]; then
    echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2
    echo "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)" >&2
    exit 1
fi
[ ! -e {folder}/full ] || {{ echo "sbatch: error: QOSMaxSubmitJobPerUserLimit" >&2; exit 1; }}
touch {folder}/full
exec {sbatch} "$@"
"""


def test_a_limit_on_jobs_takes_what_fits(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "sbatch"
    fake.write_text(LIMITED.format(sbatch=shutil.which("sbatch"), folder=tmp_path))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    answers = bench.backend.submit([job("true") for _ in range(4)])
    assert [type(each) for each in answers] == [str, str, Refused, Refused]
    later = answers[-1]
    assert isinstance(later, Refused)
    assert later.transient
    assert "QOSMaxSubmitJobPerUserLimit" in later.message
    assert [bench.end(str(id)).code for id in answers[:2]] == [0, 0]

"""What goes wrong with tasks on other machines: the run ends right, or says why."""

import os
import shutil
import signal
import threading
import time

import pytest
from plugins.remote.tests.process_cluster import ProcessBackend, ProcessCompute
from servers.sharing import absent
from watching import command_lines, wait_for

from flow_core.api import (
    Bootstrap,
    Exited,
    RunRecord,
    RunState,
    Started,
    TaskSpec,
    attempt_prefix,
    piece_key,
    task_url,
)
from flow_core.api import Waiting as TaskWaiting
from flow_core.errors import PluginError
from flow_core.testing import MemoryStore
from flow_core.testing.compute_steps import StepsRuntime
from flow_core.testing.compute_suite import Bench
from flow_remote.attempts import boot_failure
from flow_remote.backend import Ended, Refused, Running
from flow_store_local.store import LocalStore


@pytest.fixture
def backend(tmp_path):
    return ProcessBackend(tmp_path)


@pytest.fixture
def store(tmp_path):
    return LocalStore(str(tmp_path / "store"))


@pytest.fixture
def bench(backend, store, monkeypatch):
    monkeypatch.setattr("flow_remote.provider._SUBMIT_AGAIN", 0.2)
    compute = ProcessCompute(backend)
    bench = Bench(compute, store, StepsRuntime())
    yield bench
    compute.close()


def _pids_of(url):
    return [pid for pid, words in command_lines().items() if url.encode() in words]


# --- the task and its supervisor ------------------------------------------------------------------


@pytest.mark.chaos
def test_a_killed_supervisor_takes_its_task_along_and_what_was_told_is_kept(bench, backend, store):
    handle = bench.launch("wait_long")
    bench.until(lambda: bench.shown(handle, "stdout") == b"ready\n")
    task = bench.tasks[handle]
    url = task_url(store, task)
    assert len(_pids_of(url)) == 1, "what counts the orphans does not see what runs"
    backend.kill(backend.submitted[0][0].name)
    (end,) = bench.wait(handle)
    assert (end.code, end.signal, end.cause) == (None, signal.SIGKILL, "killed")
    assert end.message == "the process was killed by SIGKILL"
    assert bench.stored(handle, "stdout") == b"ready\n"
    assert store.exists([piece_key(attempt_prefix(*task[:5]), 0)]) == [True]
    wait_for(lambda: not _pids_of(url), problem="an orphan still runs")


@pytest.mark.chaos
def test_a_task_that_was_asked_to_end_by_its_cluster_ends_politely(bench, backend):
    handle = bench.launch("wait_long")
    bench.until(lambda: bench.shown(handle, "stdout") == b"ready\n")
    os.kill(backend.pid(backend.submitted[0][0].name), signal.SIGTERM)
    (end,) = bench.wait(handle)
    assert (end.code, end.signal, end.cause) == (None, signal.SIGTERM, "killed")
    assert bench.stored(handle, "stdout") == b"ready\n"


def test_pieces_are_gone_when_the_logs_are_whole(bench, store):
    handle = bench.launch("write_both")
    bench.wait(handle)
    assert [o.key for o in store.list("runs/") if "/live/" in o.key] == []


def test_usage_is_measured_where_the_task_ran(bench):
    end = bench.run("write_much")
    assert end.cpu_seconds > 0.01
    assert end.peak_memory > 5_000_000


# --- the cluster ----------------------------------------------------------------------------------


def test_what_a_cluster_does_not_take_fails_with_its_words(bench, backend):
    backend.refusals.append(Refused("invalid partition specified: gpuu", "-p gpu"))
    end = bench.run("nothing")
    assert (end.cause, end.message, end.hint) == (
        "launch",
        "invalid partition specified: gpuu",
        "-p gpu",
    )
    assert not any(isinstance(update, Started) for update in bench.updates)


def test_what_a_cluster_may_take_later_is_submitted_again_and_people_hear_why(bench, backend):
    backend.refusals += [Refused("exceeded quota: pods=2", transient=True)] * 2
    first, second = bench.launch("nothing"), bench.launch("nothing")
    assert {end.code for end in bench.wait(first, second)} == {0}
    told = [update.why for update in bench.updates if isinstance(update, TaskWaiting)]
    assert told == ["exceeded quota: pods=2"]  # once, not for each task


def test_who_is_cancelled_while_its_cluster_does_not_take_it_is_not_submitted(bench, backend):
    backend.refusals += [Refused("no room", transient=True)] * 100
    handle = bench.launch("nothing")
    bench.until(lambda: any(isinstance(update, TaskWaiting) for update in bench.updates))
    bench.compute.cancel([handle], 0.0)
    (end,) = bench.wait(handle)
    assert end.cause == "cancelled"


def test_attempts_that_come_together_are_submitted_together(bench, backend):
    all_launched = threading.Event()
    backend.before_submit = lambda: all_launched.wait(20)
    handles = [bench.launch("nothing") for _ in range(10)]
    all_launched.set()
    bench.wait(*handles)
    assert sum(map(len, backend.submitted)) == 10
    assert (
        len(backend.submitted) <= 2
    )  # what was there at first, and what came until it was submitted


def test_names_of_jobs_are_those_of_their_attempts(bench, backend):
    task = TaskSpec("SuiteFlow", "1", "nothing", 3, 1)
    bench.wait(bench.launch("nothing", task))
    (job,) = backend.submitted[0]
    assert job.name.startswith("suiteflow-1-nothing-3-1-")
    assert len(job.name) <= 40


def test_a_store_that_a_bare_python_cannot_read_is_refused_before_anything_starts(backend):
    compute = ProcessCompute(backend)
    compute.prepare(StepsRuntime())
    with pytest.raises(PluginError, match="a bare Python cannot read the store") as raised:
        compute.open(RunRecord("SuiteFlow", "1", RunState.RUNNING, 0.0), MemoryStore())
    assert "--datastore s3://" in str(raised.value)
    assert "local://FOLDER" in str(raised.value)
    assert not backend.submitted
    compute.close()


class Needy(MemoryStore):
    """A store that is read by something which must be installed."""

    def bootstrap(self) -> Bootstrap:
        return Bootstrap("", {}, needs=("flow-fsspec",))


class Elsewhere(ProcessCompute):
    """One whose tasks do not have the launcher's interpreter."""

    shares_files = False


def test_a_store_that_needs_a_library_is_refused_where_it_may_be_missing(backend):
    store, compute = Needy(), Elsewhere(backend)
    compute.prepare(StepsRuntime())
    with pytest.raises(PluginError) as raised:
        compute.open(RunRecord("SuiteFlow", "1", RunState.RUNNING, 0.0), store)
    assert str(raised.value) == (
        "Tasks of compute 'process' could not begin: a bare Python cannot read the store\n"
        f"  where: {store.url}\n"
        "  why:   it is read by flow-fsspec, and what an image has is known only there\n"
        "  try:   --datastore s3://bucket/prefix, gs://bucket/prefix or azure://container/prefix"
    )
    assert not backend.submitted
    compute.close()
    compute = ProcessCompute(backend)
    compute.prepare(StepsRuntime())
    compute.open(RunRecord("SuiteFlow", "1", RunState.RUNNING, 0.0), store)
    compute.close()


def test_what_the_bootstrap_tells_is_found_among_other_lines():
    told = boot_failure(["noise", 'x FLOW-BOOT-FAILED {"what": "no Python", "hint": "h"}'])
    assert told == {"what": "no Python", "hint": "h"}
    assert boot_failure(['FLOW-BOOT-FAILED {"what": "no Py']) == {"what": '{"what": "no Py'}
    assert boot_failure(["all is well"]) is None


def test_a_task_that_cannot_begin_says_why(bench, backend, store):
    backend.spoil = "FLOW_TASK"
    end = bench.run("nothing")
    assert end.cause == "launch"
    assert end.message.startswith("There is no task (the variable FLOW_TASK)")


# --- time and size --------------------------------------------------------------------------------


def test_long_logs_are_cut(backend, store, tmp_path, monkeypatch):
    """`tests/test_remote_faults.py` measures the memory of all who pass on such logs."""
    steps = tmp_path / "huge_steps.py"
    steps.write_text(
        "import sys\n"
        "def shout(task):\n"
        "    line = 'x' * 99 + chr(10)\n"
        "    for number in range(400):\n"
        "        sys.stdout.write(line * 1000)\n"
        "    sys.stdout.write('the end')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    compute = ProcessCompute(backend)
    bench = Bench(compute, store, StepsRuntime("huge_steps"), patience=120)
    try:
        (end,) = bench.wait(handle := bench.launch("shout"))
        assert end.code == 0
        content = bench.stored(handle, "stdout")
        assert 9_990_000 < len(content) < 10_010_000
        assert b"[flow: 30.0 MB of output left out here" in content
        assert content.endswith(b"the end")
        shown = bench.shown(handle, "stdout") + bench.shown(handle, "stderr")
        assert len(shown) < 10_100_000
        assert b"writes more than is shown" in shown
    finally:
        compute.close()


@pytest.mark.parametrize("skew", ["+1h", "-1h"])
def test_a_clock_that_is_an_hour_off_changes_nothing(backend, store, tmp_path, skew):
    if shutil.which("faketime") is None:
        absent("no wrong clocks here: apt-get install faketime")
    backend.before = ["faketime", "-f", skew]
    compute = ProcessCompute(backend)
    bench = Bench(compute, store, StepsRuntime())
    try:
        handle = bench.launch("write_both", timed=True)
        (end,) = bench.wait(handle)
        assert (end.code, end.cause) == (0, "exit")
        assert abs(end.at - time.time()) < 60  # the launcher's clock counts
        assert bench.stored(handle, "stdout") == b"to stdout\n"
    finally:
        compute.close()


# --- launchers ------------------------------------------------------------------------------------


def test_what_an_earlier_launcher_has_started_is_found_by_its_name(
    bench, backend, store, monkeypatch
):
    monkeypatch.setattr("flow_remote.reader._LATE_SHARED", 0.5)  # this job has left nothing
    handle = bench.launch("wait_long")
    bench.until(lambda: bench.shown(handle, "stdout") == b"ready\n")
    task = bench.tasks[handle]
    backend.survivors = {backend.submitted[0][0].name: "job-7"}
    later = Bench(ProcessCompute(backend), store, StepsRuntime())
    other = TaskSpec("SuiteFlow", "1", "nothing", 99)
    (adopted, missing) = later.compute.adopt([task, other])
    assert missing is None
    backend.tell(Running("job-7", "node9"), Ended("job-7", code=0))
    later.wait(adopted)
    assert later.exited[adopted].code == 0
    assert [u.pid for u in later.updates if isinstance(u, Started)] == ["job-7 on node9"]
    later.compute.close()


def test_a_gang_is_found_by_the_name_of_its_main_member(backend, store):
    bench = Bench(ProcessCompute(backend), store, StepsRuntime())
    handles = bench.launch_gang("nothing", 2)
    tasks = [bench.tasks[handle] for handle in handles]
    bench.wait(*handles)
    backend.survivors = {backend.submitted[0][0].name: "gang"}
    assert None not in bench.compute.adopt(tasks)
    bench.compute.close()


def test_who_is_cancelled_while_it_is_submitted_once_more_ends_once(bench, backend):
    backend.refusals += [Refused("no room", transient=True)]
    handle = bench.launch("wait_long")
    bench.until(lambda: any(isinstance(update, TaskWaiting) for update in bench.updates))
    backend.before_submit = lambda: bench.compute.cancel([handle], 0.0)
    bench.wait(handle)
    other = bench.launch("nothing")
    bench.wait(other)
    ends = [u for u in bench.updates if isinstance(u, Exited) and u.handle == handle]
    assert [end.cause for end in ends] == ["cancelled"]

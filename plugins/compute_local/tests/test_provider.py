"""The launcher's side: which server runs an attempt, and what is told of it."""

import os
import sys
import threading
import time

import pytest

from flow_compute_local.provider import LocalCompute
from flow_core.api import TaskCommand
from flow_core.testing.compute_steps import StepsRuntime


@pytest.fixture
def busy_thread():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="watcher")
    thread.start()
    yield thread
    stop.set()
    thread.join()


def surroundings(bench, handle):
    bench.wait(handle)
    return bench.stored(handle, "stdout").decode()


def parent_of(bench):
    handle = bench.launch("tell_parent")
    bench.wait(handle)
    return int(bench.stored(handle, "stdout"))


def test_forking_is_silent(script):
    process = script("""
bench = begin()
assert bench.compute.notice is None, bench.compute.notice
bench.compute.close()
""")
    assert process.communicate(timeout=30) == (b"", b"")


def test_a_launcher_with_threads_lets_a_fresh_process_fork(start, busy_thread):
    bench = start()
    assert "running" in bench.compute.notice
    assert parent_of(bench) == parent_of(bench) != os.getpid()
    handle = bench.launch("tell_main")
    bench.wait(handle)
    assert "flow_compute_local" in bench.stored(handle, "stdout").decode()
    assert "server" in bench.stored(handle, "stdout").decode()


def test_never_forking_is_told(start):
    bench = start(fork="never")
    assert "the setting 'fork' is 'never'" in bench.compute.notice


def test_steps_with_threads_at_import_are_spawned(start, monkeypatch, tmp_path):
    (tmp_path / "threaded_steps.py").write_text(
        "import sys, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True, name='own').start()\n"
        "def rebuild(document):\n"
        "    from flow_core.testing import compute_steps\n"
        "    return compute_steps.rebuild(document)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(
        StepsRuntime,
        "document",
        {
            "rebuild": "threaded_steps:rebuild",
            "module": "local_compute_steps",
            "settings": {},
            "path": sys.path,
        },
    )
    bench = start()
    compute = bench.compute
    bench.run("nothing", interpreter=sys.executable)
    reason = "thread 'own' is running"
    assert compute.notice == f"tasks are spawned, not forked, and start slower: {reason}"


def test_another_interpreter_has_a_server_of_its_own(start, tmp_path):
    bench = start()
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    handles = [
        bench.launch("tell_executable", interpreter=str(other), variables=environment)
        for _ in range(2)
    ]
    ends = bench.wait(*handles)
    assert [end.code for end in ends] == [0, 0]
    lines = [bench.stored(handle, "stdout").decode().split() for handle in handles]
    assert {executable for executable, _ in lines} == {str(other)}
    assert len({parent for _, parent in lines}) == 1


def command_for(interpreter, **variables):
    command = TaskCommand()
    command.interpreter = str(interpreter)
    command.variables.update(variables)
    return command


def test_what_is_expected_is_ready_when_it_comes(start, tmp_path):
    bench = start()
    other = tmp_path / "python"
    other.symlink_to(sys.executable)
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = command_for(other, **environment)
    bench.compute.expect(command)
    bench.compute.expect(command)
    (pid,) = [link.pid for key, link in bench.compute._links.items() if key.interpreter]
    handle = bench.launch("tell_executable", interpreter=str(other), variables=environment)
    bench.wait(handle)
    executable, parent = bench.stored(handle, "stdout").decode().split()
    assert (executable, int(parent)) == (str(other), pid)


def test_what_is_expected_in_vain_does_not_hold_up_the_end(start, tmp_path):
    bench = start()
    slow = tmp_path / "python"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    bench.compute.expect(command_for(slow))
    bench.compute.expect(command_for("/does/not/exist"))
    (pid,) = [link.pid for key, link in bench.compute._links.items() if key.interpreter]
    begun = time.monotonic()
    bench.compute.close()
    assert time.monotonic() - begun < 0.8, "it waited for a server that nobody needs"
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_interpreter_that_cannot_start(start, tmp_path):
    bench = start()
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 9\n")
    broken.chmod(0o755)
    end = bench.run("nothing", interpreter=str(broken))
    assert (end.code, end.cause) == (None, "launch")
    assert bench.run("nothing").code == 0


def test_an_interpreter_that_is_missing(start):
    bench = start()
    end = bench.run("nothing", interpreter="/does/not/exist")
    assert (end.code, end.cause) == (None, "launch")
    assert "/does/not/exist" in end.message
    assert bench.run("nothing").code == 0


def test_variables_read_at_the_start_of_a_process(start):
    bench = start()
    handle = bench.launch("tell_hash_seed", variables={"PYTHONHASHSEED": "0"})
    other = bench.launch("tell_hash_seed", variables={"PYTHONHASHSEED": "0"})
    bench.wait(handle, other)
    assert bench.stored(handle, "stdout") == bench.stored(other, "stdout")


def test_the_memory_of_the_launcher_does_not_grow_with_tasks(bench):
    handles = [bench.launch("nothing") for _ in range(20)]
    bench.wait(*handles)
    compute = bench.compute
    assert not compute._attempts
    assert not any(link.attempts for link in compute._links.values())
    assert not compute._news


def test_a_forked_process_that_inherits_the_provider_cannot_close_it(bench):
    handle = bench.launch("say_pid_and_wait")
    pid = os.fork()
    if pid == 0:
        bench.compute.close()
        os._exit(0)
    os.waitpid(pid, 0)
    bench.until(lambda: bench.shown(handle, "stdout") != b"")
    assert bench.run("nothing").code == 0
    assert handle not in bench.exited


def test_close_before_prepare():
    LocalCompute().close()

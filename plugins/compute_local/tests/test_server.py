"""What the server does about crashes, processes left behind, and its own end."""

import os
import signal
import time

import pytest

from flow_core.api import Exited, Output, Started

pytestmark = pytest.mark.chaos


@pytest.fixture(params=["auto", "never"], ids=["forked", "spawned"])
def bench(start, request):
    return start(fork=request.param)


def test_a_crash_touches_nobody_else(bench):
    handles = [bench.launch("crash"), bench.launch("nothing")]
    crashed, fine = bench.wait(*handles)
    assert (crashed.code, crashed.signal, crashed.cause) == (None, signal.SIGSEGV, "killed")
    assert "SIGSEGV: the process crashed" in crashed.message
    assert bench.stored(handles[0], "stdout") == b"about to crash"
    assert fine.code == 0


@pytest.mark.parametrize("step", ["leave_child", "leave_daemon_program", "leave_daemon_fork"])
def test_processes_left_behind_are_ended(bench, processes, step):
    gone_within, _ = processes
    other = bench.launch("say_pid_and_wait")
    handle = bench.launch(step)
    (end,) = bench.wait(handle)
    left = int(bench.stored(handle, "stdout"))
    assert end.code == 0
    (note,) = end.notes
    assert note.startswith(f"1 child process was left behind and was ended: {left} (")
    assert gone_within(1, [left]) == []
    assert other not in bench.exited


def test_a_zombie_is_nothing_left_behind(bench):
    assert bench.run("leave_zombie").notes == ()


def test_missing_folder_is_a_failed_launch(bench):
    end = bench.run("nothing", folder="/does/not/exist")
    assert (end.code, end.cause) == (None, "launch")
    assert "/does/not/exist" in end.message


def test_death_of_the_server(bench, processes, pid_of):
    gone_within, _ = processes
    handles = [bench.launch("start_child_and_wait") for _ in range(10)]
    pids = [pid_of(handle) for handle in handles]
    children = [int(bench.compute.logs(bench.tasks[h], "stdout").split()[1]) for h in handles]
    os.kill(server_of(pids[0]), signal.SIGKILL)
    ends = bench.wait(*handles)
    assert {end.cause for end in ends} == {"lost"}
    assert gone_within(1, pids + children) == []
    assert bench.run("nothing").code == 0


def test_launch_right_after_the_death_of_the_server(bench, pid_of):
    lost = bench.launch("say_pid_and_wait")
    os.kill(server_of(pid_of(lost)), signal.SIGKILL)
    handles = [bench.launch("nothing") for _ in range(3)]
    bench.wait(lost, *handles)
    assert bench.exited[lost].cause == "lost"
    # What was sent before the death was noticed is lost too; the rest runs.
    assert {bench.exited[handle].cause for handle in handles} <= {"lost", "exit"}
    assert bench.run("nothing").code == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_death_of_the_launcher(script, processes, number):
    gone_within, _ = processes
    process = script("""
if __name__ == "__main__":
    bench = begin()
    for _ in range(4):
        bench.launch("start_child_and_wait")
    while True:
        for update in bench.poll(0.1):
            if hasattr(update, "data"):
                os.write(1, update.data)
""")
    lines = [process.stdout.readline() for _ in range(4)]
    pids = [int(pid) for line in lines for pid in line.split()]
    pids.append(server_of(pids[0]))
    assert len(pids) == 9
    process.send_signal(number)
    process.wait()
    assert gone_within(2, pids) == []


def test_interrupt_of_the_terminal_does_not_reach_tasks(script, processes):
    _, is_alive = processes
    process = script(
        """
if __name__ == "__main__":
    bench = begin()
    bench.launch("say_pid_and_wait")
    try:
        while True:
            for update in bench.poll(0.1):
                if hasattr(update, "data"):
                    os.write(1, update.data)
    except KeyboardInterrupt:
        sys.stdin.read()
""",
        stdin=-1,
    )
    pid = int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    assert is_alive(pid)


def test_big_output(start):
    bench = start(max_log_size=10)
    handle = bench.launch("write_100_mb")
    bench.wait(handle)
    shown = [u for u in bench.updates if isinstance(u, Output)]
    assert max(len(u.data) for u in shown) <= 1 << 16
    assert sum(len(u.data) for u in shown if u.stream == "stdout") == 10_000_000
    assert b"--max-log-size" in bench.shown(handle, "stderr")
    kept = bench.stored(handle, "stdout")
    assert 10_000_000 <= len(kept) < 10_000_200
    note = b"[flow: 90.0 MB of output left out here; --max-log-size raises the limit]"
    assert note in kept.splitlines()


def test_order_of_updates(bench):
    handle = bench.launch("leave_thread")
    bench.wait(handle)
    kinds = [type(u) for u in bench.updates]
    assert (kinds[0], kinds[-1]) == (Started, Exited)


def server_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def test_tasks_of_another_launcher_are_left_alone(start, processes):
    _, is_alive = processes
    other, ours = start(), start()  # with the same names of flow, run, step and task
    for bench in (other, ours):
        bench.handle = bench.launch("say_pid_and_wait")
        bench.until(lambda bench=bench: bench.shown(bench.handle, "stdout") != b"")
    theirs, mine = (int(b.shown(b.handle, "stdout")) for b in (other, ours))
    os.kill(server_of(mine), signal.SIGKILL)
    assert ours.wait(ours.handle)[0].cause == "lost"
    assert is_alive(theirs)

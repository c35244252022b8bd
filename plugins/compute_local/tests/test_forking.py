"""The decision whether forking is safe."""

import subprocess
import sys
import threading

import pytest

from flow_compute_local.forking import (
    Observation,
    needs_fresh_interpreter,
    observe,
    unsafe_reasons,
)


def test_a_plain_process_is_safe():
    assert unsafe_reasons(Observation()) == []


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Observation(has_fork=False), "this platform cannot fork"),
        (Observation(platform="darwin"), "macOS"),
        (Observation(on_main_thread=False), "main thread"),
        (Observation(threads=("watcher",)), "thread 'watcher' is running"),
        (Observation(threads=("a", "b")), "threads 'a' and 'b' are running"),
        (Observation(threads=tuple("abcd")), "threads 'a', 'b', 'c' and others are running"),
        (Observation(native_threads=("python",)), "native thread 'python'"),
        (Observation(native_threads=("jemalloc",), modules={"numpy"}), "native thread 'jemalloc'"),
        (Observation(cuda="CUDA is initialised"), "CUDA"),
        (Observation(modules={"grpc"}), "gRPC"),
    ],
)
def test_what_makes_it_unsafe(seen, reason):
    (only,) = unsafe_reasons(seen)
    assert reason in only


def test_threads_of_numpy_are_explained():
    seen = Observation(native_threads=("python", "python"), modules={"numpy"})
    assert unsafe_reasons(seen) == []


def test_the_thread_of_jemalloc_is_explained():
    assert unsafe_reasons(Observation(native_threads=("jemalloc_bg_thd",))) == []


def test_children_use_what_pandas_and_arrow_have_started():
    """The launcher has used threads of both before it forks; each child uses them again."""
    pytest.importorskip("pyarrow")
    code = """
import os, sys
import pandas, pyarrow
import pyarrow.compute as compute

def work():
    table = pyarrow.table({"x": list(range(50_000)), "y": [str(n) for n in range(50_000)]})
    frame = table.to_pandas(use_threads=True)
    assert frame["x"].sum() == compute.sum(table["x"]).as_py()
    pool = pyarrow.jemalloc_memory_pool()
    kept = [pyarrow.allocate_buffer(1 << n, memory_pool=pool) for n in range(22)]
    assert pool.bytes_allocated() >= sum(buffer.size for buffer in kept)

work()
found = [open(f"/proc/self/task/{t}/comm").read().strip() for t in os.listdir("/proc/self/task")]
print("jemalloc_bg_thd" in found)
for _ in range(20):
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if "NotImplementedError" in done.stderr:
        pytest.skip("this pyarrow comes without jemalloc")
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr


def test_a_running_thread_is_observed():
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="watcher")
    thread.start()
    try:
        seen = observe()
        assert "watcher" in seen.threads
        assert "running" in unsafe_reasons()[0]
    finally:
        stop.set()
        thread.join()


def test_another_thread_is_not_the_main_one():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(observe()))
    thread.start()
    thread.join()
    assert not seen[0].on_main_thread


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"TOKEN": "x"}, False),
        ({"OMP_NUM_THREADS": "1"}, True),
        ({"PYTHONHASHSEED": "3"}, True),
        ({"LD_LIBRARY_PATH": "/opt/lib"}, True),
        ({"PYTHONUTF8": "already"}, False),
    ],
)
def test_variables_that_count_at_the_start(monkeypatch, variables, expected):
    monkeypatch.setenv("PYTHONUTF8", "already")
    for name in ("OMP_NUM_THREADS", "PYTHONHASHSEED", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert needs_fresh_interpreter(variables) is expected

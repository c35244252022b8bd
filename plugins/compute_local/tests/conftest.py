"""Fixtures: a provider at work with the steps of `local_compute_steps`."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow_compute_local.provider import LocalCompute
from flow_core.testing.compute_steps import StepsRuntime
from flow_core.testing.compute_suite import Bench

STEPS = Path(__file__).parent / "steps"


@pytest.fixture(autouse=True)
def _steps_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(STEPS))


@pytest.fixture
def start(tmp_path):
    """Return a function that starts a provider; settings are its arguments."""
    from flow_store_local.store import LocalStore

    benches = []

    def begin(*, interactive=True, **settings):
        runtime = StepsRuntime("local_compute_steps", interactive=interactive, settings=settings)
        store = LocalStore(str(tmp_path / f"store{len(benches)}"))
        benches.append(Bench(LocalCompute(), store, runtime))
        return benches[-1]

    yield begin
    for bench in benches:
        bench.compute.close()


@pytest.fixture
def bench(start):
    """Return a provider that forks."""
    return start()


@pytest.fixture
def script(tmp_path):
    """Return a function that starts a launcher of its own, as a script."""
    started = []

    def begin(text, **options):
        path = tmp_path / "launcher.py"
        path.write_text(PREAMBLE.format(steps=str(STEPS), store=str(tmp_path / "store")) + text)
        process = subprocess.Popen(
            [sys.executable, str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            **options,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


PREAMBLE = """
import atexit, os, sys
sys.path.insert(0, {steps!r})
from flow_compute_local.provider import LocalCompute
from flow_store_local.store import LocalStore
from flow_core.api import TaskSpec
from flow_core.testing.compute_steps import StepsRuntime
from flow_core.testing.compute_suite import Bench

def begin(**settings):
    runtime = StepsRuntime("local_compute_steps", settings=settings)
    return Bench(LocalCompute(), LocalStore({store!r} + str(settings)), runtime)

"""


def is_alive(pid):
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def gone_within(seconds, pids):
    """Wait until none of the processes lives; return those that do in the end."""
    deadline = time.monotonic() + seconds
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [pid for pid in pids if is_alive(pid)]


@pytest.fixture
def processes():
    """Return the functions that look at processes."""
    return gone_within, is_alive


@pytest.fixture
def pid_of(bench):
    """Return a function that tells the process id which an attempt reported on its stdout."""

    def wait(handle):
        task = bench.tasks[handle]
        bench.until(lambda: bench.compute.logs(task, "stdout").endswith(b"\n"))
        return int(bench.compute.logs(task, "stdout").split()[0])

    return wait

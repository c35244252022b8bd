"""Whatever is killed, whenever: nothing wrong can be read, nothing runs on, and resume completes.

A flow runs again and again; each time, at a random instant, a task, the fork server or the launcher
is killed with SIGKILL. The long form, with figures at its end::

    FLOW_CHAOS_INSTANTS=200 python -m pytest -s tests/test_chaos.py
"""

from __future__ import annotations

import collections
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_core.api import RunState, installed

pytestmark = pytest.mark.chaos

SEED = 20260101
INSTANTS = int(os.environ.get("FLOW_CHAOS_INSTANTS", "12"))
KINDS = ("task", "server", "launcher")

FLOW = """
    import time
    from flow_core import FlowSpec, Parameter, catch, current, retry, step

    class Chaos(FlowSpec):
        size = Parameter("size", default=60_000)

        @step
        def start(self):
            self.big = bytes(range(256)) * (self.size // 256)
            self.items = list(range(5))
            self.next(self.work, foreach="items")

        @retry(times=2)
        @step
        def work(self):
            self.mine = self.big[self.input :] + b"mine"
            time.sleep(0.01)
            if self.input == 1 and current.retry_count == 0:
                raise ValueError("only a retry helps")
            self.next(self.left, self.right)

        @step
        def left(self):
            self.side = ["left", self.input]
            time.sleep(0.01)
            self.next(self.merge)

        @catch(var="failure")
        @step
        def right(self):
            self.side = ["right", len(self.mine)]
            if self.input == 3:
                raise ValueError("always")
            self.next(self.merge)

        @step
        def merge(self, inputs):
            self.sides = [i.side for i in inputs]
            self.merge_artifacts(inputs, include=["mine"])
            self.next(self.gather)

        @step
        def gather(self, inputs):
            self.table = {n: i.sides for n, i in enumerate(inputs)}
            self.joined = b"".join(i.mine for i in inputs)
            self.next(self.end)

        @step
        def end(self):
            self.length = len(self.joined)

    if __name__ == "__main__":
        Chaos()
"""
COMPARED = ("table", "joined", "length")
ATTEMPTS = 1 + 6 + 5 + 5 + 5 + 1 + 1  # manifests of an undisturbed run


def plan() -> Iterator[tuple[int, str, float]]:
    """Yield number, what is killed, and when, as a share of an undisturbed run's time."""
    draw = random.Random(SEED)
    for number in range(INSTANTS):
        yield number, KINDS[number % len(KINDS)], draw.uniform(0.25, 1.0)


@pytest.fixture(scope="module")
def figures():
    """Counts over all instants, shown at the end."""
    counts: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    yield counts
    counts["seconds"] = round(time.monotonic() - began)
    print("\nchaos:", ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))


_undisturbed: list[tuple[dict[str, str], float]] = []


@pytest.fixture
def undisturbed(lab, check_store):
    """Return the hashes of the final artifacts of an undisturbed run, and how long it takes."""
    if not _undisturbed:
        file = lab.write(FLOW)
        lab.python(file, "run").check()  # the first one also compiles and fills caches
        began = time.monotonic()
        lab.python(file, "run").check()
        seconds = time.monotonic() - began
        assert check_store(lab.root) == 2 * ATTEMPTS
        _undisturbed.append((final_hashes(lab, 2), seconds))
        shutil.rmtree(lab.root)
    return _undisturbed[0]


def final_hashes(lab, run) -> dict[str, str]:
    (manifest,) = lab.left(run, "Chaos").manifests("end")
    return {name: manifest.artifacts[name].hash for name in COMPARED}


def children(pid: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def victim(launcher, kind: str, draw: random.Random) -> int | None:
    """Return a process of this kind as soon as there is one; None when the run ends before."""
    while launcher.poll() is None:
        found = [launcher.pid] if kind == "launcher" else children(launcher.pid)
        if kind == "task":
            found = [task for server in found for task in children(server)]
        if found:
            return draw.choice(found)
        time.sleep(0.001)
    return None


@pytest.mark.parametrize(
    ("number", "kind", "share"),
    list(plan()),
    ids=[f"{number}-{kind}-at-{share:.0%}" for number, kind, share in plan()],
)
def test_kill(lab, check_store, undisturbed, figures, number, kind, share):
    expected, seconds = undisturbed
    file = lab.write(FLOW)
    launcher = lab.start(file, "run", "--max-workers", "4")
    time.sleep(share * seconds)
    target = victim(launcher, kind, random.Random(number))
    if target is not None:
        os.kill(target, signal.SIGKILL)
    figures[f"{kind} killed" if target else "ended before"] += 1
    status = launcher.wait(30)
    lab.assert_nothing_runs(5)

    succeeded = status == 0
    run = 1
    if (lab.root / "runs").exists():
        check_store(lab.root)
        assert_listing_is_whole(lab, succeeded)
    if not succeeded:
        assert status == (-signal.SIGKILL if kind == "launcher" else 1), lab.said(launcher)
        run = go_on(lab, file, figures)
    else:
        figures["succeeded all the same"] += 1
    assert final_hashes(lab, run) == expected
    check_store(lab.root)


def go_on(lab, file: Path, figures) -> int:
    """Resume, or start again where the launcher was killed before it had a run; return its id."""
    runs = lab.root / "runs" / "Chaos"
    command = "resume" if list(runs.glob("*/run.json")) else "run"
    done = lab.python(file, command)
    if command == "resume" and "There is no run of Chaos to resume" in done.stderr:
        command = "run"  # it was killed between its claim of an id and the index
        done = lab.python(file, command)
    done.check()
    figures[f"then {command}"] += 1
    figures["tasks reused"] += done.stdout.count("Task is reused from")
    lab.assert_nothing_runs(2)
    return max(int(folder.name) for folder in runs.iterdir())


def assert_listing_is_whole(lab, succeeded: bool) -> None:
    """The store lists no half-written object, and an index can be made of it without a problem."""
    store = installed().load("flow.stores", "local")(str(lab.root))
    assert not [entry.key for entry in store.list() if entry.key.startswith("tmp")]
    index = installed().load("flow.metadata", "local")(str(lab.path / "rebuilt"))
    index.rebuild(store)
    assert index.problems == []
    states = [record.state for record in index.runs("Chaos")]
    index.close()
    assert not succeeded or states == [RunState.SUCCEEDED]

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
        @retry(times=1)
        @step
        def right(self):
            self.side = ["right", len(self.mine)]
            if self.input == 3:
                raise ValueError("always")
            self.next(self.merge)

        @step
        def merge(self, inputs):
            # A caught task keeps what it had set, unless its process was killed.
            self.sides = ["failed" if getattr(i, "failure", None) else i.side for i in inputs]
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
ATTEMPTS = 1 + 6 + 5 + 6 + 5 + 1 + 1  # manifests of an undisturbed run


def plan() -> Iterator[tuple[int, str, int]]:
    """Yield number, what is killed, and after how many finished attempts (-1: before any run)."""
    draw = random.Random(SEED)
    for number in range(INSTANTS):
        yield number, KINDS[number % len(KINDS)], draw.randrange(-1, ATTEMPTS)


@pytest.fixture(scope="module")
def figures():
    """Counts over all instants, shown at the end."""
    counts: collections.Counter[str] = collections.Counter()
    began = time.monotonic()
    yield counts
    counts["seconds"] = round(time.monotonic() - began)
    print("\nchaos:", ", ".join(f"{name} {count}" for name, count in sorted(counts.items())))


_undisturbed: list[dict[str, str]] = []


@pytest.fixture
def undisturbed(lab, check_store):
    """Return the hashes of the final artifacts of an undisturbed run."""
    if not _undisturbed:
        lab.python(lab.write(FLOW), "run").check()
        assert check_store(lab.root) == ATTEMPTS
        _undisturbed.append(final_hashes(lab, 1))
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


def wait_until_finished(lab, launcher, attempts: int, run: int) -> None:
    """Return as soon as so many attempts of a run are committed, or the run is over."""
    folder = lab.root / "runs" / "Chaos" / str(run)
    while launcher.poll() is None and len(list(folder.glob("*/*/*/manifest"))) < attempts:
        time.sleep(0.001)


def kill_at(lab, launcher, kind: str, after: int, draw: random.Random, run: int = 1) -> bool:
    """Kill something at the instant; False when the run was over before."""
    wait_until_finished(lab, launcher, after, run)
    time.sleep(draw.uniform(0, 0.02 if after > 0 else 0.2))
    target = victim(launcher, kind, draw)
    if target is None:
        return False
    os.kill(target, signal.SIGKILL)
    return True


@pytest.mark.parametrize(
    ("number", "kind", "after"),
    list(plan()),
    ids=[f"{number}-{kind}-after-{after}" for number, kind, after in plan()],
)
def test_kill(lab, check_store, undisturbed, figures, number, kind, after):
    draw = random.Random(f"{SEED} {number}")
    file = lab.write(FLOW)
    launcher = lab.start(file, "run", "--max-workers", "4")
    killed = kill_at(lab, launcher, kind, after, draw)
    figures[f"{kind} killed" if killed else "over before"] += 1
    status = launcher.wait(30)
    lab.assert_nothing_runs(5)
    check_all(lab, check_store, succeeded=status == 0)

    if status == 0:
        figures["succeeded all the same"] += 1
    else:
        assert status == (-signal.SIGKILL if kind == "launcher" else 1), lab.said(launcher)
        if number % 4 == 0:
            kill_the_resume(lab, check_store, file, figures, draw)
        go_on(lab, file, figures)
    runs = [int(folder.name) for folder in (lab.root / "runs" / "Chaos").iterdir()]
    assert final_hashes(lab, max(runs)) == undisturbed
    check_all(lab, check_store, succeeded=True)


def kill_the_resume(lab, check_store, file: Path, figures, draw: random.Random) -> None:
    """Kill the launcher of the resume, too."""
    launcher = lab.start(file, "resume")
    killed = kill_at(lab, launcher, "launcher", draw.randrange(1, ATTEMPTS), draw, run=2)
    figures["resume killed"] += killed
    launcher.wait(30)
    lab.assert_nothing_runs(5)
    check_all(lab, check_store, succeeded=False)


def go_on(lab, file: Path, figures) -> None:
    """Resume, or start again where the launcher was killed before anybody knew of its run."""
    done = lab.python(file, "resume")
    # In the second case it had written run.json, and died before the index learned of it.
    unknown = ("There is no run of Chaos to resume", "The index does not know the runs of Chaos")
    if any(text in done.stderr for text in unknown):
        figures["started again"] += 1
        lab.python(file, "run").check()
        return
    done.check()
    figures["resumed"] += 1
    figures["tasks reused"] += done.stdout.count("Task is reused from")
    lab.assert_nothing_runs(2)


def check_all(lab, check_store, succeeded: bool) -> None:
    """Check every object, and that an index can be made of them without a problem."""
    if not (lab.root / "runs").exists():
        return
    check_store(lab.root)
    assert_listing_is_whole(lab, succeeded)


def assert_listing_is_whole(lab, succeeded: bool) -> None:
    """The store lists no half-written object, and an index can be made of it without a problem."""
    store = installed().load("flow.stores", "local")(str(lab.root))
    assert not [entry.key for entry in store.list() if entry.key.startswith("tmp")]
    index = installed().load("flow.metadata", "local")(str(lab.path / "rebuilt"))
    index.rebuild(store)
    assert index.problems == []
    latest = index.runs("Chaos", limit=1)
    index.close()
    assert not succeeded or latest[0].state is RunState.SUCCEEDED

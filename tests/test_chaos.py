"""Whatever is killed, whenever: nothing wrong can be read, nothing runs on, and resume completes.

A flow runs again and again, on files and on a real S3 server; each time, at a random instant, a
task, the fork server or the launcher is killed with SIGKILL. The long form, with figures at its
end, other instants, and one store only::

    FLOW_CHAOS_INSTANTS=200 FLOW_CHAOS_SEED=7 python -m pytest -s tests/test_chaos.py -k s3
"""

from __future__ import annotations

import collections
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_core.api import (
    InputRange,
    Manifest,
    RunState,
    Session,
    Settings,
    TaskSpec,
    installed,
    list_manifests,
)
from flow_core.testing import FaultyProxy

pytestmark = pytest.mark.chaos

SEED = int(os.environ.get("FLOW_CHAOS_SEED", "20260101"))
INSTANTS = {"local": 12, "s3": 8}
if "FLOW_CHAOS_INSTANTS" in os.environ:
    INSTANTS = dict.fromkeys(INSTANTS, int(os.environ["FLOW_CHAOS_INSTANTS"]))
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


def plan() -> Iterator[tuple[str, int, str, int]]:
    """Yield store, number, what is killed, and after how many attempts (-1: before any run)."""
    for store, instants in INSTANTS.items():
        draw = random.Random(SEED if store == "local" else f"{SEED} {store}")
        for number in range(instants):
            yield store, number, KINDS[number % len(KINDS)], draw.randrange(-1, ATTEMPTS)


class OnFiles:
    """The store in the folder of the runs."""

    def __init__(self, lab) -> None:
        self.root = lab.root

    def committed(self, run: int) -> int:
        """Return how many attempts of a run are committed."""
        return len(list((self.root / "runs" / "Chaos" / str(run)).glob("*/*/*/manifest")))

    def bring(self) -> Path:
        """Return a folder with all objects as files."""
        return self.root


class OnS3:
    """A place on a real S3 server."""

    def __init__(self, lab, bucket) -> None:
        from flow_s3.store import S3Store

        lab.tester.more_plugins.append("s3")
        lab.variables.update(FLOW_DATASTORE=bucket.url)
        self.store = S3Store(bucket.root)
        self.root = lab.path / "brought"

    def committed(self, run: int) -> int:
        """Return how many attempts of a run are committed."""
        keys = [stored.key for stored in self.store.list(f"runs/Chaos/{run}/")]
        return sum(key.endswith("/manifest") for key in keys)

    def bring(self) -> Path:
        """Copy all objects to a folder, as files; return it."""
        shutil.rmtree(self.root, ignore_errors=True)
        keys = [stored.key for stored in self.store.list()]
        for key, content in zip(keys, self.store.read(keys), strict=True):
            file = self.root / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content or b"")
        return self.root


@pytest.fixture
def place(request, lab, monkeypatch):
    """Return where the runs of the test are kept; all commands of the lab use it."""
    if request.param == "local":
        return OnFiles(lab)
    bucket = request.getfixturevalue("bucket")
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    return OnS3(lab, bucket)


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
    """Return the hashes of the final artifacts of an undisturbed run, on files."""
    if not _undisturbed:
        variables = {"FLOW_DATASTORE": "local"}
        lab.python(lab.write(FLOW), "run", variables=variables).check()
        assert check_store(lab.root) == ATTEMPTS
        _undisturbed.append(final_hashes(lab.root, 1))
        shutil.rmtree(lab.root)
    return _undisturbed[0]


def final_hashes(root: Path, run: int) -> dict[str, str]:
    """Return the hashes of the artifacts of a run's end, out of its objects."""
    (manifest,) = manifests(root, run, "end")
    return {name: manifest.artifacts[name].hash for name in COMPARED}


def manifests(root: Path, run: int, step: str) -> list[Manifest]:
    """Return what the attempts of a step have left."""
    store = installed().load("flow.stores", "local")(str(root))
    return [
        Manifest.decode(raw, key)
        for key, raw in list_manifests(store, "Chaos", str(run))
        if key.startswith(f"runs/Chaos/{run}/{step}/")
    ]


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


def wait_until_finished(place, launcher, attempts: int, run: int) -> None:
    """Return as soon as so many attempts of a run are committed, or the run is over."""
    while launcher.poll() is None and place.committed(run) < attempts:
        time.sleep(0.001)


def kill_at(place, launcher, kind: str, after: int, draw: random.Random, run: int = 1) -> bool:
    """Kill something at the instant; False when the run was over before."""
    wait_until_finished(place, launcher, after, run)
    time.sleep(draw.uniform(0, 0.02 if after > 0 else 0.2))
    target = victim(launcher, kind, draw)
    if target is None:
        return False
    os.kill(target, signal.SIGKILL)
    return True


@pytest.mark.parametrize(
    ("place", "number", "kind", "after"),
    list(plan()),
    ids=[f"{store}-{number}-{kind}-after-{after}" for store, number, kind, after in plan()],
    indirect=["place"],
)
def test_kill(lab, place, check_store, undisturbed, figures, number, kind, after):
    draw = random.Random(f"{SEED} {number}")
    file = lab.write(FLOW)
    launcher = lab.start(file, "run", "--max-workers", "4")
    killed = kill_at(place, launcher, kind, after, draw)
    figures[f"{kind} killed" if killed else "over before"] += 1
    status = launcher.wait(60)
    lab.assert_nothing_runs(5)
    check_all(place, check_store, succeeded=status == 0)

    if status == 0:
        figures["succeeded all the same"] += 1
    else:
        assert status == (-signal.SIGKILL if kind == "launcher" else 1), lab.said(launcher)
        assert "/flow_core/" not in lab.said(launcher), "no traceback of ours"
        if number % 4 == 0:
            kill_the_resume(lab, place, check_store, file, figures, draw)
        go_on(lab, file, figures)
    root = place.bring()
    runs = [int(folder.name) for folder in (root / "runs" / "Chaos").iterdir()]
    assert final_hashes(root, max(runs)) == undisturbed
    check_all(place, check_store, succeeded=True)


def kill_the_resume(lab, place, check_store, file: Path, figures, draw: random.Random) -> None:
    """Kill the launcher of the resume, too."""
    launcher = lab.start(file, "resume")
    killed = kill_at(place, launcher, "launcher", draw.randrange(1, ATTEMPTS), draw, run=2)
    figures["resume killed"] += killed
    launcher.wait(60)
    lab.assert_nothing_runs(5)
    check_all(place, check_store, succeeded=False)


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


def check_all(place, check_store, succeeded: bool) -> None:
    """Check every object, and that an index can be made of them without a problem."""
    root = place.bring()
    if not (root / "runs").exists():
        return
    check_store(root)
    assert_listing_is_whole(root, succeeded)


def assert_listing_is_whole(root: Path, succeeded: bool) -> None:
    """The store lists no half-written object, and an index can be made of it without a problem."""
    store = installed().load("flow.stores", "local")(str(root))
    assert not [entry.key for entry in store.list() if entry.key.startswith(("tmp", ".writing"))]
    index = installed().load("flow.metadata", "local")(str(root.parent / "rebuilt"))
    index.rebuild(store)
    assert index.problems == []
    latest = index.runs("Chaos", limit=1)
    index.close()
    assert not succeeded or latest[0].state is RunState.SUCCEEDED


# --- two for one ----------------------------------------------------------------------------------

RACE = """
    import os, time
    from flow_core import FlowSpec, step

    class Chaos(FlowSpec):
        @step
        def start(self):
            self.big = os.path.basename(__file__) * 10_000
            self.next(self.work)

        @step
        def work(self):
            self.winner = os.getpid()
            open(f"here-{self.winner}", "w").close()
            while not os.path.exists(f"go-{self.winner}") and not os.path.exists("go"):
                time.sleep(0.01)
            self.next(self.end)

        @step
        def end(self):
            if os.path.exists("broken"):
                raise ValueError("a broken machine")
            self.length, self.table, self.joined = len(self.big), self.winner, self.big

    if __name__ == "__main__":
        Chaos()
"""


def launch_the_same(lab, file: Path) -> subprocess.Popen[str]:
    """Start the attempt of ``work`` once more, as a second launcher would."""
    settings = Settings({"HOME": str(lab.path), **lab.variables}, str(lab.path))
    with Session(settings=settings) as session:
        told = session.document_of(str(file), "Chaos")
    task = TaskSpec("Chaos", "1", "work", 2, inputs=(InputRange("start", 1, 1, 0),))
    document = lab.path / "document.json"
    document.write_text(json.dumps({"format": 1, "session": told, "task": task.to_json()}))
    with open(document) as stdin:
        return subprocess.Popen(
            [sys.executable, "-m", "flow_core.launch"],
            cwd=lab.path,
            env=lab.tester.environment(None, lab.variables),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


@pytest.mark.parametrize(
    ("place", "first"),
    [("local", "own"), ("local", "other"), ("s3", "own"), ("s3", "other"), ("s3", "both")],
    indirect=["place"],
)
def test_two_processes_run_one_attempt(lab, place, check_store, wait_for, first):
    """The result of one of them counts, for all; the other says so, and does no harm."""
    file = lab.write(RACE)
    launcher = lab.start(file, "run")
    wait_for(lambda: list(lab.path.glob("here-*")), 30)
    (own,) = (int(here.name[5:]) for here in lab.path.glob("here-*"))
    other = launch_the_same(lab, file)
    wait_for((lab.path / f"here-{other.pid}").exists, 30)
    if first != "both":
        (lab.path / f"go-{own if first == 'own' else other.pid}").touch()
        wait_for(lambda: place.committed(1) >= 2, 30)
    (lab.path / "go").touch()
    assert launcher.wait(30) == 0, lab.said(launcher)
    said, _ = other.communicate(timeout=30)
    root = place.bring()
    assert check_store(root) == 3
    work, end = (manifests(root, 1, step)[0] for step in ("work", "end"))
    assert work.pid in {"own": [own], "other": [other.pid], "both": [own, other.pid]}[first]
    assert end.artifacts["table"] == work.artifacts["winner"]
    # Who lost says it; for the run it is one of its tasks that ended well.
    unused = "The result of Chaos/1/work/2 is not used: attempt 0 was settled already."
    lost = said if work.pid == own else lab.said(launcher)
    won = lab.said(launcher) if work.pid == own else said
    assert unused in lost
    assert unused not in won
    assert other.returncode == (75 if work.pid == own else 0)


@pytest.mark.parametrize("place", ["local", "s3"], indirect=True)
def test_two_resumes_of_one_run_at_once(lab, place, check_store, wait_for):
    file = lab.write(RACE)
    (lab.path / "broken").touch()
    (lab.path / "go").touch()
    assert lab.python(file, "run").returncode == 1
    (lab.path / "broken").unlink()
    resumes = [lab.start(file, "resume", "--origin-run-id", "1") for _ in range(3)]
    for resume in resumes:
        assert resume.wait(60) == 0, lab.said(resume)
        assert lab.said(resume).count("Task is reused from Chaos/1/") == 2
    root = place.bring()
    check_all(place, check_store, succeeded=True)
    hashes = [final_hashes(root, run) for run in (2, 3, 4)]
    assert hashes[0] == hashes[1] == hashes[2]
    assert sorted(folder.name for folder in (root / "runs" / "Chaos").iterdir()) == list("1234")


# --- a service that goes away ---------------------------------------------------------------------


@pytest.fixture
def service(place, lab, bucket, monkeypatch) -> Iterator[Service]:
    """The S3 server of the runs, which can be down."""
    with Service(bucket.endpoint) as service:
        monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
        yield service


class Service:
    """A server that is down, and up again, at the same address."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._proxy = FaultyProxy(target)
        self.url = self._proxy.url

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *exception: object) -> None:
        self.down()

    def down(self) -> None:
        """Let nothing listen there any more."""
        self._proxy.close()

    def up(self) -> None:
        """Let it answer again."""
        self._proxy = FaultyProxy(self._target, port=int(self.url.rpartition(":")[2]))


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_a_service_that_is_down_for_three_seconds(
    lab, place, service, check_store, undisturbed, wait_for
):
    launcher = lab.start(lab.write(FLOW), "run", "--max-workers", "4")
    wait_for(lambda: place.committed(1), 30)
    service.down()  # while tasks begin, which have not reached it yet
    time.sleep(3)
    assert launcher.poll() is None, lab.said(launcher)
    service.up()
    assert launcher.wait(60) == 0, lab.said(launcher)
    assert final_hashes(place.bring(), 1) == undisturbed
    check_all(place, check_store, succeeded=True)


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_a_service_that_stays_down(lab, place, service, check_store, undisturbed, wait_for, parts):
    """The run fails within the time for repetitions, once more, and some seconds."""
    lab.variables["FLOW_S3_RETRY_TIME"] = "3"
    file = lab.write(FLOW)
    launcher = lab.start(file, "run", "--max-workers", "4")
    wait_for(lambda: place.committed(1) >= 4, 30)
    service.down()
    began = time.monotonic()
    assert launcher.wait(60) == 1
    assert time.monotonic() - began < 25
    error = parts(lab.said(launcher))
    assert error["error"] == "Run Chaos/1 failed"
    assert f"nothing listens at {service.url}" in error["why"]
    assert error["try"].endswith("flow.py resume --origin-run-id 1")
    assert "/flow_core/" not in lab.said(launcher), "no traceback of ours"
    lab.assert_nothing_runs(5)
    service.up()
    check_all(place, check_store, succeeded=False)
    lab.python(file, "resume").check()
    assert final_hashes(place.bring(), 2) == undisturbed
    check_all(place, check_store, succeeded=True)

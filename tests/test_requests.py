"""How often a store is asked, where each request costs time and money: real commands on a real S3
server, behind a proxy that counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, unquote

import pytest
from servers.s3 import Bucket

from flow_core.testing import FaultyProxy, FlowTester, SeenRequest

BRANCHES = 12

FLOW = """
    import sys

    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = list(range(BRANCHES))
            self.shared = list(range(3000))  # larger than what travels by itself
            self.next(self.work, foreach="items")

        @step
        def work(self):
            for n in range(10):
                setattr(self, f"a{n}", bytes([self.input]) * (10_000 + n))
            print("one")
            print("two", file=sys.stderr)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(len(i.a0) for i in inputs)
            self.items_seen = [i.a1[0] for i in inputs]
            self.last = inputs[-1].a2
            self.shared = inputs[0].shared
            self.next(self.end)

        @step
        def end(self):
            assert self.total == BRANCHES * 10_000 and len(self.shared) == 3000
    """.replace("BRANCHES", str(BRANCHES))

LARGER = """
    import os

    from flow_core import FlowSpec, step

    class Larger(FlowSpec):
        @step
        def start(self):
            self.items = list(range(24))
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.model = os.urandom(50_000)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.sizes = [len(i.model) for i in inputs]
            self.again = [len(inputs[n].model) for n in range(len(inputs))]
            self.next(self.end)

        @step
        def end(self):
            assert self.sizes == self.again == [50_000] * 24
    """


class Team:
    """Commands that reach a bucket through a proxy, and what they asked of it."""

    def __init__(self, tester: FlowTester, bucket: Bucket, proxy: FaultyProxy) -> None:
        tester.more_plugins.append("s3")
        self.tester = tester
        self.proxy = proxy
        self._bucket = bucket.name
        self._place = f"/{bucket.root}/"
        behind = bucket.through(proxy.url)
        self.variables = {**behind.environment(), "FLOW_DATASTORE": behind.url}

    def asked(self, *arguments: str, **variables: str) -> dict[str, int]:
        """Return how often a command asked what of which kind of object: ``PUT F/work/manifest``.

        Numbers of runs, tasks and attempts are left out, and hashes; what is not there is told.
        """
        self.proxy.seen.clear()
        self.proxy.most_at_once = 0
        run = self.tester.python if arguments[0].endswith(".py") else self.tester.flow
        self.said = run(*arguments, variables={**self.variables, **variables}).check().stdout
        found = Counter(map(self._kind, self.proxy.seen))
        for kind in ("LIST F", "LIST tags/F"):  # what was seen two seconds ago is looked at again
            found[kind] = min(found[kind], 2 if kind == "LIST F" and "resume" in arguments else 1)
        return {kind: count for kind, count in found.items() if count}

    def _kind(self, request: SeenRequest) -> str:
        listed = parse_qs(request.query).get("prefix")
        path = f"/{self._bucket}/{listed[0]}" if listed else unquote(request.path)
        key = path.removeprefix(self._place).removeprefix("runs/")
        key = re.sub(r"^blobs/.*", "blobs", key)
        key = re.sub(r"/\d+(-\d+)?(?=/|$)", "", key).rstrip("/")
        lacking = " (none)" if request.status == 404 else ""
        return f"{'LIST' if listed else request.method} {key}{lacking}"


@pytest.fixture
def team(tmp_path: Path, bucket: Bucket) -> Iterator[Team]:
    folder = tmp_path / "work"
    folder.mkdir()
    with FaultyProxy(bucket.endpoint) as proxy:
        yield Team(FlowTester(folder), bucket, proxy)


def test_the_life_of_a_run(team: Team) -> None:
    team.tester.write(FLOW)
    assert team.asked("run", "flow.py") == {
        "LIST F": 1,  # which number is free
        "LIST numbers/F": 1,
        "PUT blobs": 2,  # the code; what all branches inherit
        "PUT F/run.json": 1,
        "GET F/run.json": 1,  # what the server of tasks hands on to all of them
        "PUT F/start/manifest": 1,
        "GET F/start/manifest": BRANCHES,
        "PUT F/work/manifest": BRANCHES,  # ten artifacts each, and its own
        "PUT F/work/logs": BRANCHES,  # both, with the times of their lines
        "GET F/work/manifest": BRANCHES,  # the join; the launcher needs none
        "PUT F/join/manifest": 1,
        "GET F/join/manifest": 1,
        "PUT F/end/manifest": 1,
        "PUT F/finished.json": 1,
    }

    start = {
        "LIST F": 2,  # which run is the latest; which number is free
        "LIST tags/F": 1,
        "LIST numbers/F": 1,
        "HEAD F/finished.json": 2,  # whether it goes on; whether jobs of it may still run
        "GET F/run.json": 2,  # of both runs
        "HEAD F/run.json": 1,  # it was not removed meanwhile
        "PUT blobs": 1,  # the code, which is there
        "HEAD blobs": 1,
        "PUT F/run.json": 1,
        "PUT F/finished.json": 1,
        "PUT F/reused.d": 1,
        "LIST F/reused.d": 1,
    }
    assert team.asked("resume", "flow.py", "join") == {
        **start,
        "GET F/start/manifest": 1,
        "GET F/work/manifest": BRANCHES,
        # The join looks for some of its inputs before it finds the pack.
        "GET F/work/manifest (none)": BRANCHES,
        "GET F/reused.d": 1,
        "PUT F/join/manifest": 1,
        "GET F/join/manifest": 1,
        "PUT F/end/manifest": 1,
    }
    assert team.asked("resume", "flow.py", "end") == {
        **start,
        # The run that is resumed had resumed one itself: jobs of that may still run, too.
        "GET F/run.json": 3,
        "HEAD F/run.json": 2,
        "HEAD F/finished.json": 3,
        "LIST F/reused.d": 2,  # of both runs
        "GET F/reused.d": 2,
        "GET F/start/manifest (none)": 1,  # all others are looked for in the pack
        "GET F/join/manifest": 1,
        "GET F/join/manifest (none)": 1,
        "PUT F/end/manifest": 1,
    }

    assert team.asked("tasks", "F/1") == {"LIST F": 1}
    assert team.asked("logs", "F/1/work") == {
        "LIST F": 1,
        "GET F/work/logs": BRANCHES,
    }
    one = {"LIST F": 1, "GET F/run.json": 1}
    assert team.asked("dump", "F/1/end") == {**one, "GET F/end/manifest": 1}
    team.tester.write("from flow_core import Run; print(Run('F/1').data.total)", "read.py")
    assert team.asked("read.py") == {**one, "GET F/end/manifest": 1}
    assert team.said == f"{BRANCHES * 10_000}\n"


@pytest.mark.parametrize(("size", "gets"), [("10", 0), ("0", 24)], ids=["cache", "no-cache"])
def test_blobs_of_branches_are_read_together(team: Team, size: str, gets: int) -> None:
    team.tester.write(LARGER)
    team.proxy.fail("delay", method="GET", path="*/blobs/*", times=None, seconds=0.01)
    found = team.asked("run", "flow.py", FLOW_BLOB_CACHE_SIZE=size)
    assert found["PUT blobs"] == 25
    # Once each, or twice without the cache: the step reads them all two times.
    assert found.get("GET blobs", 0) <= 2 * gets
    assert found["GET Larger/work/manifest"] == 24
    if gets:
        assert team.proxy.most_at_once > 8


NOTED = """
    import os

    from flow_core.api import StoreCapabilities
    from flow_store_local.store import LocalStore

    __flow__ = {"flow.stores": {"noted": "NotedStore"}}


    class NotedStore(LocalStore):
        capabilities = StoreCapabilities(shared=True, forkable=True)

        def __init__(self, root=None):
            super().__init__(root)
            note("NEW")

        @property
        def url(self):
            return f"noted://{self.root}"

        def local_path(self, key):
            return None


    def note(what):
        with open(os.environ["NOTED"], "a") as file:
            file.write(f"{what} {os.getpid()}\\n")


    def noted(name):
        def ask(self, *arguments, **options):
            note(name)
            return getattr(LocalStore, name)(self, *arguments, **options)
        return ask


    for name in ("read", "read_range", "stream", "describe", "exists", "size", "refresh", "write",
                 "write_content", "write_stream", "folders", "list", "delete"):
        setattr(NotedStore, name, noted(name))
    """


def test_the_server_of_tasks_makes_the_store_and_asks_it_nothing(flowtester: FlowTester) -> None:
    """A store may start threads at its first request, which a fork would lose."""
    flowtester.write(NOTED, "noted.py")
    flowtester.write(FLOW)
    notes = flowtester.path / "notes"
    variables = {
        "FLOW_DATASTORE": f"noted://{flowtester.path / 'data'}",
        "FLOW_PLUGINS": flowtester.environment()["FLOW_PLUGINS"] + ",noted",
        "PYTHONPATH": str(flowtester.path),
        "NOTED": str(notes),
    }
    flowtester.flow("run", "flow.py", variables=variables).check()
    flowtester.flow("resume", "flow.py", "join", variables=variables).check()
    lines = [line.split() for line in notes.read_text().splitlines()]
    made = [pid for what, pid in lines if what == "NEW"]
    asked = {pid for what, pid in lines if what != "NEW"}
    # Two launchers and two servers; no task makes its own.
    assert len(made) == 4
    assert len(asked.intersection(made)) == 2

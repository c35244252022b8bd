"""How often a store is asked, where each request costs time and money: a whole run, real processes."""

import re
from collections import Counter
from pathlib import Path

import pytest

STORE = (Path(__file__).parent / "counted_store.py").read_text(encoding="utf-8")

TEN_ARTIFACTS = """
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
        print(self.total, len(self.shared))
"""

LARGER = """
from flow_core import FlowSpec, step

class F(FlowSpec):
    @step
    def start(self):
        self.items = list(range(40))
        self.next(self.work, foreach="items")

    @step
    def work(self):
        import os
        self.model = os.urandom(50_000)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.sizes = [len(i.model) for i in inputs]
        self.again = [len(inputs[n].model) for n in range(len(inputs))]
        self.next(self.end)

    @step
    def end(self):
        assert self.sizes == self.again == [50_000] * 40
"""


class Requests:
    """Runs flows on the counted store and reads what was asked of it."""

    def __init__(self, flowtester):
        self.tester = flowtester
        flowtester.write(STORE, "counted.py")
        self.log = flowtester.path / "data" / "requests.log"
        self.variables = {
            "FLOW_DATASTORE": f"counted://{flowtester.path / 'data'}",
            "PYTHONPATH": str(flowtester.path),
        }

    def flow(self, *arguments, **variables):
        environment = self.tester.environment()
        plugins = environment["FLOW_PLUGINS"] + ",counted"
        self.log.unlink(missing_ok=True)
        done = self.tester.flow(
            *arguments, variables={**self.variables, "FLOW_PLUGINS": plugins, **variables}
        )
        assert done.returncode == 0, done.stderr
        return done

    def lines(self):
        return [line.split() for line in self.log.read_text().splitlines()]

    def counts(self, run="1"):
        """Return how often each kind was asked of each key, whose numbers are left out."""
        found = Counter()
        for kind, key, *_ in self.lines():
            key = re.sub(r"^(runs/\w+)/\d+/", r"\1/", key)
            key = re.sub(r"/\d+/\d+/", "/", key)
            found[f"{kind} {key.partition('blobs/')[1] or key}"] += kind != "NEW"
        return {key: count for key, count in found.items() if count}


@pytest.fixture
def requests(flowtester):
    return Requests(flowtester)


def test_a_run_with_a_foreach(requests):
    branches = 60
    requests.tester.write(TEN_ARTIFACTS.replace("BRANCHES", str(branches)))
    requests.flow("run", "flow.py")
    assert requests.counts() == {
        "LIST runs/F/": 1,  # which number is free
        "LIST numbers/F/": 1,
        "PUT blobs/": 2,  # the code; what all branches inherit
        "PUT runs/F/run.json": 1,
        "GET runs/F/run.json": 1,  # what the server of tasks hands on to all of them
        "PUT runs/F/start/manifest": 1,
        "GET runs/F/start/manifest": branches,
        "PUT runs/F/work/manifest": branches,  # ten artifacts each, and its own
        "GET runs/F/work/manifest": branches,  # the join; the launcher needs none
        "PUT runs/F/join/manifest": 1,
        "GET runs/F/join/manifest": 1,
        "PUT runs/F/end/manifest": 1,
        "PUT runs/F/end/stdout": 1,
        "PUT runs/F/finished.json": 1,
    }


def test_the_code_is_not_sent_again(requests):
    requests.tester.write(TEN_ARTIFACTS.replace("BRANCHES", "2"))
    requests.flow("run", "flow.py")
    requests.flow("run", "flow.py")
    found = requests.counts()
    assert found["HEAD blobs/"] <= 2  # asked for once it was there


@pytest.mark.parametrize(("size", "gets"), [("10", 0), ("0", 40)], ids=["cache", "no-cache"])
def test_blobs_of_branches_are_read_together(requests, size, gets):
    requests.tester.write(LARGER)
    requests.flow("run", "flow.py", FLOW_BLOB_CACHE_SIZE=size)
    found = requests.counts()
    assert found["PUT blobs/"] == 41
    # Once each, or twice without the cache: the step reads them all two times.
    assert found.get("GET blobs/", 0) <= 2 * gets
    assert found["GET runs/F/work/manifest"] == 40
    if gets:
        times = [float(at) for kind, key, _, at in requests.lines() if kind + key[:5] == "GETblobs"]
        assert len(set(times)) < len(times) / 4  # many at the same time


def test_a_resumed_run_reads_each_record_twice(requests):
    requests.tester.write(TEN_ARTIFACTS.replace("BRANCHES", "30"))
    requests.flow("run", "flow.py")
    requests.flow("resume", "flow.py", "join")
    found = requests.counts()
    # Once of the earlier run; once more by the join, which looks for each before it finds the pack.
    assert found["GET runs/F/work/manifest"] == 60
    assert found["PUT runs/F/reused.d/1-31"] == 1
    assert "PUT runs/F/work/manifest" not in found


def test_the_server_of_tasks_makes_the_store_and_asks_it_nothing(requests):
    """A store may start threads at its first request, which a fork would lose."""
    requests.tester.write(TEN_ARTIFACTS.replace("BRANCHES", "4"))
    requests.flow("run", "flow.py")
    lines = requests.lines()
    made = [pid for kind, _, pid, _ in lines if kind == "NEW"]
    asked = {pid for kind, _, pid, _ in lines if kind != "NEW"}
    assert len(made) == 2  # the launcher and the server; no task makes its own
    server = next(pid for pid in made if pid not in asked)
    first = next(index for index, line in enumerate(lines) if line[0] != "NEW")
    assert server
    assert {"NEW"} == {kind for kind, *_ in lines[:first]}

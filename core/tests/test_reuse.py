"""What a task reads is noted, and known again for a task that has not run."""

import pytest

from flow_core.artifacts import ArtifactStore
from flow_core.binding import RunReader
from flow_core.hookspecs import hookimpl
from flow_core.index import installed
from flow_core.records import (
    ArtifactRef,
    AttemptState,
    Manifest,
    RunDocument,
    TaskSpec,
    Trace,
    run_key,
)
from flow_core.reuse import Facts, rebase
from flow_core.testing.fakes import MemoryStore

DOCUMENT = RunDocument("F", "1", 1.0, {}, {}, None, {}, {})

HEAD = """
    import os
    from flow_core import FlowSpec, Parameter, current, step

    class F(FlowSpec):
        alpha = Parameter("alpha", default=1)
        beta_rate = Parameter("beta-rate", default=2)
        LIMIT = 10

        @step
        def start(self):
            self.x, self.y, self.gone = 1, [2], 3
            self.next(self.work)

        @step
        def work(self):
            BODY
            self.next(self.end)

        def helper(self):
            return self.alpha

        @step
        def end(self):
            pass

    def outside(flow, name):
        return getattr(flow, name)
"""


def reads(flowtester, body, **options):
    run = flowtester.run(HEAD.replace("BODY", body), **options)
    assert run.error is None
    (manifest,) = run.manifests("work")
    return manifest.trace


def names(trace):
    return sorted(trace.reads)


@pytest.mark.parametrize(
    ("body", "facts"),
    [
        ("pass", []),
        ("self.new = self.alpha", ["parameter:alpha"]),
        ("self.helper()", ["parameter:alpha"]),
        ("outside(self, 'beta_rate')", ["parameter:beta-rate"]),
        ("[getattr(self, n) for n in ('x', 'alpha')]", ["artifact:x", "parameter:alpha"]),
        ("self.__dict__.get('x')", []),  # nothing is there before it is read
        ("self.y.append(self.x)", ["artifact:x", "artifact:y"]),
        ("self.x = 5; self.x += 1", []),
        ("hasattr(self, 'nothing')", ["artifact:nothing"]),
        ("del self.gone; hasattr(self, 'gone')", ["artifact:gone"]),
        ("self.new = self.LIMIT", []),  # that is code
        ("self.input, self.index", []),
    ],
)
def test_what_is_noted(flowtester, body, facts):
    assert names(reads(flowtester, body)) == facts


def test_what_is_its_own_and_what_it_dropped(flowtester):
    trace = reads(flowtester, "self.new = self.x; del self.gone")
    assert set(trace.own) == {"new", "x"}
    assert trace.dropped == ("gone",)
    assert trace.reads["artifact:x"] != ""


def test_a_name_that_is_missing_is_noted_as_missing(flowtester):
    assert reads(flowtester, "getattr(self, 'nothing', 0)").reads == {"artifact:nothing": ""}


def test_what_a_child_process_reads_is_not_known(flowtester):
    fork = "pid = os.fork()\n            if pid == 0: READ; os._exit(0)\n            os.waitpid(pid, 0)"
    assert reads(flowtester, fork.replace("READ", "self.alpha")) is None
    assert reads(flowtester, fork.replace("READ", "1 + 1")) == Trace()


def test_what_is_read_before_a_fork_is_known_to_both(flowtester):
    body = "self.alpha\n            pid = os.fork()\n            if pid == 0: self.alpha; os._exit(0)\n            os.waitpid(pid, 0)"
    assert names(reads(flowtester, body)) == ["parameter:alpha"]


LANGUAGE = """
    from flow_core import FlowSpec, Parameter, step

    class F(FlowSpec):
        size = Parameter("size", default=3)
        kind = Parameter("kind", default="many")

        @step
        def start(self):
            self.items = [10, 20, 30]
            self.seed = 1
            self.next({"many": self.split, "other": self.skip}, condition="kind")

        @step
        def split(self):
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.square = self.input**2
            self.place = self.foreach_stack()
            self.next(self.join)

        @step
        def join(self, inputs):
            JOIN
            self.next(self.skip)

        @step
        def skip(self):
            self.next(self.gang, num_parallel="size")

        @step
        def gang(self):
            self.mine = self.input
            self.next(self.meet)

        @step
        def meet(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass
"""


class Gangs:
    @hookimpl
    def flow_plan_step(self, step, draft):
        draft.gang = step.name == "gang"


@pytest.fixture
def run(flowtester):
    def run(join="self.total = sum(i.square for i in inputs)"):
        return flowtester.run(LANGUAGE.replace("JOIN", join), modules=[Gangs()])

    return run


def test_what_decides_the_way_is_read(run):
    found = run()
    assert found.error is None, found.error
    assert names(found.manifests("start")[0].trace) == ["parameter:kind"]
    assert names(found.manifests("split")[0].trace) == ["artifact:items"]
    assert names(found.manifests("skip")[0].trace) == ["parameter:size"]
    assert [names(m.trace) for m in found.manifests("gang")] == [["item:0"]] * 3
    assert names(found.manifests("work")[0].trace) == ["count:0", "index:0", "item:0"]
    one, two, _ = found.manifests("work")
    assert one.trace.reads["item:0"] != two.trace.reads["item:0"]


@pytest.mark.parametrize(
    ("join", "facts"),
    [
        ("self.total = sum(i.square for i in inputs)", ["branch:square@", "branches"]),
        ("self.one = inputs[1].square", ["branch:square@1", "branches"]),
        ("self.n = len(inputs)", ["branches"]),
        ("self.two = [i.seed for i in inputs[:2]]", ["branch:seed@0-1", "branches"]),
        ("self.where = [i.index for i in inputs]", ["branch:.place@", "branches"]),
        ("self.a = inputs[0].size", ["branches", "parameter:size"]),
        ("self.merge_artifacts(inputs, include=['seed'])", ["branch:seed@", "branches"]),
        (
            "self.merge_artifacts(inputs, exclude=['square', 'place'])",
            ["branches", "merge:place,square"],
        ),
    ],
)
def test_what_a_join_reads(run, join, facts):
    found = run(join)
    assert found.error is None, found.error
    (manifest,) = found.manifests("join")
    assert names(manifest.trace) == facts


def test_the_facts_of_a_task_that_has_not_run_are_those_that_it_notes(run):
    for join in (
        "self.total = sum(i.square for i in inputs); self.a = [i.index for i in inputs]",
        "self.one = inputs[1].square; self.merge_artifacts(inputs, exclude=['square', 'place'])",
    ):
        found = run(join)
        raw = next(iter(found.store.read([run_key("F", found.run)])))
        document = RunDocument.decode(raw, "run.json")
        reader = RunReader(ArtifactStore(found.store, installed()), document)
        for step in ("start", "split", "work", "join", "skip", "gang", "meet", "end"):
            for manifest in found.manifests(step):
                spec = TaskSpec(
                    "F",
                    found.run,
                    step,
                    manifest.task,
                    inputs=manifest.inputs,
                    foreach=manifest.foreach,
                )
                facts = Facts(reader, spec, step in ("join", "meet"))
                assert facts.values(manifest.trace.reads) == dict(manifest.trace.reads)
                assert facts.first_difference(manifest.trace) is None


def test_a_fact_of_a_later_version_is_never_the_same():
    reader = RunReader(ArtifactStore(MemoryStore(), installed()), DOCUMENT)
    facts = Facts(reader, TaskSpec("F", "1", "end", 1), False)
    assert facts.first_difference(Trace({"weather": "rain"})) == "weather"
    assert facts.first_difference(Trace({"item:3": "x"})) == "item:3"


def test_rebase_keeps_what_is_own_and_passes_on_the_rest():
    def ref(text):
        return ArtifactRef(text, 1, "int", "json", True, text)

    found = Manifest(
        "F",
        "1",
        "work",
        1,
        0,
        AttemptState.SUCCEEDED,
        artifacts={"own": ref("a"), "passed": ref("b"), "older": ref("c")},
        trace=Trace({}, ("own",), ("dropped",)),
    )
    inherited = {n: ref("new") for n in ("own", "passed", "dropped", "added")}
    assert rebase(found, inherited, False).artifacts == {
        "own": ref("a"),
        "passed": ref("new"),
        "added": ref("new"),
    }
    assert rebase(found, inherited, True) is found
    same = {"passed": ref("b"), "older": ref("c"), "dropped": ref("x")}
    assert rebase(found, same, False) is found

"""``resume`` with changed parameters or code: what was read decides what runs again."""

import sys

import pytest

from flow_core.api import RunState

FLOW = """
    from flow_core import FlowSpec, Parameter, step
    import helpers

    class F(FlowSpec):
        alpha = Parameter("alpha", default=1)
        beta = Parameter("beta", default="b")

        @step
        def start(self):
            self.unread = 0
            self.next(self.prepare, self.side)

        @step
        def prepare(self):
            self.seed = self.alpha
            self.items = [self.alpha, 10, 20]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.double = helpers.double(self.input)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.double for i in inputs)
            self.merge_artifacts(inputs, exclude=["double"])
            self.next(self.meet)

        @step
        def side(self):
            self.z = self.beta * 2
            self.next(self.meet)

        @step
        def meet(self, inputs):
            self.both = (inputs.join.total, inputs.side.z)
            self.next(self.end)

        @step
        def end(self):
            self.last = self.both

    if __name__ == "__main__":
        F()
"""
HELPERS = """
    import deeper

    def double(x):
        return deeper.times(x, 2)

    def unused(x):
        return x
"""
DEEPER = """
    def times(x, y):
        return x * y
"""
STEPS = ("start", "prepare", "work", "join", "side", "meet", "end")


@pytest.fixture
def flow(flowtester):
    """A flow that has run once."""
    flowtester.write(HELPERS, "helpers.py")
    flowtester.write(DEEPER, "deeper.py")
    file = flowtester.write(FLOW)
    flowtester.python(file, "run").check()
    return file


def ran(run):
    """Return how many tasks of each step ran, without those that were reused."""
    counts = {s: sum(m.state.value != "reused" for m in run.manifests(s)) for s in STEPS}
    return {step: count for step, count in counts.items() if count}


def reasons(run, step):
    return [m.notes["reuse"][-1] for m in run.manifests(step)]


def test_only_what_read_the_parameter_and_what_depends_on_it_runs(flowtester, flow):
    flowtester.python(flow, "resume", "--alpha", "4").check()
    run = flowtester.left(2)
    assert run.artifact("end", "last") == (68, "bb")
    assert ran(run) == {"prepare": 1, "work": 1, "join": 1, "meet": 1, "end": 1}
    assert reasons(run, "side") == [{"by": "resume", "kind": "unaffected"}]
    (prepare,) = reasons(run, "prepare")
    assert prepare == {
        "by": "resume",
        "kind": "parameter",
        "name": "alpha",
        "old": "1",
        "new": "4",
        "origin": "F/1/prepare/2",
    }
    kinds = [(r["kind"], r.get("index")) for r in reasons(run, "work")]
    assert sorted(kinds, key=str) == [("item", 0), ("same", None), ("same", None)]
    (join,) = reasons(run, "join")
    assert join["kind"] == "artifact"  # what it merges, before what it adds up
    assert (join["name"], join["producer"]) == ("items", "F/2/prepare/2")


def test_what_is_passed_on_unread_is_that_of_the_new_run(flowtester, flow):
    flowtester.python(flow, "resume", "--alpha", "4").check()
    run = flowtester.left(2)
    for state, artifacts in zip(
        (m.state.value for m in run.manifests("work")), run.artifacts("work"), strict=True
    ):
        assert (artifacts["seed"], state) in ((4, "reused"), (4, "succeeded"))
    assert run.artifact("join", "seed") == 4


def test_the_value_that_it_had_changes_nothing(flowtester, flow):
    done = flowtester.python(flow, "resume", "--alpha", "1", "--beta", "b").check()
    assert "(pid" not in done.stdout
    assert ran(flowtester.left(2)) == {}


def test_a_chain_of_resumes(flowtester, flow):
    flowtester.python(flow, "resume", "--alpha", "4").check()
    flowtester.python(flow, "resume", "--beta", "c").check()
    run = flowtester.left(3)
    assert run.artifact("end", "last") == (68, "cc")
    assert ran(run) == {"side": 1, "meet": 1, "end": 1}
    assert {m.origin.split("/")[1] for m in run.manifests("work")} == {"2"}


def test_a_wrong_value_or_name_starts_no_run(flowtester, flow):
    done = flowtester.python(flow, "resume", "--alpha", "many")
    assert done.error["error"] == "Parameter --alpha: 'many' is not an integer"
    done = flowtester.python(flow, "resume", "--alhpa", "4")
    assert done.error["error"] == "There is no option --alhpa"
    assert flowtester.left(2).state is None


def test_the_environment_does_not_change_parameters(flowtester, flow):
    flowtester.python(flow, "resume", variables={"FLOW_RUN_ALPHA": "9"}).check()
    assert ran(flowtester.left(2)) == {}


def test_with_a_step_too(flowtester, flow):
    flowtester.python(flow, "resume", "side", "--alpha", "1").check()
    assert ran(flowtester.left(2)) == {"side": 1, "meet": 1, "end": 1}
    assert reasons(flowtester.left(2), "side")[0]["kind"] == "step"
    flowtester.python(flow, "resume", "side", "--alpha", "2").check()
    run = flowtester.left(3)
    assert ran(run) == {"prepare": 1, "work": 1, "join": 1, "side": 1, "meet": 1, "end": 1}


# --- code ---------------------------------------------------------------------------------------


def test_code_counts_when_it_is_asked_for(flowtester, flow):
    flowtester.write(DEEPER.replace("x * y", "x * y + 1"), "deeper.py")
    flowtester.python(flow, "resume").check()
    assert ran(flowtester.left(2)) == {}
    flowtester.python(flow, "resume", "--changed-code", "--origin-run-id", "1").check()
    run = flowtester.left(3)
    assert run.artifact("end", "last") == (65, "bb")
    assert ran(run) == {"work": 3, "join": 1, "meet": 1, "end": 1}
    (change,) = reasons(run, "work")[0]["changes"]
    assert change == {
        "name": "times",
        "file": "deeper.py",
        "line": 1,
        "change": "changed",
        "is_step": False,
    }


@pytest.mark.parametrize("name", ["shop/common.py", "beside.py"])
def test_code_of_a_flow_in_a_package_counts_too(flowtester, name):
    flow = FLOW.replace("import helpers", "from . import helpers")
    flowtester.write("", "shop/__init__.py")
    flowtester.write(flow, "shop/sales.py")
    flowtester.write(
        HELPERS.replace("import deeper", "from .common import deeper"), "shop/helpers.py"
    )
    flowtester.write("import beside as deeper\ndef unused(): pass\n", "shop/common.py")
    flowtester.write(DEEPER, "beside.py")

    def call(*arguments):
        flowtester.command([sys.executable, "-m", "shop.sales", *arguments]).check()

    call("run")
    call("resume", "--changed-code")
    assert ran(flowtester.left(2)) == {}
    if name == "beside.py":
        flowtester.write(DEEPER.replace("x * y", "x * y + 1"), name)
    else:
        flowtester.write("class deeper:\n    def times(x, y): return x + y\n", name)
    call("resume", "--changed-code")
    assert ran(flowtester.left(3)) == {"work": 3, "join": 1, "meet": 1, "end": 1}


def test_code_elsewhere_counts_too(flowtester):
    """Of modules that lie neither beside nor below the flow, a run keeps those that it imports."""
    flow = flowtester.write(FLOW, "flows/flow.py")
    flowtester.write(HELPERS, "lib/helpers.py")
    flowtester.write(DEEPER, "lib/deeper.py")
    flowtester.write("", "lib/stranger.py")
    path = {"variables": {"PYTHONPATH": str(flowtester.path / "lib")}}
    flowtester.python(flow, "run", **path).check()
    listed = flowtester.flow("code", "list", "F/1").check().stdout.splitlines()
    assert [line.split()[-1] for line in listed] == ["deeper.py", "flow.py", "helpers.py"]
    flowtester.write(DEEPER.replace("x * y", "x * y + 1"), "lib/deeper.py")
    flowtester.python(flow, "resume", "--changed-code", **path).check()
    assert ran(flowtester.left(2)) == {"work": 3, "join": 1, "meet": 1, "end": 1}


def test_what_no_step_uses_does_not_count(flowtester, flow):
    helpers = HELPERS.replace("return x\n", "return -x\n").replace("(x):", "( x ):  # a comment")
    flowtester.write(helpers, "helpers.py")
    flowtester.python(flow, "resume", "--changed-code").check()
    assert ran(flowtester.left(2)) == {}


def test_a_task_with_equal_inputs_is_not_reused_when_its_code_is_another(flowtester, flow):
    flowtester.write(DEEPER.replace("x * y", "x * y + 1"), "deeper.py")
    flowtester.python(flow, "resume", "--alpha", "4").check()
    assert flowtester.left(2).artifact("end", "last") == (71, "bb")
    assert {r["kind"] for r in reasons(flowtester.left(2), "work")} == {"code"}


def test_the_step_itself_is_told_apart(flowtester, flow):
    flowtester.write(FLOW.replace("self.beta * 2", "self.beta * 3"))
    flowtester.python(flow, "resume", "--changed-code").check()
    (reason,) = reasons(flowtester.left(2), "side")
    assert [(c["name"], c["is_step"]) for c in reason["changes"]] == [("F.side", True)]


# --- only reuse ---------------------------------------------------------------------------------


def test_clone_only_runs_nothing(flowtester, flow):
    done = flowtester.python(flow, "resume", "--clone-only", "--alpha", "4").check()
    assert "(pid" not in done.stdout
    run = flowtester.left(2)
    assert run.state is RunState.INTERRUPTED
    assert {s: len(run.manifests(s)) for s in STEPS if run.manifests(s)} == {"start": 1, "side": 1}
    flowtester.python(flow, "resume").check()
    assert flowtester.left(3).artifact("end", "last") == (68, "bb")
    assert ran(flowtester.left(3)) == {"prepare": 1, "work": 3, "join": 1, "meet": 1, "end": 1}


def test_clone_only_of_all(flowtester, flow):
    flowtester.python(flow, "resume", "--clone-only").check()
    assert flowtester.left(2).state is RunState.SUCCEEDED


# --- readers of what was reused -------------------------------------------------------------------


def test_the_index_is_rebuilt_from_packs_too(flowtester, flow):
    flowtester.python(flow, "resume", "--alpha", "4").check()
    before = flowtester.left(2).metadata.attempts("F", "2")
    (flowtester.path / ".flow" / "metadata.db").unlink(missing_ok=True)
    flowtester.flow("reindex").check()
    assert flowtester.left(2).metadata.attempts("F", "2") == before
    done = flowtester.flow("dump", "F/2/work").check()
    assert "double" in done.stdout


def test_diff_finds_packed_records(flowtester, flow):
    flowtester.python(flow, "resume", "--beta", "c").check()
    diff = flowtester.flow("diff", "F/1", "F/2").check().stdout
    assert "succeeded → 3 reused" in diff
    assert "(62, 'cc')" in diff

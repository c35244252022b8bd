"""``--with``: every decorator that flow-core brings, given on the command line."""

from __future__ import annotations

import json

import pytest

from flow_core.api import Decorator, RunState, UsageError, installed
from flow_core.testing.flowtester import default_plugins

FLOW = """
    import os, time
    from flow_core import FlowSpec, Parameter, current, step

    def tell(run=None):
        print("the run has ended")

    class F(FlowSpec):
        city = Parameter("city", default="Rome")

        @step
        def start(self):
            self.seen = None
            self.count = current.retry_count
            SEEN
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""

DECORATORS = [e.name for e in installed().entry_points if e.group == "flow.decorators"]


def plan(field):
    return lambda outcome: document(outcome)["plans"]["start"][field]


def document(outcome):
    (raw,) = outcome.store.read(["runs/F/1/run.json"])
    data: dict[str, object] = json.loads(raw[raw.index(b"{") :])
    return data


def recorded(outcome):
    return {d["name"]: d["options"] for d in document(outcome)["decorators"]}


def seen(outcome):
    return outcome.artifact("start", "seen")


CASES = {
    "retry:times=2,on=ValueError,error": (
        "if self.count < 2: raise ValueError('not yet')",
        lambda outcome: len(outcome.manifests("start")),
        3,
    ),
    "catch:var=failure,print_exception=no": (
        "raise ValueError('caught')",
        lambda outcome: outcome.artifact("start", "failure").message,
        "caught",
    ),
    "timeout:seconds=0.2": (
        "time.sleep(60)",
        lambda outcome: outcome.manifests("start")[0].failure.cause,
        "timeout",
    ),
    "resources:cpu=2,memory=4000": (
        "pass",
        plan("resources"),
        {"cpu": 2, "memory": 4000},
    ),
    'environment:vars={"COLOUR":"red","SHAPE":"round"}': (
        "self.seen = os.environ['COLOUR'] + os.environ['SHAPE']",
        seen,
        "redround",
    ),
    "secrets:sources=env.HOME,env.PATH": (
        "self.seen = len(os.environ['HOME']) > 0; print(os.environ['PATH'])",
        lambda outcome: (seen(outcome), outcome.output("start")),
        (True, "***\n"),
    ),
    "project:name=movies,branch=b": (
        "self.seen = current.project_flow_name",
        seen,
        "movies.test.b.F",
    ),
    "schedule:cron=30 6 * * *": (
        "pass",
        lambda outcome: "30 6" in str(recorded(outcome)["schedule"]),
        True,
    ),
    'trigger:event={"name":"data","parameters":{"city":"where"}}': (
        "pass",
        lambda outcome: recorded(outcome)["trigger"]["events"][0]["name"],
        "data",
    ),
    "trigger_on_finish:flow=FirstFlow": (
        "pass",
        lambda outcome: recorded(outcome)["trigger_on_finish"]["flows"][0]["flow"],
        "FirstFlow",
    ),
    'exit_hook:on_success=["tell"]': (
        "pass",
        lambda outcome: recorded(outcome)["exit_hook"]["on_success"],
        ["tell"],
    ),
}


def test_no_decorator_is_forgotten():
    ours = {text.partition(":")[0] for text in CASES} | {"parallel"}
    brought = {
        e.name
        for e in installed().entry_points
        if e.group == "flow.decorators" and e.plugin in default_plugins()
    }
    lifecycle = {"retry", "catch", "timeout", "resources", "environment", "secrets"}
    assert lifecycle <= ours
    assert ours <= brought


@pytest.mark.parametrize("text", CASES)
def test_each(flowtester, text):
    body, look, expected = CASES[text]
    plugins = [p for p in default_plugins() if not p.startswith(("compute", "terminal"))]
    outcome = flowtester.run(FLOW.replace("SEEN", body), plugins=plugins, decorators=[text])
    assert look(outcome) == expected
    if "timeout" not in text:
        assert outcome.state is RunState.SUCCEEDED


def test_all_at_once_on_the_command_line(flowtester):
    words = [word for text in CASES for word in ("--with", text)]
    body = "self.seen = os.environ['COLOUR'] + current.branch_name; assert self.count == 1"
    file = flowtester.write(FLOW.replace("SEEN", body).replace("seconds=0.2", "seconds=20"))
    words = [w.replace("timeout:seconds=0.2", "timeout:seconds=20") for w in words]
    words = [w.replace("ValueError", "AssertionError") for w in words]
    done = flowtester.python(file, "run", *words).check()
    assert "the run has ended" in done.stdout
    outcome = flowtester.left()
    assert seen(outcome) == "redtest.b"
    assert len(outcome.manifests("start")) == 2


def test_a_step_that_says_where_it_runs_stays_there(flowtester):
    flowtester.more_plugins = ["remote", "slurm", "kubernetes", "container"]
    file = flowtester.write(
        """
        from flow_core import FlowSpec, slurm, step

        class F(FlowSpec):
            @slurm(memory=100)
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
        """
    )
    shown = flowtester.python(file, "--with", "kubernetes:memory=64000", "show").check().stdout
    start, _, end = shown.partition("  end")
    assert "@slurm(memory=100)" in start
    assert "@kubernetes" not in start
    assert "@kubernetes(memory=64000)  (from --with)" in end
    script = ("--with", "kubernetes:memory=64000", "slurm", "script", "start")
    assert "--mem=100M" in flowtester.python(file, *script).check().stdout
    both = flowtester.python(file, "--with", "kubernetes", "--with", "container", "check")
    assert both.returncode != 0
    assert "Step 'end' has two compute providers" in both.stderr


def test_parallel_belongs_into_the_code(flowtester):
    file = flowtester.write(FLOW.replace("SEEN", "pass"))
    done = flowtester.python(file, "run", "--with", "parallel")
    assert done.returncode == 2
    assert done.error == {
        "error": "--with parallel: not every step of a flow can be a gang",
        "why": "a step becomes one where self.next says num_parallel=",
        "try": "put @parallel above the @step of that step",
    }


@pytest.mark.parametrize("text", CASES)
def test_the_text_form_reads_back(text):
    name, _, options = text.partition(":")
    decorator: Decorator = installed().load("flow.decorators", name)
    made = decorator.parse(options)
    again = decorator.to_text(made)
    assert decorator.parse(again.partition(":")[2]) == made
    assert decorator.to_text(decorator.parse(again.partition(":")[2])) == again


@pytest.mark.parametrize("name", DECORATORS)
def test_an_unknown_option_is_refused(name):
    with pytest.raises(UsageError, match=f"--with {name}: there is no option 'no_such'"):
        installed().load("flow.decorators", name).parse("no_such=1")

"""Fifty installed plugins, one of them broken in each of many ways: what becomes of a run."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

GOOD = """
from flow_core.api import hookimpl

@hookimpl
def flow_plan_step(step, draft):
    pass

@hookimpl
def flow_event(event):
    pass
"""

HEAD = "import sys, time\nfrom flow_core.api import hookimpl\n"


def hook(name: str, argument: str, body: str, mark: str = "@hookimpl") -> str:
    return f"{HEAD}\n{mark}\ndef {name}({argument}):\n    {body}\n"


class Way(NamedTuple):
    """A way to be broken: the module, whether the run goes on, and what is told.

    A run that does not go on starts none of its tasks.
    """

    name: str
    module: str
    goes_on: bool
    what: str
    why: str = ""
    requires: str = "flow-core>=0.1,<1"


WAYS = [
    Way("import fails", "1/0", False, "'sour' cannot be loaded", "ZeroDivisionError"),
    Way("no Python", "def (", False, "'sour' cannot be loaded", "SyntaxError"),
    Way("import exits", "raise SystemExit(0)", False, "'sour' cannot be loaded", "SystemExit"),
    Way("newer core", GOOD, False, "'sour' needs flow-core >=7", "", "flow-core>=7"),
    Way(
        "no such hook",
        hook("flow_plan_stp", "step", "pass"),
        False,
        "'sour' implements a hook that does not exist: flow_plan_stp",
    ),
    Way(
        "no such argument",
        hook("flow_plan_step", "stop", "pass"),
        False,
        "'sour' has a hook that does not fit its specification",
        "stop",
    ),
    Way(
        "not marked",
        hook("flow_plan_step", "step", "pass", mark=""),
        False,
        "'sour' has a function flow_plan_step that is not marked as a hook",
    ),
    Way(
        "ring",
        hook("flow_plan_step", "step", "pass", "@hookimpl(before=['p07'], after=['p07'])"),
        False,
        "p07, sour cannot be put in order for the hook flow_plan_step",
        "p07 before sour before p07",
    ),
    Way(
        "raises",
        hook("flow_plan_step", "step", "1/0"),
        False,
        "'sour' failed in its hook flow_plan_step",
        "ZeroDivisionError: division by zero",
    ),
    Way(
        "hangs",
        hook("flow_check", "graph", "time.sleep(600)"),
        False,
        "'sour' failed in its hook flow_check",
        "it took longer than its budget of 0.5 s",
    ),
    Way(
        "nonsense",
        hook("flow_check", "graph", "return 'fine'"),
        False,
        "'sour' returned nonsense from its hook flow_check",
        "'fine' (str) where the hook returns a list of Problem, or None",
    ),
    Way(
        "observer raises",
        hook("flow_task_finished", "task", "1/0"),
        True,
        "'sour' failed in its hook flow_task_finished",
        "ZeroDivisionError: division by zero",
    ),
    Way(
        "observer exits",
        hook("flow_event", "event", "sys.exit(4)"),
        True,
        "'sour' failed in its hook flow_event",
        "SystemExit: 4",
    ),
    Way(
        "observer hangs",
        hook("flow_run_finished", "run", "time.sleep(600)"),
        True,
        "'sour' failed in its hook flow_run_finished",
        "it took longer than its budget of 0.5 s",
    ),
]


@pytest.fixture(params=WAYS, ids=lambda way: way.name)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


@pytest.fixture
def fifty(place: Any) -> Any:
    """A place with 49 sound plugins."""
    for n in range(1, 50):
        place.install(f"p{n:02}", {"flow.plugins": f"p{n:02} = flow_p{n:02}"}, GOOD)
    return place


def test_one_of_fifty_is_broken(fifty: Any, way: Way) -> None:
    entry = {"flow.plugins": "sour = flow_sour"}
    fifty.install("sour", entry, way.module, requires=way.requires)
    done = fifty.run("hello_flow.py", "run", FLOW_HOOK_BUDGET="0.5")
    kind, status = ("warning", 0) if way.goes_on else ("error", 1)
    assert done.returncode == status, done.stderr
    assert fifty.ran() == way.goes_on
    told = done.stderr[done.stderr.index(f"{kind}: ") :]
    assert way.what in told.partition("\n")[0]
    assert way.why in told
    assert "-p no:" in told
    assert "Traceback" not in done.stdout + done.stderr
    # Whatever is broken, reading works, and without the plugin all does.
    listed = fifty.flow("plugins")
    assert (listed.returncode, listed.stderr) == (0, "")
    rows = [line.split()[0] for line in listed.stdout.splitlines() if line.startswith(("p", "s"))]
    assert {"sour", *(f"p{n:02}" for n in range(1, 50))} <= set(rows)
    assert fifty.flow("-p", "no:sour", "run", "hello_flow.py").returncode == 0
    assert fifty.flow("runs").returncode == 0

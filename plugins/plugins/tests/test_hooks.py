"""``flow plugins hooks``: implementations in call order, with reasons."""

from __future__ import annotations

import json
from typing import Any

import pytest

AROUND = """
from flow_core.api import hookimpl

@hookimpl(wrapper=True, before=["catch"])
def flow_task_call(task, flow):
    return (yield)

@hookimpl(budget=None)
def flow_event(event):
    pass

@hookimpl(after=["zest"])
def flow_plan_step(step):
    pass
"""
ZEST = """
from flow_core.api import hookimpl

@hookimpl
def flow_plan_step(step):
    pass
"""
FLOW = """
from flow_core import FlowSpec, catch, step

class CaughtFlow(FlowSpec):
    @catch
    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass

if __name__ == "__main__":
    CaughtFlow()
"""


@pytest.fixture
def around(place: Any) -> Any:
    """A folder in which two plugins with wishes are installed."""
    place.install("around", {"flow.plugins": "around = flow_around"}, AROUND)
    place.install("zest", {"flow.plugins": "zest = flow_zest"}, ZEST)
    (place.folder / "caught.py").write_text(FLOW)
    return place


def parts(text: str) -> dict[str, list[str]]:
    """Return hook → its lines, with single spaces."""
    found = {}
    for block in text.split("\n\n"):
        head, *rows = block.splitlines()
        found[head.split()[0]] = [head, *(" ".join(row.split()) for row in rows)]
    return found


def test_all_hooks_in_call_order(around: Any) -> None:
    done = around.flow("plugins", "hooks")
    assert (done.returncode, done.stderr) == (0, "")
    hooks = parts(done.stdout)
    assert hooks["flow_task_call"][1] == ("1 around before catch: its own wish; wraps those below")
    assert hooks["flow_task_call"][2].startswith("2 catch ")
    assert hooks["flow_task_call"][2].endswith("with @catch")
    assert hooks["flow_task_call"][-1].endswith(" flow-core the kernel's own come last")
    assert hooks["flow_event"] == [
        "flow_event  in the launcher; observers; within 30 s",
        "1 around by name any time",
    ]
    steps = hooks["flow_plan_step"][1:]
    assert steps[-2:] == [
        f"{len(steps) - 1} zest before around: the wish of around",
        f"{len(steps)} around after zest: its own wish",
    ]
    assert [*hooks][:2] == ["flow_settings", "flow_session_started"]  # in the order of a life
    assert "Nobody implements flow_add_hooks, " in done.stdout
    assert "FLOW_TRACE_HOOKS=1" in done.stdout


def test_one_hook(around: Any) -> None:
    for name in ("flow_event", "event"):
        lines = around.flow("plugins", "hooks", name).stdout.splitlines()
        assert lines[0] == "flow_event(event)"
        text = "\n".join(lines)
        assert "Something happened: every change of state" in text
        assert "  process    launcher\n" in text
        assert "  who fails  is put aside, and the run goes on\n" in text
        assert "  budget     within 30 s\n" in text
        assert "   1  around  by name\n" in text
        assert "flow_around.py:8" in text


def callers(output: str) -> list[str]:
    """Return who implements flow_task_call, in order; whether tracing is here is no matter."""
    return [row.split()[1] for row in parts(output)["flow_task_call"][1:]]


def test_hooks_of_one_flow(around: Any) -> None:
    for arguments in (("-c", "from flow_core.cli import main; main()"), ("caught.py",)):
        more = ["--flow", "caught.py"] if len(arguments) == 2 else []
        done = around.run(*arguments, "plugins", "hooks", *more)
        assert done.returncode == 0, done.stderr
        names = callers(done.stdout)
        assert [n for n in names if n != "tracing"] == ["around", "catch", "flow-core"]


def test_decorators_of_with_count_for_a_flow(around: Any) -> None:
    done = around.flow("--with", "timeout:seconds=9", "plugins", "hooks", "--flow", "caught.py")
    names = callers(done.stdout)
    assert [n for n in names if n != "tracing"] == ["around", "catch", "timeout", "flow-core"]


def test_json(around: Any) -> None:
    chosen = ("-p", "no:tracing", "-p", "no:notify")
    hooks = {
        h["name"]: h for h in json.loads(around.flow(*chosen, "plugins", "hooks", "--json").stdout)
    }
    call = hooks["flow_task_call"]
    assert call["process"] == "task"
    assert call["first_result"] is True
    first, *_, last = call["implementations"]
    assert first["plugin"] == "around"
    assert first["wrapper"] is True
    assert first["reason"] == "before catch: its own wish; wraps those below"
    assert first["where"].endswith("flow_around.py:4")
    assert last["plugin"] == "flow-core"
    assert hooks["flow_event"]["observer"] is True
    assert hooks["flow_event"]["budget"] == 30
    assert hooks["flow_event"]["implementations"][0]["budget"] is None
    assert hooks["flow_check"]["returns"] == "a list of Problem, or None"
    assert hooks["flow_plan_step"]["process"] == "launcher, and each task"  # "as flow_definition"
    started = [i["plugin"] for i in hooks["flow_run_started"]["implementations"]]
    assert not {"around", "retry", "flow-core"} & set(started)
    retry = next(i for i in hooks["flow_plan_step"]["implementations"] if i["plugin"] == "retry")
    assert retry["decorators"] == ["retry"]


def test_hooks_that_plugins_declare(place: Any) -> None:
    place.install(
        "dice",
        {"flow.plugins": "dice = flow_dice"},
        '''
        import sys

        from flow_core.api import hookimpl, hookspec

        @hookspec(firstresult=True)
        def flow_dice_throw(sides):
            """Throw the dice. Process: task."""

        @hookimpl
        def flow_add_hooks(plugins):
            plugins.add_hookspecs(sys.modules[__name__])
        ''',
    )
    done = place.flow("plugins", "hooks", "dice_throw")
    assert done.stdout.startswith("flow_dice_throw(sides)\n")
    assert "Nobody implements it." in done.stdout


def test_a_plugin_that_is_broken_is_told_of(place: Any) -> None:
    place.install("sour", {"flow.plugins": "sour = flow_sour"}, "1/0")
    done = place.flow("plugins", "hooks")
    assert done.returncode == 0
    assert "The plugin 'sour' cannot be loaded" in done.stdout


def test_a_ring_is_told_once(place: Any) -> None:
    hook = (
        "from flow_core.api import hookimpl\n\n@hookimpl(before=['{}'])\ndef flow_event(): pass\n"
    )
    place.install("sweet", {"flow.plugins": "sweet = flow_sweet"}, hook.format("sour"))
    place.install("sour", {"flow.plugins": "sour = flow_sour"}, hook.format("sweet"))
    done = place.flow("plugins", "hooks", "flow_event")
    assert done.returncode == 0
    assert done.stdout.count("cannot be put in order for the hook flow_event") == 1


@pytest.mark.parametrize(
    ("name", "hint"), [("flow_evnt", "did you mean 'flow_event'"), ("chekc", "'flow_check'")]
)
def test_unknown_hook(place: Any, name: str, hint: str) -> None:
    done = place.flow("plugins", "hooks", name)
    assert done.returncode == 1
    assert f"There is no hook '{name}'" in done.stderr
    assert hint in done.stderr

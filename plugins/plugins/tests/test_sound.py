"""Sound plugins: what the list and the details say of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flow_core.api import EntryPoint, PluginIndex, Session
from flow_plugins import listing
from flow_plugins.inventory import Inventory

GOOD = """
from dataclasses import dataclass

from flow_core.api import Options, StepDecorator, hookimpl, option

@dataclass(frozen=True)
class SweetOptions(Options):
    '''Make a step sweeter.

    With sugar.
    '''
    kind: str = option(help="Which sugar.")
    spoons: int = option(2, "How much sugar.")

sweet = StepDecorator("sweet", SweetOptions)

@hookimpl
def flow_settings(settings):
    settings.declare("sweet_limit", 5, "The most spoons.")
    settings.declare("sweet_token", "", "What the shop asks for.", secret=True)

@hookimpl(wrapper=True, before=["retry"])
def flow_task_call(task, flow):
    return (yield)
"""


@pytest.fixture
def sweet(place: Any) -> Any:
    """A folder in which the plugin 'sweet' is installed."""
    place.install(
        "sweet",
        {"flow.plugins": "sweet = flow_sweet", "flow.decorators": "sweet = flow_sweet:sweet"},
        GOOD,
    )
    return place


def test_list(sweet: Any) -> None:
    done = sweet.flow("plugins")
    assert done.returncode == 0, done.stderr
    head, *rows = done.stdout.splitlines()
    assert head.split() == ["name", "distribution", "version", "status", "provides"]
    row = next(row for row in rows if row.startswith("sweet "))
    assert " ".join(row.split()) == "sweet flow-sweet 1.0 installed decorator sweet; hooks"
    assert "\x1b" not in done.stdout  # plain in a pipe
    assert all(" installed " in row for row in rows)  # and nothing is said below


def test_details(sweet: Any) -> None:
    done = sweet.flow("plugins", "show", "sweet")
    assert (done.returncode, done.stderr) == (0, "")
    folder = str(sweet.site)
    assert done.stdout.splitlines() == [
        "sweet 1.0: ok",
        "  about         The sweet of a test.",
        "  distribution  flow-sweet",
        f"  location      {folder}/flow_sweet-1.0.dist-info",
        "  needs         flow-core >=0.1,<1",
        "",
        "Provides",
        "  decorator sweet  flow_sweet:sweet",
        "      Make a step sweeter.",
        "      kind    str  required   Which sugar.",
        "      spoons  int  default 2  How much sugar.",
        "",
        "Hooks",
        "  flow_settings                                   flow_sweet.py:17",
        "  flow_task_call  wraps the others, before retry  flow_sweet.py:22",
        "",
        "Settings",
        "  sweet_limit  The most spoons.",
        "      int; default 5; FLOW_SWEET_LIMIT",
        "  sweet_token  What the shop asks for.",
        "      str; FLOW_SWEET_TOKEN",
        "",
        "Files",
        f"  1 in {folder}",
        "    flow_sweet.py",
    ]


def test_settings_are_shown_with_their_values_in_force(sweet: Any) -> None:
    (sweet.folder / "pyproject.toml").write_text("[tool.flow]\nsweet-limit = 7\n")
    done = sweet.flow("plugins", "show", "sweet", FLOW_SWEET_TOKEN="hidden")
    file = sweet.folder / "pyproject.toml"
    assert f"      now 7, from [tool.flow] of {file}\n" in done.stdout
    assert "      now ***, from FLOW_SWEET_TOKEN\n" in done.stdout
    assert "hidden" not in done.stdout
    wrong = sweet.flow("plugins", "show", "sweet", FLOW_SWEET_LIMIT="many")
    assert "      Setting 'sweet_limit' must be an integer, not 'many'\n" in wrong.stdout
    shown = sweet.flow("plugins", "show", "sweet", "--json", FLOW_SWEET_TOKEN="hidden")
    limit, token = json.loads(shown.stdout)["settings"]
    assert (limit["value"], limit["default"], limit["source"]) == (
        "7",
        5,
        f"[tool.flow] of {file}",
    )
    assert (token["value"], token["secret"]) == ("***", True)
    assert "hidden" not in shown.stdout


def test_json_of_one(sweet: Any) -> None:
    shown = json.loads(sweet.flow("plugins", "show", "sweet", "--json").stdout)
    assert shown["about"] == "The sweet of a test."
    assert shown["requires_core"] == ">=0.1,<1"
    assert shown["files"] == ["flow_sweet.py"]
    assert shown["editable"] is None
    (provided,) = shown["provides"]
    assert provided["about"] == "Make a step sweeter."
    assert [(o["name"], o["type"], o["default"], o["required"]) for o in provided["options"]] == [
        ("kind", "str", None, True),
        ("spoons", "int", 2, False),
    ]
    settings, call = shown["hooks"]
    assert settings["name"] == "flow_settings"
    assert (call["wrapper"], call["before"], call["budget"]) == (True, ["retry"], None)
    assert call["where"].endswith("flow_sweet.py:22")


def test_hooks_of_decorators_and_editable_files(place: Any) -> None:
    done = place.flow("plugins", "show", "retry")
    assert "\n  loaded for flows with @retry only\n  flow_plan_step  " in done.stdout
    shown = json.loads(place.flow("plugins", "show", "retry", "--json").stdout)
    assert {hook["name"]: hook["decorators"] for hook in shown["hooks"]} == {
        "flow_plan_step": ["retry"]
    }
    assert "flow_retry/plugin.py" in shown["files"]
    assert "flow_retry/py.typed" in shown["files"]


def test_details_by_the_name_of_the_distribution(sweet: Any) -> None:
    assert sweet.flow("plugins", "show", "flow-sweet").stdout.startswith("sweet 1.0: ok")


def test_unknown_name_gets_near_misses(sweet: Any) -> None:
    done = sweet.flow("plugins", "show", "swet")
    assert done.returncode == 1
    assert "There is no plugin 'swet'" in done.stderr
    assert "did you mean 'sweet'?" in done.stderr


def test_blocked(sweet: Any) -> None:
    done = sweet.flow("-p", "no:sweet", "plugins")
    row = next(row for row in done.stdout.splitlines() if row.startswith("sweet "))
    assert "blocked by -p" in row
    assert (
        "change what leaves it out"
        in sweet.flow("-p", "no:sweet", "plugins", "show", "sweet").stdout
    )


def test_module_given_by_hand(place: Any) -> None:
    (place.folder / "mine.py").write_text(
        "from flow_core.api import hookimpl\n@hookimpl\ndef flow_check(graph):\n    return None\n"
    )
    done = place.flow("-p", "mine", "plugins")
    row = next(row for row in done.stdout.splitlines() if row.startswith("mine "))
    assert row.split() == ["mine", "-p", "installed", "hooks"]
    assert "flow_check" in place.flow("-p", "mine", "plugins", "show", "mine").stdout
    broken = place.flow("-p", "not_mine", "plugins")
    assert "The plugin module 'not_mine' cannot be loaded" in broken.stdout


def test_json(sweet: Any) -> None:
    reports = {r["name"]: r for r in json.loads(sweet.flow("plugins", "--json").stdout)}
    assert reports["sweet"]["status"] == "installed"
    assert reports["sweet"]["error"] is None
    assert {"group": "flow.decorators", "name": "sweet", "value": "flow_sweet:sweet"} in reports[
        "sweet"
    ]["entry_points"]
    shown = json.loads(sweet.flow("plugins", "show", "sweet", "--json").stdout)
    assert {h["name"] for h in shown["hooks"]} == {"flow_settings", "flow_task_call"}


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("sweet", "flow plugins show sweet"),
        ("flow-sweet", "flow plugins show flow-sweet"),
        ("swet", "did you mean 'flow plugins show sweet'?"),
        ("shaw", "did you mean 'flow plugins show'?"),
    ],
)
def test_words_that_are_no_command(sweet: Any, word: str, hint: str) -> None:
    done = sweet.flow("plugins", word)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"error: There is no command '{word}'",
        "  where: flow plugins",
        f"  try:   {hint}",
    ]


def test_list_imports_no_plugin(sweet: Any) -> None:
    code = (
        "import sys; from flow_core.cli import run; run(['plugins']); "
        "print(sorted(m for m in sys.modules if m.startswith('flow_')))"
    )
    loaded = sweet.run("-c", code).stdout.splitlines()[-1]
    outside = [m for m in eval(loaded) if m.partition(".")[0] not in ("flow_core", "flow_plugins")]
    assert outside == []


def test_no_plugins_at_all() -> None:
    nothing = PluginIndex([])
    inventory = Inventory(Session(index=nothing), nothing)
    assert inventory.all == []
    assert next(listing.lines(inventory, 0)).startswith("\x1b")


def test_narrow_terminal_wraps_what_is_provided() -> None:
    index = PluginIndex(
        EntryPoint("flow.stores", f"store-{n}", "x:y", "flow-many", "1.0", "") for n in range(30)
    )
    inventory = Inventory(Session(index=index), index)
    lines = list(listing.lines(inventory, 70))
    assert len(lines) > 5
    assert all(len(line) < 90 for line in lines)  # colours count, and are in the first two only
    assert all(len(line) <= 70 for line in lines[2:])
    assert lines[2].startswith(" " * 20)

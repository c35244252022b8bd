"""``flow plugins check``: each mistake of an author is found, named, and comes with what to type."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HEAD = "from flow_core.api import hookimpl\n"
DECORATOR = """
from dataclasses import dataclass
from typing import Any, Callable

from flow_core.api import Options, StepDecorator, option

@dataclass(frozen=True)
class O(Options):
    '''Do a thing.'''
    {options}

{name} = StepDecorator("{called}", O)
"""
HOOKS = {"flow.plugins": "{0} = flow_{0}"}
SOUND = """
from flow_core.api import hookimpl

@hookimpl
def flow_check(graph):
    return None
"""


class Case(NamedTuple):
    """A plugin, and what must be found in it: the check, its status, and texts of the finding."""

    name: str
    module: str
    entry_points: Mapping[str, str]
    check: str
    status: str
    texts: tuple[str, ...]
    requires: str = "flow-core>=0.1,<1"


def hook(text: str, before: str = "") -> str:
    return f"{HEAD}{before}\n@hookimpl\n{text}\n    return None\n"


def decorator(name: str, options: str, called: str = "") -> str:
    return DECORATOR.format(name=name, options=options, called=called or name)


CASES = [
    Case("fine", SOUND, HOOKS, "hooks", "ok", ("flow_check",)),
    Case(
        "norange",
        SOUND,
        HOOKS,
        "core",
        "warn",
        ("does not say which flow-core it needs", 'dependencies = ["flow-core>=0.1,<1"]'),
        "click",
    ),
    Case(
        "halfrange",
        SOUND,
        HOOKS,
        "core",
        "warn",
        ("has no upper end: >=0.1",),
        "flow-core>=0.1",
    ),
    Case(
        "future",
        "raise RuntimeError('imported')",
        HOOKS,
        "core",
        "fail",
        ("needs flow-core >=7", "pip install --upgrade"),
        "flow-core>=7",
    ),
    Case(
        "unreadablerange",
        "raise RuntimeError('imported')",
        HOOKS,
        "core",
        "fail",
        ("requires of flow-core cannot be read", "'>=banana' is not part of a range"),
        "flow-core>=banana",
    ),
    Case("raises", "1/0", HOOKS, "hooks", "fail", ("cannot be loaded", "ZeroDivisionError")),
    Case(
        "wrongargument",
        hook("def flow_check(grph):"),
        HOOKS,
        "hooks",
        "fail",
        ("has a hook that does not fit its specification", "grph"),
    ),
    Case(
        "unmarked",
        "def flow_check(graph): ...",
        HOOKS,
        "hooks",
        "fail",
        ("that is not marked as a hook", "@hookimpl"),
    ),
    Case(
        "misspelt",
        hook("def flow_chekc(graph):"),
        HOOKS,
        "hooks",
        "fail",
        ("implements a hook that does not exist: flow_chekc", "'flow_check'"),
    ),
    Case(
        "almost",
        "def flow_chekc(graph): ...",
        HOOKS,
        "hooks",
        "warn",
        ("The function flow_chekc looks like the hook flow_check, and is none", "flow_almost.py:1"),
    ),
    Case(
        "wrongresult",
        hook("def flow_check(graph) -> Problem:", "from flow_core.api import Problem"),
        HOOKS,
        "hooks",
        "fail",
        (
            "flow_check says that it returns Problem",
            "the hook returns a list of Problem, or None",
            "flow_wrongresult.py:",
        ),
    ),
    Case(
        "unused",
        hook("def flow_plan_step(step) -> int:"),
        HOOKS,
        "hooks",
        "warn",
        ("flow_plan_step says that it returns int", "nothing is done with it", "-> None"),
    ),
    Case(
        "rightresult",
        "from __future__ import annotations\nfrom typing import TYPE_CHECKING\n"
        + hook(
            "def flow_check(graph: Graph) -> list[Problem] | None:",
            "if TYPE_CHECKING:\n    from flow_core.api import Graph, Problem",
        ),
        HOOKS,
        "hooks",
        "ok",
        ("flow_check",),
    ),
    Case(
        "wishes",
        f"{HEAD}\n@hookimpl(before=['timout'])\ndef flow_plan_step(step):\n    pass\n",
        HOOKS,
        "hooks",
        "warn",
        ("wants to come before 'timout', which is not installed", "did you mean 'timeout'?"),
    ),
    Case(
        "lonely",
        SOUND,
        {"flow.decorator_hooks": "{0} = flow_{0}"},
        "hooks",
        "fail",
        ("The hooks of 'lonely' are never loaded: there is no decorator of that name",),
    ),
    Case(
        "mistyped",
        "x = 1",
        {"flow.decorator": "{0} = flow_{0}:x"},
        "provides",
        "fail",
        ("The group 'flow.decorator' of 'mistyped' is read by nobody", "'flow.decorators'"),
    ),
    Case(
        "absent",
        "x = 1",
        {"flow.stores": "{0} = flow_{0}:Store"},
        "provides",
        "fail",
        ("The store 'absent' cannot be loaded", "has no attribute 'Store'"),
    ),
    Case(
        "halfstore",
        """
class Store:
    capabilities = None

    def __init__(self):
        self.url = "halfstore://"

    def read(self, key):
        return iter([])

    def write(self, items):
        return []
""",
        {"flow.stores": "{0} = flow_{0}:Store"},
        "provides",
        "fail",
        (
            "The store 'halfstore' is not what its group asks for",
            "it cannot be made with 1 argument:",
            "write(items, *, create_only=False) cannot be called like that",
            "the method read_range is missing",
            "its capabilities are no StoreCapabilities",
            "flow_core.api.Store",
        ),
    ),
    Case(
        "othertag",
        """
class Tagged:
    tag, safe = "other", True
    def can(self, value): return False
    def dump(self, value): return []
    def load(self, parts): return None
""",
        {"flow.serializers": "{0}.x = flow_{0}:Tagged"},
        "provides",
        "fail",
        ("its tag is 'other', so that what it writes could not be read",),
    ),
    Case(
        "textless",
        "from flow_core.api import Command\nimport click\n"
        "command = Command('Sour.', False, lambda context: click.Command('x'))",
        {"flow.commands": "{0} = flow_{0}:command"},
        "provides",
        "fail",
        ("it has no help text",),
    ),
    Case(
        "unbuilt",
        "from flow_core.api import Command\n"
        "command = Command('Sour.', True, lambda context: context.flow.absent)",
        {"flow.commands": "{0} = flow_{0}:command"},
        "provides",
        "fail",
        ("it cannot be made: AttributeError",),
    ),
    Case(
        "parser",
        "def load(): ...",
        {"flow.parsers": "{0} = flow_{0}:load"},
        "provides",
        "fail",
        ("it cannot be called with 1 argument:",),
    ),
    Case(
        "vault",
        """
class Vault:
    def __init__(self): pass
    def fetch(self): return {}
""",
        {"flow.secrets": "{0} = flow_{0}:Vault"},
        "provides",
        "fail",
        (
            "The secrets provider 'vault' is not what its group asks for",
            "it cannot be made with 1 argument:",
            "fetch(source) cannot be called like that",
            "flow_core.api.SecretsProvider, made with the settings",
        ),
    ),
    Case(
        "mounted",
        """
class Mounted:
    def __init__(self, settings): self.settings = settings
    def fetch(self, source): return {}
""",
        {"flow.secrets": "{0} = flow_{0}:Mounted"},
        "provides",
        "ok",
        ("secrets provider mounted",),
    ),
    Case(
        "picture",
        "def card(): return []",
        {"flow.cards": "{0} = flow_{0}:card"},
        "provides",
        "fail",
        ("it cannot be called with 1 argument:", "a function (task)"),
    ),
    Case(
        "oneletter",
        "class Any_: ...",
        {"flow.secret": "{0} = flow_{0}:Any_"},
        "provides",
        "fail",
        (
            "The group 'flow.secret' of 'oneletter' is read by nobody",
            "did you mean 'flow.secrets'?",
        ),
    ),
    Case(
        "roundtrip",
        decorator("roundtrip", "n: int = option(1, 'Times.')\n    s: str = option('', 'Text.')"),
        {"flow.decorators": "{0} = flow_{0}:{0}"},
        "options",
        "ok",
        ("texts of --with read back as they were written",),
    ),
    Case(
        "lossy",
        decorator("lossy", "n: float = option(1.0, 'Times.')").replace(
            "\nlossy =",
            """
    def __post_init__(self):
        object.__setattr__(self, "n", self.n + 1)

lossy =""",
        ),
        {"flow.decorators": "{0} = flow_{0}:{0}"},
        "options",
        "fail",
        ("do not survive as text: --with 'lossy", "became O("),
    ),
    Case(
        "onlycode",
        decorator("onlycode", "f: Callable[..., Any] | None = option(None, 'A function.')"),
        {"flow.decorators": "{0} = flow_{0}:{0}"},
        "options",
        "ok",
        ("@onlycode",),
    ),
    Case(
        "silent",
        decorator("silent", "n: int = option(1)"),
        {"flow.decorators": "{0} = flow_{0}:{0}"},
        "options",
        "warn",
        ("Options of @silent have no help: n",),
    ),
    Case(
        "named",
        decorator("named", "n: int = option(1, 'Times.')", called="other"),
        {"flow.decorators": "{0} = flow_{0}:{0}"},
        "options",
        "fail",
        ("The decorator 'named' calls itself 'other'",),
    ),
    Case(
        "foreign",
        f"{HEAD}\n@hookimpl\ndef flow_settings(settings):\n    settings.declare('speed', 1, '')\n",
        HOOKS,
        "settings",
        "warn",
        ("The setting 'speed' does not begin with the plugin's name", "foreign_speed"),
    ),
    Case(
        "heavy",
        "import unittest\n" + SOUND,
        HOOKS,
        "cost",
        "warn",
        ("Importing flow_heavy takes", "and loads", "unittest", "each command imports it"),
    ),
    Case("bare", SOUND, HOOKS, "package", "warn", ("It has no README", 'readme = "README.md"')),
    Case(
        "untyped",
        decorator("untyped", "n: int = option(1, 'Times.')"),
        {"flow.decorators": "{0} = flow_{0}:{0}"},
        "package",
        "warn",
        ("there is no py.typed",),
    ),
]


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """All cases, installed together and checked by one command; plugin → what was found."""
    from plugins.conftest import Place

    place = Place(tmp_path_factory.mktemp("check"))
    for case in CASES:
        entries = {group: text.format(case.name) for group, text in case.entry_points.items()}
        place.install(case.name, entries, case.module, requires=case.requires)
    done = place.flow("plugins", "check", "--json", *(case.name for case in CASES))
    assert done.returncode == 1, done.stderr
    return {plugin["name"]: plugin for plugin in json.loads(done.stdout)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_found(checked: dict[str, Any], case: Case) -> None:
    plugin = checked[case.name]
    found = [f for f in plugin["findings"] if (f["check"], f["status"]) == case[3:5]]
    texts = ["\n".join(f[part] for part in ("text", "where", "why", "hint")) for f in found]
    assert any(all(part in text for part in case.texts) for text in texts), plugin["findings"]


def test_what_another_core_needs_is_not_imported(checked: dict[str, Any]) -> None:
    assert [f["check"] for f in checked["future"]["findings"]] == ["core"]


def test_nothing_else_is_found(checked: dict[str, Any]) -> None:
    """Each case has its own mistake, and the distributions of tests have no README."""
    for case in CASES:
        others = {
            f["check"]
            for f in checked[case.name]["findings"]
            if f["status"] != "ok" and f["check"] != case.check
        }
        assert others <= {"package"}, (case.name, checked[case.name]["findings"])


def test_for_people(place: Any) -> None:
    case = next(case for case in CASES if case.name == "wrongresult")
    place.install("sour", {"flow.plugins": "sour = flow_sour"}, case.module)
    done = place.flow("plugins", "check", "sour")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "fail  sour  hooks"
    assert lines[1] == "      ok    core      flow-core >=0.1,<1"
    assert lines[2] == "      fail  hooks     flow_check says that it returns Problem"
    assert lines[3].strip().startswith("where: ")
    assert lines[4].strip() == "why:   the hook returns a list of Problem, or None"
    assert lines[5].strip() == "try:   -> a list of Problem, or None"
    assert lines[-1] == "1 plugin: 1 fail"


def test_warnings_end_with_0_unless_strict(place: Any) -> None:
    place.install("bare", {"flow.plugins": "bare = flow_bare"}, SOUND)
    done = place.flow("plugins", "check", "bare")
    assert (done.returncode, done.stderr) == (0, "")
    assert "warn  package   It has no README" in done.stdout
    assert place.flow("plugins", "check", "bare", "--strict").returncode == 1


def test_a_module_of_one_file(place: Any) -> None:
    (place.folder / "mine.py").write_text(SOUND)
    done = place.flow("-p", "mine", "plugins", "check", "mine", "--strict")
    assert done.returncode == 0, done.stdout
    assert "ok    hooks     flow_check" in done.stdout
    broken = place.flow("-p", "not_mine", "plugins", "check", "not_mine")
    assert broken.returncode == 1
    assert "The plugin module 'not_mine' cannot be loaded" in broken.stdout


def test_two_of_a_name(place: Any) -> None:
    place.install("sour", {"flow.decorators": "retry = flow_sour:retry"}, "retry = 1")
    done = place.flow("plugins", "check", "sour")
    assert done.returncode == 1
    assert "Two plugins provide the decorator 'retry'" in done.stdout
    assert "-p flow-retry/retry" in done.stdout


def test_what_is_left_out_is_not_checked(place: Any) -> None:
    place.install("sour", {"flow.plugins": "sour = flow_sour"}, "1/0")
    done = place.flow("-p", "no:sour", "plugins", "check", "--json")
    assert "sour" not in {plugin["name"] for plugin in json.loads(done.stdout)}


def test_unknown_name(place: Any) -> None:
    done = place.flow("plugins", "check", "retyr")
    assert done.returncode == 1
    assert "There is no plugin 'retyr'" in done.stderr
    assert "did you mean 'retry'" in done.stderr


def test_the_plugins_of_this_project_are_in_order(place: Any) -> None:
    """What we ask of others holds for our own; times are not looked at, machines differ."""
    done = place.flow("plugins", "check", "--json")
    troubles = [
        (plugin["name"], finding)
        for plugin in json.loads(done.stdout)
        for finding in plugin["findings"]
        if finding["status"] != "ok" and finding["check"] != "cost"
    ]
    assert troubles == []
    assert done.returncode == 0


def test_what_the_kernel_loads_for_a_name_of_its_api_is_not_the_plugins_cost(
    tmp_path: Path,
) -> None:
    (tmp_path / "light.py").write_text("from flow_core.api import RunDraft\n")
    program = "import sys; from flow_plugins.checking.cost import measure; print(measure({'light': ['light']}, {}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "'flow_core.run'" in done.stdout  # it was loaded
    parts = re.search(r"parts=(.*?), error", done.stdout)
    assert parts is not None
    assert "flow_core" not in parts[1]

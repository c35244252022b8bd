"""Broken plugins: each is named with its cause and the way out, and stops nothing but runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

HOOKS = {"flow.plugins": "sour = flow_sour"}


class Case(NamedTuple):
    """A broken plugin: how it is installed, and what must be said of it."""

    install: Callable[[Any], None]
    status: str
    texts: tuple[str, ...]


def fails_to_import(place: Any) -> None:
    place.install("sour", HOOKS, "import a_module_that_is_not_there")


def raises_at_import(place: Any) -> None:
    place.install("sour", HOOKS, "raise RuntimeError('no licence')")


def needs_a_newer_core(place: Any) -> None:
    place.install("sour", HOOKS, "", requires="flow-core>=7.2,<8")


def clashes(place: Any) -> None:
    place.install("sour", HOOKS)
    place.install("sweet", {"flow.plugins": "sour = flow_sweet"}, version="2.5")


def misspells_a_hook(place: Any) -> None:
    place.install(
        "sour",
        HOOKS,
        """
        from flow_core.api import hookimpl

        @hookimpl
        def flow_task_setpu(task):
            pass
        """,
    )


def misspells_an_argument(place: Any) -> None:
    place.install(
        "sour",
        HOOKS,
        """
        from flow_core.api import hookimpl

        @hookimpl
        def flow_task_setup(taks):
            pass
        """,
    )


def forgets_hookimpl(place: Any) -> None:
    place.install("sour", HOOKS, "def flow_task_setup(task):\n    pass\n")


CASES = [
    Case(
        fails_to_import,
        "broken",
        (
            "The plugin 'sour' cannot be loaded",
            "plugin 'sour' (flow-sour 1.0), flow_sour",
            "ModuleNotFoundError: No module named 'a_module_that_is_not_there'",
            "pip install --force-reinstall flow-sour",
            "-p no:sour",
        ),
    ),
    Case(raises_at_import, "broken", ("RuntimeError: no licence", "-p no:sour")),
    Case(
        needs_a_newer_core,
        "needs another flow-core",
        (
            "The plugin 'sour' needs flow-core >=7.2,<8; this is 0.",
            "pip install --upgrade flow-core flow-sour",
            "-p no:sour",
        ),
    ),
    Case(
        clashes,
        "clash",
        (
            "Two plugins provide the plugin 'sour': flow-sour 1.0 and flow-sweet 2.5",
            "flow_sour-1.0.dist-info",
            "flow_sweet-2.5.dist-info",
            "-p flow-sour/sour or -p flow-sweet/sour",
        ),
    ),
    Case(
        misspells_a_hook,
        "broken",
        (
            "The plugin 'sour' implements a hook that does not exist: flow_task_setpu",
            "flow_sour.py:4",
            "'flow_task_setup'",
            "-p no:sour",
        ),
    ),
    Case(
        misspells_an_argument,
        "broken",
        (
            "The plugin 'sour' has a hook that does not fit its specification",
            "flow_sour.py",
            "taks",
            "-p no:sour",
        ),
    ),
    Case(
        forgets_hookimpl,
        "broken",
        (
            "The plugin 'sour' has a function flow_task_setup that is not marked as a hook",
            "flow_sour.py:1",
            "@hookimpl",
        ),
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.install.__name__)
def case(request: pytest.FixtureRequest, place: Any) -> Case:
    """Each broken plugin, installed."""
    found: Case = request.param
    found.install(place)
    return found


def test_list_names_the_plugin_and_the_way_out(place: Any, case: Case) -> None:
    done = place.flow("plugins")
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("sour "))
    if case.status == "broken":  # which only shows when it is imported
        assert "  installed  " in row
    else:
        assert case.status in row
        for text in case.texts:
            assert text in done.stdout
    assert "\nterminal " in done.stdout  # the sound ones are listed as ever


def test_details_say_what_is_wrong(place: Any, case: Case) -> None:
    done = place.flow("plugins", "show", "sour")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"sour 1.0: {case.status}\n")
    for text in case.texts:
        assert text in done.stdout


def test_run_stops_before_its_first_task(place: Any, case: Case) -> None:
    done = place.run("hello_flow.py", "run")
    assert done.returncode == 1
    for text in case.texts:
        assert text in done.stderr
    assert not place.ran()


def test_json_has_the_four_parts(place: Any, case: Case) -> None:
    done = place.flow("plugins", "show", "sour", "--json")
    report = json.loads(done.stdout)
    assert report["status"] == case.status
    assert set(report["error"]) == {"what", "where", "why", "hint"}
    assert case.texts[0] in " ".join(filter(None, report["error"].values()))


def test_everything_else_still_works(place: Any) -> None:
    """One process with all broken plugins at once, since each start takes its time."""
    for number, found in enumerate(CASES):
        if found.install is not clashes:
            _renamed(place, found.install, number)
    helped = place.flow("--help")
    assert helped.returncode == 0
    assert "plugins" in helped.stdout
    listed = place.flow("plugins")
    assert listed.returncode == 0
    assert listed.stdout.count("sour") >= len(CASES) - 1
    imported = place.run("-c", "import flow_core; from flow_core import FlowSpec, retry")
    assert imported.returncode == 0, imported.stderr


def _renamed(place: Any, install: Callable[[Any], None], number: int) -> None:
    """Install a broken plugin under a name of its own."""

    class Renaming:
        def install(self, name: str, entry_points: Any, module: str = "", **more: Any) -> None:
            place.install(
                f"sour{number}",
                {"flow.plugins": f"sour{number} = flow_sour{number}"},
                module,
                **more,
            )

    install(Renaming())


def test_way_out_leads_out(place: Any) -> None:
    fails_to_import(place)
    done = place.run("hello_flow.py", "-p", "no:sour", "run")
    assert done.returncode == 0, done.stderr
    assert place.ran()


def test_broken_command_is_shown_as_such(place: Any) -> None:
    place.install("sour", {"flow.commands": "sour = flow_sour:command"}, "import not_there")
    helped = place.flow("--help")
    assert helped.returncode == 0
    assert "cannot be used: The command 'sour' cannot be loaded" in helped.stdout
    used = place.flow("sour")
    assert used.returncode == 1
    assert "-p no:sour" in used.stderr
    shown = place.flow("plugins", "show", "sour").stdout
    assert shown.startswith("sour 1.0: broken\n")
    assert "No module named 'not_there'" in shown


def test_list_imports_nothing(place: Any) -> None:
    place.install(
        "sour",
        {"flow.stores": "sour = flow_sour:Store", "flow.decorators": "sour = flow_sour:sour"},
        "raise RuntimeError('imported')",
    )
    listed = place.flow("plugins")
    assert "decorator sour; store sour" in listed.stdout
    assert "imported" not in listed.stdout


def test_details_try_each_provider(place: Any) -> None:
    place.install(
        "sour",
        {"flow.stores": "sour = flow_sour:Store", "flow.decorators": "sour = flow_sour:sour"},
        "raise RuntimeError('imported')",
    )
    shown = place.flow("plugins", "show", "sour")
    assert shown.returncode == 0
    assert shown.stdout.startswith("sour 1.0: broken\n")
    for what in ("The decorator 'sour'", "The store 'sour'"):
        assert shown.stdout.count(f"{what} cannot be loaded") == 1
    assert "RuntimeError: imported" in shown.stdout
    report = json.loads(place.flow("plugins", "show", "sour", "--json").stdout)
    assert report["status"] == "broken"
    assert report["error"]["why"] == "RuntimeError: imported"


def test_command_that_is_none(place: Any) -> None:
    place.install("sour", {"flow.commands": "sour = flow_sour:command"}, "command = 3")
    helped = place.flow("--help")
    assert helped.returncode == 0
    assert "(cannot be used: The command 'sour' is not a flow_core.api.Command)" in " ".join(
        helped.stdout.split()
    )
    used = place.flow("sour")
    assert used.returncode == 1
    assert "plugin 'sour' (flow-sour 1.0), flow_sour:command" in used.stderr
    assert "bug" not in used.stderr
    assert place.flow("plugins", "show", "sour").stdout.startswith("sour 1.0: broken\n")


def test_command_that_cannot_be_made(place: Any) -> None:
    place.install(
        "sour",
        {"flow.commands": "sour = flow_sour:command"},
        """
        from flow_core.api import Command

        command = Command("Sour.", False, lambda context: 1 / 0)
        """,
    )
    used = place.flow("sour")
    assert used.returncode == 1
    assert "The plugin 'sour' failed to make its command 'sour'" in used.stderr
    assert "ZeroDivisionError: division by zero" in used.stderr
    assert "-p no:sour" in used.stderr


def test_hook_that_fails_names_its_plugin(place: Any) -> None:
    place.install(
        "sour",
        HOOKS,
        """
        from flow_core.api import hookimpl

        @hookimpl
        def flow_plan_step(step, draft):
            1 / 0
        """,
    )
    done = place.run("hello_flow.py", "run")
    assert done.returncode == 1
    assert "The plugin 'sour' failed in its hook flow_plan_step" in done.stderr
    assert "flow_sour.py:6" in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr
    assert "-p no:sour" in done.stderr
    assert not place.ran()


def test_name_clash_of_providers(place: Any) -> None:
    place.install("sour", {"flow.decorators": "retry = flow_sour:retry"})
    listed = place.flow("plugins")
    assert "Two plugins provide the decorator 'retry'" in listed.stdout
    assert listed.stdout.count("Two plugins provide") == 1  # told once, not for either side
    assert listed.stdout.count("  clash  ") == 2


@pytest.mark.parametrize("way", ["flow -p", "python -p", "variable", "settings"])
def test_a_flow_file_gets_the_decorator_that_is_picked(place: Any, way: str) -> None:
    """Also when the command line, which says it, is read after the file."""
    other = """
        from flow_core.api import Options, StepDecorator

        class Nothing(Options):
            "Do nothing."

        retry = StepDecorator("retry", Nothing)
        """
    place.install("sour", {"flow.decorators": "retry = flow_sour:retry"}, other)
    file = place.folder / "hello_flow.py"
    source = file.read_text().replace("import FlowSpec", "import retry, FlowSpec", 1)
    source = source.replace("    @step", "    @retry(times=0)\n    @step", 1)
    file.write_text(source)
    for done in (place.flow("run", "hello_flow.py"), place.run("hello_flow.py", "run")):
        assert done.returncode == 1
        assert done.stderr.startswith("error: Two plugins provide the decorator 'retry'")
        assert f"where: {file}:2, " in done.stderr
    pick = "flow-retry/retry"
    if way == "settings":
        (place.folder / "pyproject.toml").write_text(f"[tool.flow]\nplugins = ['{pick}']\n")
    variables = {"FLOW_PLUGINS": pick} if way == "variable" else {}
    if way == "flow -p":
        done = place.flow("-p", pick, "run", "hello_flow.py")
    else:
        more = ["-p", pick] if way == "python -p" else []
        done = place.run("hello_flow.py", *more, "run", **variables)
    assert done.returncode == 0, done.stderr
    assert place.ran()


def test_rings_of_wishes(place: Any) -> None:
    for mine, other in (("sour", "sweet"), ("sweet", "sour")):
        place.install(
            mine,
            {"flow.plugins": f"{mine} = flow_{mine}"},
            f"""
            from flow_core.api import hookimpl

            @hookimpl(before=["{other}"])
            def flow_task_setup(task):
                pass
            """,
        )
    shown = place.flow("plugins", "show", "sweet")
    assert shown.returncode == 0, shown.stderr
    assert (
        "The plugins sour, sweet cannot be put in order for the hook flow_task_setup"
        in shown.stdout
    )
    assert "-p no:sour" in shown.stdout

"""The pytest plugin of flow-core: fixtures for testing flows and plugins."""

from __future__ import annotations

import gc
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flow_core.testing.flowtester import FlowTester
    from flow_core.testing.leaks import Leak, LeakCheck

# --- flows --------------------------------------------------------------------------------------


@pytest.fixture
def flowtester(tmp_path: Path) -> Iterator[FlowTester]:
    """A temporary folder in which flows are written and run; see `FlowTester`."""
    # Imported here: every pytest run loads this plugin, most need nothing of it.
    from flow_core.testing.flowtester import FlowTester, main_kept

    with main_kept():
        yield FlowTester(tmp_path)


@pytest.fixture(scope="session")
def flow_suite_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the flow of `CommandSuite` has run once, to be copied: for that suite."""
    from flow_core.testing.command_suite import FLOW
    from flow_core.testing.flowtester import FlowTester

    tester = FlowTester(tmp_path_factory.mktemp("suite"))
    tester.python(tester.write(FLOW), "run").check()
    return tester.path


# --- what tests leave behind --------------------------------------------------------------------

_NO_LEAKS = "no_leaks"
_CHECK: pytest.StashKey[LeakCheck] = pytest.StashKey()
_FAILED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the setting ``flow_no_leaks`` and the option ``--update-golden``."""
    parser.getgroup("flow-core").addoption(
        "--update-golden",
        action="store_true",
        help="Write the golden files of assert_same_run that are missing or differ.",
    )
    parser.addini(
        "flow_no_leaks",
        "Fail each test that leaves something behind in its process: the fixture 'no_leaks' "
        "for all tests.",
        type="bool",
        default=False,
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark ``may_leak``; heed ``--update-golden``."""
    if config.getoption("--update-golden"):
        from flow_core.testing.golden import Update

        Update.wanted, Update.written = True, ()
    config.addinivalue_line(
        "markers",
        "may_leak(*kinds): what 'no_leaks' does not look at in this test: variables, folder, "
        "signals, threads, processes, files, logging, path, modules, gc, atexit, interpreter",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which golden files were written: their changes are to be looked at."""
    if config.getoption("--update-golden"):
        from flow_core.testing.golden import Update

        for path in sorted(set(Update.written)):
            terminalreporter.write_line(f"golden file written: {path}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Compare again."""
    if config.getoption("--update-golden"):
        from flow_core.testing.golden import Update

        Update.wanted = False


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let ``no_leaks`` begin before, and end behind, all fixtures that belong to one test only."""
    if not isinstance(item, pytest.Function):
        return
    names = item.fixturenames
    if _NO_LEAKS in names:
        names.remove(_NO_LEAKS)
    elif not item.config.getini("flow_no_leaks"):
        return
    names.insert(_first_of_the_test(item, names), _NO_LEAKS)


def _first_of_the_test(item: pytest.Function, names: list[str]) -> int:
    """Return the number of the first fixture that is made for one test; they are in order."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for number, name in enumerate(names):
        if name in known and known[name][-1].scope == "function":
            return number
    return 0


@pytest.fixture
def no_leaks(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """Fail the test when it leaves something behind in this process.

    What is looked at: environment variables, the current folder, signal handlers, threads, child
    processes, open files, handlers of loggers, ``sys.path``, ``sys.modules``, settings of the
    garbage collector, functions given to `atexit`, the standard streams. A test that fails
    anyway is not looked at.

    ``@pytest.mark.may_leak("threads")`` leaves kinds out; ``flow_no_leaks = true`` in pytest's
    settings gives the fixture to all tests.
    """
    from flow_core.testing.leaks import LeakCheck

    config, stash = request.config, request.config.stash
    allowed = _allowed(request.node)
    check = LeakCheck(tmp_path_factory.getbasetemp(), allowed, config.invocation_params.dir)
    stash[_CHECK] = check
    check.begin()
    try:
        yield
        failed = request.node.stash.get(_FAILED, False)
        found = [] if failed else check.leaks(lambda: _let_go(request.node))
    finally:
        check.end()
        del stash[_CHECK]
    if found:
        pytest.fail(_told(found), pytrace=False)


def _allowed(item: pytest.Item) -> list[str]:
    from flow_core.errors import UsageError, did_you_mean
    from flow_core.testing.leaks import KINDS

    kinds = [kind for mark in item.iter_markers("may_leak") for kind in mark.args]
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(
                f"There is no kind of leak '{kind}'",
                where=f"{item.nodeid}, @pytest.mark.may_leak",
                hint=did_you_mean(kind, KINDS) or f"one of: {', '.join(KINDS)}",
            )
    return kinds


def _let_go(item: Any) -> None:
    """Drop the values of the test's fixtures: what closes itself when nobody has it is no leak."""
    item.funcargs.clear()
    gc.collect()


def _told(leaks: list[Leak]) -> str:
    what = "something" if len(leaks) == 1 else f"{len(leaks)} things"
    lines = [f"The test leaves {what} behind:"]
    lines += [f"  {leak.kind}: {leak}" for leak in leaks]
    kinds = ", ".join(f'"{kind}"' for kind in dict.fromkeys(leak.kind for leak in leaks))
    lines.append(f"Put it right at the end of the test; or say @pytest.mark.may_leak({kinds})")
    return "\n".join(lines)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """What a fixture of several tests does in the midst of one is no leak of that one."""
    check = request.config.stash.get(_CHECK, None)
    if check is None or fixturedef.scope == "function":
        return (yield)
    with check.forgiven():
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Remember that a test failed."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report

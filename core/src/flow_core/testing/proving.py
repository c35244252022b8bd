"""Showing that a conformance suite finds what it is there to find: `failures`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flow_core.errors import UsageError, did_you_mean
from flow_core.testing import pytest_plugin

_MODULE = "flow_suite_under_proof"
_WITHOUT = ("cacheprovider", "faulthandler", "terminal", "unraisableexception")


def failures(suite: type, *cases: str, enough: int | None = None) -> dict[str, str]:
    """Run a suite in a pytest of its own, within this process; return what failed.

        class TestForgetful(StoreSuite):
            @pytest.fixture
            def store(self):
                return ForgetfulStore()

        assert "test_delete" in failures(TestForgetful, "test_delete")

    A suite that passes everything proves nothing: give it a provider that breaks one promise, and
    see that the case for it fails. It runs with the fixtures of pytest and of flow-core, and
    without those of any other plugin or ``conftest.py``.

    Args:
        suite: the class, which inherits the suite and gives it the provider.
        cases: names of tests, without the parameters in brackets; none = all.
        enough: how many failures it stops at; None = all tests run.

    Returns:
        name of each test that failed, with its parameters: what pytest said of it. A test that is
        skipped has not failed.

    Raises:
        UsageError: the suite has no such case.

    Since 0.1.
    """
    known = [name for name in dir(suite) if name.startswith("test")]
    for case in cases:
        if case not in known:
            raise UsageError(
                f"{suite.__name__} has no case '{case}'",
                where="failures",
                hint=did_you_mean(case, known) or f"it has {len(known)} others",
            )
    recorder = _Recorder(suite, cases)
    # Beside the temporary files of pytest: 'no_leaks' takes modules from among these for leaks.
    with tempfile.TemporaryDirectory() as folder, _process_kept():
        file = Path(folder, f"{_MODULE}.py")
        file.write_text("")
        Path(folder, "pytest.ini").write_text("[pytest]\n")
        words = [f"-pno:{name}" for name in _WITHOUT]
        words += ["-s", "--import-mode=importlib", "--rootdir", folder, "--basetemp"]
        words += [os.path.join(folder, "files"), str(file)]
        words += [f"--maxfail={enough or 0}"]
        code = pytest.main(words, plugins=[pytest_plugin, recorder])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise UsageError(
            f"{suite.__name__} cannot be run",
            where="failures",
            why="\n".join(recorder.broken) or f"pytest ends with {code!r}",
            hint="run it as an ordinary test first",
        )
    return recorder.failed


class _Recorder:
    """A plugin of pytest: lets it find the suite, chooses cases, and keeps what failed."""

    def __init__(self, suite: type, cases: tuple[str, ...]) -> None:
        self.failed: dict[str, str] = {}
        self.broken: list[str] = []
        self._suite = suite
        self._cases = cases

    def pytest_pycollect_makemodule(self, module_path: Path, parent: Any) -> Any:
        """Put the suite into the empty file."""
        if module_path.stem != _MODULE:
            return None
        module: Any = pytest.Module.from_parent(parent, path=module_path)
        module.obj.TestSuite = self._suite
        return module

    def pytest_collectreport(self, report: Any) -> None:
        """Keep why there is nothing to run."""
        if report.failed:
            self.broken.append(str(report.longrepr))

    def pytest_pycollect_makeitem(self, name: str) -> Any:
        """Leave out what is not asked for."""
        unwanted = self._cases and name.startswith("test") and name not in self._cases
        return [] if unwanted else None

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep a failure: of the test, or of what comes before and behind it."""
        if report.failed:
            name = report.nodeid.rpartition("::")[2]
            said = [self.failed[name]] if name in self.failed else []
            self.failed[name] = "\n".join([*said, report.longreprtext])


@contextmanager
def _process_kept() -> Iterator[None]:
    """Put back what a pytest within a pytest changes of the process."""
    name, loading = "PYTEST_CURRENT_TEST", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
    wishes = "PYTEST_ADDOPTS"  # what was asked of the pytest around it
    earlier = {n: os.environ.get(n) for n in (name, loading, wishes)}
    modules, path = set(sys.modules), list(sys.path)
    os.environ[loading] = "1"
    os.environ.pop(wishes, None)
    try:
        yield
    finally:
        sys.path[:] = path
        for module in [m for m in sys.modules if m not in modules and _MODULE in m]:
            del sys.modules[module]
        for variable, value in earlier.items():
            if value is None:
                os.environ.pop(variable, None)
            else:
                os.environ[variable] = value

"""The pytest plugin of flow-core: fixtures for testing flows and plugins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from flow_core.testing.flowtester import FlowTester


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

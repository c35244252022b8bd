"""Fixtures: flows run as processes, and what they left on the disk."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from flow_core.api import installed
from flow_core.testing import FlowTester, RunOutcome


@pytest.fixture
def left_by(flowtester: FlowTester) -> Callable[..., RunOutcome]:
    """Return what run ``run`` of ``flow`` left in the folder of the tester."""

    def look(run: int | str = 1, flow: str = "F") -> RunOutcome:
        root = str(flowtester.path / ".flow")
        store = installed().load("flow.stores", "local")(root)
        metadata = installed().load("flow.metadata", "local")(root)
        record = metadata.run(flow, str(run))
        metadata.close()
        state = record.state if record else None
        return RunOutcome(flow, store, metadata, state=state, run=str(run))

    return look


@pytest.fixture
def error() -> Callable[[str], dict[str, str]]:
    """Return the four parts of the last error in a text: ``{"error": …, "where": …, …}``."""

    def parse(text: str) -> dict[str, str]:
        assert "Traceback" not in text, text
        start = text.rindex("error: ")
        found = re.findall(r"^ *(error|where|why|try): +(.*)$", text[start:], re.MULTILINE)
        return dict(found)

    return parse

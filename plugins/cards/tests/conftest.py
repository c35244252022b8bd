"""A laboratory whose processes see flow-cards too."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow_core.testing import FlowTester


@pytest.fixture
def tester(flowtester: FlowTester) -> FlowTester:
    flowtester.more_plugins = ["cards"]
    return flowtester


@pytest.fixture
def pages(tester: FlowTester) -> Callable[..., dict[str, str]]:
    """Return a function: ``step/number-type-id`` → the page, of all cards of a run."""

    def read(run: int | str = 1, flow: str = "F") -> dict[str, str]:
        folder = tester.path / ".flow" / "runs" / flow / str(run)
        return {
            f"{p.parts[-5]}/{p.name.rpartition('-')[0]}": p.read_text()
            for p in sorted(folder.glob("*/*/*/cards/*.html"))
        }

    return read

"""What `flow_core.testing` offers by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flow_core.testing


def test_names_are_loaded_on_demand() -> None:
    code = "import sys, flow_core.testing as t; t.MemoryStore; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"], "the fakes are of use without pytest"


@pytest.mark.parametrize("name", flow_core.testing.__all__)
def test_each_name_is_there(name: str) -> None:
    assert getattr(flow_core.testing, name).__name__ == name


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        flow_core.testing.Nothing

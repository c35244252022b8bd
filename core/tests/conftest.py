"""What holds for all tests of the kernel."""

import pytest

from flow_core.testing.flowtester import main_kept


@pytest.fixture(autouse=True)
def main_is_kept():
    """A test that loads a flow file leaves no other ``__main__`` behind for later ones."""
    with main_kept():
        yield

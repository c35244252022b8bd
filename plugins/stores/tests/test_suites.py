"""The command passes the suite for commands."""

import pytest

from flow_core.testing import CommandSuite
from flow_stores.command import command as store


class TestStore(CommandSuite):
    examples = (("check",), ("check", "--json"), ("migrate", "local", "local://x", "--dry-run"))
    mistakes = (
        ("check", "nowhere://x"),
        ("migrate", "local", "local"),
        ("migrate", "local", "local://x", "--run", "SuiteFlow"),
    )

    @pytest.fixture
    def command(self):
        return store

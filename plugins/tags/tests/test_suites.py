"""The command passes the suite for commands."""

import pytest

from flow_core.testing import CommandSuite
from flow_tags.command import command as tag


class TestTag(CommandSuite):
    examples = (("list", "--run-id", "SuiteFlow/1"), ("add", "--run-id", "SuiteFlow/1", "a"))
    mistakes = (("add", "--run-id", "SuiteFlow/7", "a"), ("replace", "--run-id", "SuiteFlow/1"))

    @pytest.fixture
    def command(self):
        return tag

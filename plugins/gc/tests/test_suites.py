"""The command passes the suite for commands."""

import pytest

from flow_core.testing import CommandSuite
from flow_gc.command import command as gc


class TestGc(CommandSuite):
    examples = (("--dry-run",), ("--yes", "--keep-last", "0", "--flow", "SuiteFlow"))
    mistakes = (("--flow", "SuitFlow"), ("--older-than", "soon"), ("--keep-tagged",))

    @pytest.fixture
    def command(self):
        return gc

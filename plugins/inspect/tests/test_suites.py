"""The commands pass the suite for commands."""

import pytest

from flow_core.testing import CommandSuite
from flow_inspect import check, dump, logs, output_dot, reindex, runs, show, status, tasks, why


class TestCheck(CommandSuite):
    @pytest.fixture
    def command(self):
        return check.command


class TestDump(CommandSuite):
    examples = (("SuiteFlow/1/end",),)
    mistakes = (("SuiteFlow/7",), ("SuiteFlow/1/ende",))

    @pytest.fixture
    def command(self):
        return dump.command


class TestLogs(CommandSuite):
    examples = (("SuiteFlow/1/work",),)
    mistakes = (("SuiteFlow/7",),)

    @pytest.fixture
    def command(self):
        return logs.command


class TestOutputDot(CommandSuite):
    @pytest.fixture
    def command(self):
        return output_dot.command


class TestReindex(CommandSuite):
    @pytest.fixture
    def command(self):
        return reindex.command


class TestRuns(CommandSuite):
    examples = ((), ("SuiteFlow",))

    @pytest.fixture
    def command(self):
        return runs.command


class TestShow(CommandSuite):
    @pytest.fixture
    def command(self):
        return show.command


class TestStatus(CommandSuite):
    @pytest.fixture
    def command(self):
        return status.command


class TestVersion(CommandSuite):
    @pytest.fixture
    def command(self):
        return status.version


class TestTasks(CommandSuite):
    examples = (("SuiteFlow/1",),)
    mistakes = (("SuiteFlow/7",),)

    @pytest.fixture
    def command(self):
        return tasks.command


class TestWhy(CommandSuite):
    examples = (("SuiteFlow/1",),)
    mistakes = (("SuiteFlow/7",),)

    @pytest.fixture
    def command(self):
        return why.command

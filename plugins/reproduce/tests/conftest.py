"""A folder with a finished run of a flow that has all that a run may depend on, run once more."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pytest

from flow_core.testing import FlowTester, ProcessResult

SOURCE = '''
    import enum
    import random
    from dataclasses import dataclass

    import helper
    from flow_core import (
        Config, FlowSpec, IncludeFile, JSONType, Parameter, cache, catch, retry, step
    )


    class Colour(enum.Enum):
        RED = "red"


    @dataclass
    class Row:
        number: int

        def twice(self):
            return 2 * self.number


    class F(FlowSpec):
        """Run again."""

        alpha = Parameter("alpha", default=2)
        weights = Parameter("weights", type=JSONType, default="[1]")
        text = IncludeFile("text", default="data.txt")
        settings = Config("settings", default_value={"k": 1})

        @step
        def start(self):
            self.rows = [Row(self.alpha), Row(self.settings.k)]
            self.colour = Colour.RED
            self.lines = self.text.split()
            self.double = lambda row: row.twice()
            self.next(self.train, foreach="weights")

        @cache
        @step
        def train(self):
            print("trained")
            self.score = self.double(self.rows[0]) * self.input + helper.K
            self.next(self.join)

        @step
        def join(self, inputs):
            self.scores = [i.score for i in inputs]
            self.next(self.words)

        @step
        def words(self):
            self.set = {"a", "b", "c", "d", "e", "f", "g", "h"}
            self.next(self.risky)

        @catch(var="failure")
        @retry(times=1, minutes_between_retries=0)
        @step
        def risky(self):
            if self.scores:
                raise ValueError("always")
            self.next(self.chance)

        @step
        def chance(self):
            self.number = random.random()
            self.next(self.end)

        @step
        def end(self):
            self.text_again = str(self.number)


    if __name__ == "__main__":
        F()
'''


class Lab(NamedTuple):
    """The folder, with run 1, and run 2, which was made by `again`."""

    tester: FlowTester
    again: ProcessResult

    def data(self, *arguments: str) -> dict[str, Any]:
        """Return what ``flow reproduce ARGUMENTS --json`` prints."""
        done = self.tester.flow("reproduce", *arguments, "--json")
        found: dict[str, Any] = json.loads(done.stdout)
        return found


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """Between run 1 and its reproduction the folder's code, data and settings change."""
    tester = FlowTester(tmp_path_factory.mktemp("reproduce"))
    file = tester.write(SOURCE)
    (tester.path / "helper.py").write_text("K = 3\n")
    (tester.path / "data.txt").write_text("one two")
    given = ["--config-value", "settings", '{"k": 5}', "--alpha", "7", "--weights", "[1, 2]"]
    tester.python(file, "run", *given, "--with", "timeout:seconds=60", "--tag", "mine").check()
    file.write_text("raise SystemExit('today is another day')\n")
    (tester.path / "helper.py").write_text("K = 4\n")
    (tester.path / "data.txt").write_text("three")
    (tester.path / "pyproject.toml").write_text("[tool.flow]\nmax_workers = 1\n")
    return Lab(tester, tester.flow("reproduce", "F/1", variables={"NO_COLOR": "1"}))

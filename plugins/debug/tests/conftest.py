"""A folder with finished runs of a flow, which all tests of a module look at."""

from __future__ import annotations

import pytest

from flow_core.testing import FlowTester

SOURCE = """
    import json
    import os
    from flow_core import FlowSpec, Parameter, catch, current, environment, step
    from helper import halve


    class F(FlowSpec):
        alpha = Parameter("alpha", default=3)

        @step
        def start(self):
            self.items = [4, 5, 6]
            self.next(self.train, foreach="items")

        @environment(vars={"COLOUR": "blue"})
        @step
        def train(self):
            self.seen = self.input
            self.half = halve(self.input)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.parse)

        @step
        def parse(self):
            json.loads("{")
            self.next(self.end)

        @step
        def end(self):
            pass


    if __name__ == "__main__":
        F()
"""

HELPER = """
    def halve(number):
        if number % 2:
            raise ValueError(f"{number} is odd")
        return number // 2
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FlowTester:
    """Run 1 of F has failed in ``train``; run 2 in ``parse``."""
    lab = FlowTester(tmp_path_factory.mktemp("debug"))
    lab.more_plugins = ["environment"]
    source = (
        SOURCE
        if has_environment()
        else SOURCE.replace('        @environment(vars={"COLOUR": "blue"})\n', "").replace(
            " environment,", ""
        )
    )
    file = lab.write(source)
    lab.write(HELPER, "helper.py")
    assert lab.python(file, "run").returncode == 1
    lab.write("def halve(number):\n    return number / 2\n", "helper.py")
    assert lab.python(file, "run").returncode == 1
    return lab


def has_environment() -> bool:
    """Whether the decorator is there."""
    from flow_core.api import installed

    return "environment" in installed().names("flow.decorators")

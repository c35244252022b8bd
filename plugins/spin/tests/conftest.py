"""A folder with finished runs of a flow, which all tests of a module look at."""

from __future__ import annotations

import pytest

from flow_core.testing import FlowTester

SOURCE = '''
    import os
    from flow_core import FlowSpec, IncludeFile, Parameter, catch, current, retry, step


    class F(FlowSpec):
        """All constructs."""

        learning_rate = Parameter("learning-rate", default=2)

        @step
        def start(self):
            self.items = [1, 2, 3]
            self.big = list(range(5000))
            self.next(self.train, foreach="items")

        @retry(times=0)
        @step
        def train(self):
            print("training", self.input, self.index, "at", self.learning_rate)
            self.score = self.input * self.learning_rate
            if self.input == 2 and os.path.exists("trouble"):
                raise ValueError("no luck")
            self.next(self.join)

        @step
        def join(self, inputs):
            self.scores = [i.score for i in inputs]
            self.merge_artifacts(inputs, include=["big"])
            self.count = 0
            self.next(self.again)

        @step
        def again(self):
            self.count += 1
            self.mode = "more" if self.count < 3 else "done"
            self.next({"more": self.again, "done": self.choose}, condition="mode")

        @step
        def choose(self):
            self.way = "left"
            self.next({"left": self.left, "right": self.right}, condition="way")

        @step
        def left(self):
            self.which = "left"
            self.next(self.end)

        @step
        def right(self):
            self.which = "right"
            self.next(self.end)

        @step
        def end(self):
            self.facts = [current.run_id, current.origin_run_id, current.pathspec]


    if __name__ == "__main__":
        F()
'''


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FlowTester:
    """Run 1 of F has failed in ``train``; run 2 is good."""
    lab = FlowTester(tmp_path_factory.mktemp("spin"))
    file = lab.write(SOURCE)
    (lab.path / "trouble").touch()
    assert lab.python(file, "run").returncode == 1
    (lab.path / "trouble").unlink()
    lab.python(file, "run").check()
    return lab

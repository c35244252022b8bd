"""A folder with finished runs of a flow, which all tests of a module look at."""

from __future__ import annotations

import pytest

from flow_core.testing import FlowTester

SOURCE = '''
    from flow_core import FlowSpec, Parameter, step


    class F(FlowSpec):
        """Compared."""

        alpha = Parameter("alpha", default=2)
        SIZE = 3

        @step
        def start(self):
            self.items = list(range(self.SIZE))
            self.common = [1] * 5000
            self.next(self.train, foreach="items")

        @step
        def train(self):
            self.score = self.input * self.alpha
            self.next(self.join)

        @step
        def join(self, inputs):
            self.merge_artifacts(inputs, include=["common"])
            self.scores = [i.score for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass


    if __name__ == "__main__":
        F()
'''


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> FlowTester:
    """Runs 1 and 2 are alike; run 3 has another parameter, run 4 also other code."""
    lab = FlowTester(tmp_path_factory.mktemp("code"))
    file = lab.write(SOURCE)
    lab.write("x = 1\ny = 2\n", "lib/helper.py")
    for arguments in ([], [], ["--alpha", "5"]):
        lab.python(file, "run", *arguments).check()
    file.write_text(file.read_text().replace("SIZE = 3", "SIZE = 4"))
    (lab.path / "lib/helper.py").write_text("x = 1\ny = 3")
    lab.write("new = True\n", "lib/more.py")
    lab.python(file, "run", "--alpha", "5", "--tag", "big").check()
    return lab

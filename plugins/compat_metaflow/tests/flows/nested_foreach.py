"""A grid of two foreaches, one in the other."""

from metaflow import FlowSpec, current, step

EXPECTED = {
    "table": {"a": [("a", 1, 0, 0), ("a", 2, 0, 1)], "b": [("b", 1, 1, 0), ("b", 2, 1, 1)]},
    "stacks": [[(0, 2, "a"), (0, 2, 1)], [(0, 2, "a"), (1, 2, 2)]],
}


class GridFlow(FlowSpec):
    @step
    def start(self):
        self.letters = ["a", "b"]
        self.next(self.outer, foreach="letters")

    @step
    def outer(self):
        self.letter = self.input
        self.numbers = [1, 2]
        self.next(self.inner, foreach="numbers")

    @step
    def inner(self):
        self.stack = self.foreach_stack()
        self.cell = (self.letter, self.input, self.stack[0][0], self.index)
        assert current.step_name == "inner"
        self.next(self.inner_join)

    @step
    def inner_join(self, inputs):
        self.row = [inp.cell for inp in inputs]
        self.row_stacks = [inp.stack for inp in inputs]
        self.merge_artifacts(inputs, exclude=["stack", "cell"])
        self.next(self.outer_join)

    @step
    def outer_join(self, inputs):
        self.table = {inp.letter: inp.row for inp in inputs}
        self.stacks = inputs[0].row_stacks
        self.next(self.end)

    @step
    def end(self):
        assert self.index is None
        assert self.input is None
        assert self.foreach_stack() == []


if __name__ == "__main__":
    GridFlow()

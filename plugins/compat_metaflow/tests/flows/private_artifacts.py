"""Names that begin with an underscore, mutable state, aliases."""

from metaflow import FlowSpec, step

EXPECTED = {"secret": 3, "grown": [1, 2, 3], "apart": ([1, 9], [1])}


class PrivateFlow(FlowSpec):
    @step
    def start(self):
        self._private = 3
        self.grown = [1]
        shared = [1]
        self.left = shared
        self.right = shared
        self.next(self.middle)

    @step
    def middle(self):
        self.grown.append(2)  # a change in place is kept
        self.left.append(9)  # aliases are independent after a step
        self.next(self.end)

    @step
    def end(self):
        self.secret = self._private
        self.grown.append(3)
        self.apart = (self.left, self.right)


if __name__ == "__main__":
    PrivateFlow()

"""Five steps with a branch, to be shown."""

from flow_core import FlowSpec, Parameter, step


class Five(FlowSpec):
    """Split, work on both sides, and join."""

    alpha = Parameter("alpha", default=1, help="a number")

    @step
    def start(self):
        """Begin."""
        self.next(self.left, self.right)

    @step
    def left(self):
        """One side."""
        self.next(self.join)

    @step
    def right(self):
        """The other side."""
        self.next(self.join)

    @step
    def join(self, inputs):
        """Both sides meet."""
        self.next(self.end)

    @step
    def end(self):
        """Done."""


if __name__ == "__main__":
    Five()

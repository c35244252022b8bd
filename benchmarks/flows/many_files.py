"""A flow whose code is in many files."""

from flow_core import FlowSpec, step


class Big(FlowSpec):
    """Two steps; the first uses a module of a package beside it."""

    @step
    def start(self):
        """Import it."""
        from part0 import m1

        self.answer = m1.f1(1)
        self.next(self.end)

    @step
    def end(self):
        """End."""


if __name__ == "__main__":
    Big()

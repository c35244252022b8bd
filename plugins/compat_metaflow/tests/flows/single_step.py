"""A flow of one step."""

from metaflow import FlowSpec, step

EXPECTED = {"x": 1}


class SingleFlow(FlowSpec):
    @step(start=True, end=True)
    def only(self):
        self.x = 1


if __name__ == "__main__":
    SingleFlow()

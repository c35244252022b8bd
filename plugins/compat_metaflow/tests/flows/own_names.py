"""First and last steps of other names."""

from metaflow import FlowSpec, step

EXPECTED = {"steps": ["load", "save"], "x": 2}


class NamesFlow(FlowSpec):
    @step(start=True)
    def load(self):
        self.steps = ["load"]
        self.next(self.save)

    @step(end=True)
    def save(self):
        self.x = 2
        self.steps.append("save")


if __name__ == "__main__":
    NamesFlow()

"""Three linear steps that do nothing, each in another environment."""

from flow_core import FlowSpec, pypi, step


class ThreeApart(FlowSpec):
    @pypi(packages={"one": "1.0"})
    @step
    def start(self):
        self.next(self.middle)

    @pypi(packages={"one": "2.0"})
    @step
    def middle(self):
        self.next(self.end)

    @pypi(packages={"one": "3.0"})
    @step
    def end(self):
        pass


if __name__ == "__main__":
    ThreeApart()

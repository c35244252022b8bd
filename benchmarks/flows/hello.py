"""Three linear steps that do nothing."""

from flow_core import FlowSpec, step


class Hello(FlowSpec):
    @step
    def start(self):
        self.next(self.middle)

    @step
    def middle(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Hello()

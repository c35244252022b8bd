"""A foreach of trivial tasks, and a join that reads one small artifact of each."""

from flow_core import FlowSpec, Parameter, step


class Each(FlowSpec):
    count = Parameter("count", default=300, type=int)

    @step
    def start(self):
        self.items = list(range(self.count))
        self.next(self.body, foreach="items")

    @step
    def body(self):
        self.x = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(one.x for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        assert self.total == self.count * (self.count - 1) // 2


if __name__ == "__main__":
    Each()

"""A foreach of trivial tasks, all of them in one environment of their own."""

from flow_core import FlowSpec, Parameter, pypi, step


class EachApart(FlowSpec):
    count = Parameter("count", default=200, type=int)

    @step
    def start(self):
        self.items = list(range(self.count))
        self.next(self.body, foreach="items")

    @pypi
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
    EachApart()

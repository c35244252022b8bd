"""A foreach whose tasks run on Kubernetes, for as long as the cluster lets them."""

from flow_core import FlowSpec, Parameter, kubernetes, step


class EachElsewhere(FlowSpec):
    count = Parameter("count", default=20, type=int)

    @step
    def start(self):
        self.items = list(range(self.count))
        self.next(self.body, foreach="items")

    @kubernetes(image="python:3.11")
    @step
    def body(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    EachElsewhere()

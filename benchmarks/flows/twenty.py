"""A foreach whose tasks keep twenty artifacts each: numbers, text, and tables as lists."""

from flow_core import FlowSpec, Parameter, step


class Twenty(FlowSpec):
    count = Parameter("count", default=100, type=int)

    @step
    def start(self):
        self.items = list(range(self.count))
        self.next(self.body, foreach="items")

    @step
    def body(self):
        for n in range(8):
            setattr(self, f"number_{n}", self.input * n / 7)
            setattr(self, f"text_{n}", f"what was found for item {self.input}, part {n}; " * 3)
        for n in range(4):
            setattr(self, f"table_{n}", [{"row": i, "square": i * i} for i in range(20)])
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(one.number_7 for one in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Twenty()

"""Steps, parameters, constants and helpers in base classes."""

from metaflow import FlowSpec, Parameter, step

EXPECTED = {"result": 42, "factor": 6, "trail": ["start", "work", "end"], "doubled": 84}


class Base(FlowSpec):
    factor = Parameter("factor", default=2)
    base = 7

    @property
    def product(self):
        return self.factor * self.base

    def note(self, name):
        self.trail = [*getattr(self, "trail", []), name]

    @step
    def start(self):
        self.note("start")
        self.next(self.work)

    @step
    def work(self):
        raise NotImplementedError
        self.next(self.end)

    @step
    def end(self):
        self.note("end")
        self.doubled = double(self.result)


class Middle(Base):
    factor = Parameter("factor", default=6)


class InheritingFlow(Middle):
    @step
    def work(self):
        self.note("work")
        self.result = self.product
        self.next(self.end)


def double(x):
    return 2 * x


if __name__ == "__main__":
    InheritingFlow()

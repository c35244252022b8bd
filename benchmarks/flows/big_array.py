"""One step makes a big array, another one reads it; with ``--keep 0`` it is not an artifact."""

import numpy

from flow_core import FlowSpec, Parameter, step


class Array(FlowSpec):
    size = Parameter("size", default=1 << 26, type=int, help="numbers of 8 bytes")
    keep = Parameter("keep", default=1, type=int)

    @step
    def start(self):
        array = numpy.arange(self.size, dtype="float64")
        if self.keep:
            self.array = array
        self.next(self.read)

    @step
    def read(self):
        self.last = float(self.array[-1]) if self.keep else self.size - 1.0
        self.next(self.end)

    @step
    def end(self):
        assert self.last == self.size - 1


if __name__ == "__main__":
    Array()

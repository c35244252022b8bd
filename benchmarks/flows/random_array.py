"""One step makes an array of random numbers, another one reads it; ``--keep 0``: no artifact."""

import numpy

from flow_core import FlowSpec, Parameter, step


class RandomArray(FlowSpec):
    size = Parameter("size", default=1 << 26, type=int, help="numbers of 8 bytes")
    keep = Parameter("keep", default=1, type=int)
    seed = Parameter("seed", default=0, type=int)

    @step
    def start(self):
        array = numpy.random.default_rng(self.seed).random(self.size)
        self.first = float(array[0])
        if self.keep:
            self.array = array
        self.next(self.read)

    @step
    def read(self):
        self.seen = float(self.array[0]) if self.keep else self.first
        self.next(self.end)

    @step
    def end(self):
        assert self.seen == self.first


if __name__ == "__main__":
    RandomArray()

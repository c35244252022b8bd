"""How fast a later step reads an array that lies mapped in the store."""

import time

import numpy

from flow_core import FlowSpec, Parameter, step


def best(action):
    """Return the shortest of five durations."""
    durations = []
    for _ in range(5):
        begin = time.perf_counter()
        action()
        durations.append(time.perf_counter() - begin)
    return min(durations)


class Mapped(FlowSpec):
    size = Parameter("size", default=1 << 26, type=int, help="numbers of 8 bytes")

    @step
    def start(self):
        self.array = numpy.arange(self.size, dtype="float64")
        self.next(self.read)

    @step
    def read(self):
        begin = time.perf_counter()
        array = self.array
        self.open_seconds = time.perf_counter() - begin
        self.mapped_seconds = best(array.sum)
        copy = array.copy()
        self.memory_seconds = best(copy.sum)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Mapped()

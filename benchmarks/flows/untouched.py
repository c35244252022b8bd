"""An artifact that ten later steps never read."""

import numpy

from flow_core import FlowSpec, Parameter, step


class Untouched(FlowSpec):
    size = Parameter("size", default=1 << 30, type=int, help="bytes")

    @step
    def start(self):
        self.ballast = numpy.ones(self.size, dtype="uint8")
        self.next(self.s1)

    @step
    def s1(self):
        self.next(self.s2)

    @step
    def s2(self):
        self.next(self.s3)

    @step
    def s3(self):
        self.next(self.s4)

    @step
    def s4(self):
        self.next(self.s5)

    @step
    def s5(self):
        self.next(self.s6)

    @step
    def s6(self):
        self.next(self.s7)

    @step
    def s7(self):
        self.next(self.s8)

    @step
    def s8(self):
        self.next(self.s9)

    @step
    def s9(self):
        self.next(self.s10)

    @step
    def s10(self):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    Untouched()

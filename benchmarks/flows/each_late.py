"""A foreach whose tasks say how long ago their cluster started the job."""

import os
import time

from flow_core import FlowSpec, Parameter, step


class EachLate(FlowSpec):
    count = Parameter("count", default=20, type=int)

    @step
    def start(self):
        self.items = list(range(self.count))
        self.next(self.body, foreach="items")

    @step
    def body(self):
        self.late = time.time() - float(os.environ["BENCH_JOB_STARTED"])
        self.next(self.join)

    @step
    def join(self, inputs):
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    EachLate()

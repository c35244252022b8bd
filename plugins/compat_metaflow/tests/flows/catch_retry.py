"""Failures that are caught: an exception, and a process that dies."""

import os

from metaflow import FlowSpec, catch, retry, step

EXPECTED = {
    "kinds": [None, "builtins.ZeroDivisionError"],
    "message": "division by zero",
    "kept": [1, 2],
    "died": True,
    "attempts": 2,
}


class CatchFlow(FlowSpec):
    @step
    def start(self):
        self.divisors = [2, 0]
        self.next(self.divide, foreach="divisors")

    @catch(var="divide_failed", print_exception=False)
    @retry(times=0)
    @step
    def divide(self):
        self.before = self.index + 1
        self.result = 10 / self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        failures = [inp.divide_failed for inp in inputs]
        self.kinds = [f.type if f else None for f in failures]
        self.message = failures[1].exception
        assert "ZeroDivisionError" in failures[1].stacktrace
        assert "ZeroDivisionError" in str(failures[1])
        self.kept = [inp.before for inp in inputs]
        self.next(self.dies)

    @catch(var="death")
    @step
    def dies(self):
        os._exit(3)
        self.next(self.flaky)

    @retry(times=3, minutes_between_retries=0)
    @step
    def flaky(self):
        from metaflow import current

        if current.retry_count < 2:
            raise OSError("the network is down")
        self.attempts = current.retry_count
        self.next(self.end)

    @step
    def end(self):
        self.died = bool(self.death)


if __name__ == "__main__":
    CatchFlow()

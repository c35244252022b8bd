"""Resources, environment variables, time limits and secrets."""

import os
import time

from metaflow import FlowSpec, catch, environment, resources, secrets, step, timeout

EXPECTED = {"var": "value", "secret": 4, "late": True}


class LifecycleFlow(FlowSpec):
    @environment(vars={"MY_VAR": "value"})
    @resources(cpu=1, memory=100)
    @step
    def start(self):
        self.var = os.environ["MY_VAR"]
        self.next(self.secretive)

    @secrets(
        sources=[{"type": "inline", "id": "x", "options": {"env_vars": {"MY_SECRET": "s3cr"}}}]
    )
    @step
    def secretive(self):
        self.secret = len(os.environ["MY_SECRET"])
        self.next(self.slow)

    @catch(var="failure", print_exception=False)
    @timeout(seconds=1)
    @step
    def slow(self):
        time.sleep(20)
        self.next(self.end)

    @step
    def end(self):
        print(repr(self.failure.type))
        self.late = "imeout" in self.failure.type


if __name__ == "__main__":
    LifecycleFlow()

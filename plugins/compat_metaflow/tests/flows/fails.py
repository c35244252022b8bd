"""A flow that fails for good, after two attempts."""

from metaflow import FlowSpec, current, retry, step

EXIT = 1
EXPECTED = None


class FailingFlow(FlowSpec):
    @step
    def start(self):
        self.x = 1
        self.next(self.work)

    @retry(times=1, minutes_between_retries=0)
    @step
    def work(self):
        self.attempt = current.retry_count
        raise ValueError("no luck")
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    FailingFlow()

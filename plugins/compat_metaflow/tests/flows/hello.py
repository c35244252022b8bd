"""The first flow that everybody writes."""

from metaflow import FlowSpec, step

EXPECTED = {"message": "hello world", "name": "HelloFlow"}


class HelloFlow(FlowSpec):
    """
    A flow that says hello.

    Run it to see whether all is well.
    """

    @step
    def start(self):
        """
        Every flow begins here.
        """
        print("HelloFlow is starting.")
        self.next(self.hello)

    @step
    def hello(self):
        """
        The step that says it.
        """
        self.message = "hello world"
        print("Metaflow says: Hi!")
        self.next(self.end)

    @step
    def end(self):
        print("HelloFlow is all done.")


if __name__ == "__main__":
    HelloFlow()

"""A file that is no text."""

from metaflow import FlowSpec, IncludeFile, step

EXPECTED = {"size": 130, "lines": 6}


class BinaryFileFlow(FlowSpec):
    raw = IncludeFile("raw", is_text=False, default="movies.csv", required=False)
    text = IncludeFile("text", required=False, is_text=True, encoding="utf-8", default="movies.csv")

    @step
    def start(self):
        assert isinstance(self.raw, bytes)
        self.size = len(self.raw)
        self.lines = len(self.text.splitlines())
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    BinaryFileFlow()

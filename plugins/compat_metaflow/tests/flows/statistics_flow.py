"""Statistics over a table: a foreach over its genres, joined into one result."""

import csv
import io
import statistics

from metaflow import FlowSpec, IncludeFile, Parameter, step

ARGUMENTS = "run --least 50"
EXPECTED = {
    "genres": ["Action", "Comedy", "Drama"],
    "medians": {"Action": 300, "Comedy": 160.0, "Drama": 80},
    "least": 50,
}


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


class StatisticsFlow(FlowSpec):
    """Computes the median gross of each genre."""

    table = IncludeFile("table", help="The path to a movie table.", default="movies.csv")
    least = Parameter("least", help="Leave out what earned less.", default=0)

    @step
    def start(self):
        self.rows = [r for r in rows_of(self.table) if int(r["gross"]) >= self.least]
        self.genres = sorted({r["genre"] for r in self.rows})
        self.next(self.compute, foreach="genres")

    @step
    def compute(self):
        self.genre = self.input
        print("Computing statistics for %s" % self.genre)
        self.median = statistics.median(
            int(r["gross"]) for r in self.rows if r["genre"] == self.genre
        )
        self.next(self.join)

    @step
    def join(self, inputs):
        self.medians = {inp.genre: inp.median for inp in inputs}
        self.merge_artifacts(inputs, include=["genres"])
        self.next(self.end)

    @step
    def end(self):
        print(self.medians)


if __name__ == "__main__":
    StatisticsFlow()

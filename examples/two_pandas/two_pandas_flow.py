"""Quartiles of what films earned, with pandas 2 and with pandas 3, and in what the two differ."""

from __future__ import annotations

import io

from flow_core import FlowSpec, IncludeFile, pypi, step


class TwoPandasFlow(FlowSpec):
    """Compute one table with two versions of pandas, each in a step with packages of its own.

    Between the steps go plain values, which every Python reads. A data frame is for the pandas that
    made it: the other one may not be able to read it.
    """

    movies = IncludeFile("movies", default="../movies/movies.csv", help="CSV file with the films")

    @step
    def start(self):
        """Count the films; this step needs no package."""
        self.films = self.movies.count("\n") - 1
        self.next(self.old, self.new)

    @pypi(packages={"pandas": "2.*"})
    @step
    def old(self):
        """Compute the table as it was."""
        self.compute()
        self.next(self.compare)

    @pypi(packages={"pandas": "3.*"})
    @step
    def new(self):
        """Compute it with the next version."""
        self.compute()
        self.next(self.compare)

    def compute(self):
        """Set the quartiles of each genre as plain numbers, and what pandas says of itself."""
        import pandas as pd  # inside of the steps: the others have none

        films = pd.read_csv(io.StringIO(self.movies))
        films["worldwide_gross"] = pd.to_numeric(films["worldwide_gross"], errors="coerce")
        known = films[films["worldwide_gross"] > 0]
        quartiles = known.groupby("major_genre")["worldwide_gross"].quantile([0.25, 0.5, 0.75])
        self.table = {
            genre: [float(value) for value in row]
            for genre, row in quartiles.unstack().round(2).iterrows()
        }
        self.pandas = pd.__version__
        self.text_type = str(films["major_genre"].dtype)

    @step
    def compare(self, inputs):
        """Compare what both came to."""
        self.merge_artifacts(inputs, include=["films"])
        self.pandas = [inputs.old.pandas, inputs.new.pandas]
        self.text_types = [inputs.old.text_type, inputs.new.text_type]
        old, new = inputs.old.table, inputs.new.table
        self.differing = sorted(g for g in {*old, *new} if old.get(g) != new.get(g))
        self.table = new
        self.next(self.end)

    @step
    def end(self):
        """Say what came out."""
        print(f"pandas {self.pandas[0]} and {self.pandas[1]}: {len(self.table)} genres, ", end="")
        print(f"{len(self.differing)} of them differ")
        print(f"texts are {self.text_types[0]} there, {self.text_types[1]} here")


if __name__ == "__main__":
    TwoPandasFlow()

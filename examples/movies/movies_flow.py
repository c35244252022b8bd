"""Quartiles of what films earned, genre by genre, from a table with real faults."""

from __future__ import annotations

import io

import pandas as pd

from flow_cards import Markdown, Table, ValueBox, VegaChart
from flow_core import FlowSpec, IncludeFile, Parameter, card, catch, current, retry, step

NO_GENRE = "(no genre)"


class MoviesFlow(FlowSpec):
    """Compute the quartiles of the worldwide gross of 3,201 films, one task for each genre.

    Films without a genre form a group of their own, which the step refuses: the failure is tried
    again, caught, and named in the report. Each genre leaves a card with a histogram, the join one
    with the table of all.
    """

    movies = IncludeFile("movies", default="movies.csv", help="CSV file with the films")
    smallest = Parameter("smallest", default=1, help="genres with fewer grosses are left out")

    @step
    def start(self):
        """Read the table and find its genres."""
        films = pd.read_csv(io.StringIO(self.movies))
        # Missing and zero grosses both mean "not known" in this table.
        films["worldwide_gross"] = pd.to_numeric(films["worldwide_gross"], errors="coerce")
        self.films = films.assign(major_genre=films["major_genre"].fillna(NO_GENRE))
        self.genres = sorted(self.films["major_genre"].unique())
        print(f"{len(films):,} films in {len(self.genres)} groups")
        self.next(self.quartiles, foreach="genres")

    @card
    @catch(var="refused")
    @retry(times=2)
    @step
    def quartiles(self):
        """Compute the quartiles of one genre."""
        self.genre = self.input
        if self.genre == NO_GENRE:
            count = int((self.films["major_genre"] == NO_GENRE).sum())
            raise ValueError(
                f"{count} films have no genre (attempt {current.retry_count + 1} of 3)"
            )
        gross = self.films.loc[self.films["major_genre"] == self.genre, "worldwide_gross"]
        known = gross[gross > 0]
        self.count, self.unknown = len(known), len(gross) - len(known)
        self.quartile_values = known.quantile([0.25, 0.5, 0.75]).tolist()
        current.card.extend(self.histogram(known / 1e6))
        self.next(self.join)

    def histogram(self, millions):
        """Return what the card of a genre shows first: how many films earned how much."""
        return [
            Markdown(f"# {self.genre}"),
            ValueBox("films with a known gross", self.count, f"{self.unknown} without"),
            ValueBox("median, millions of dollars", round(millions.median(), 1)),
            VegaChart(
                {
                    "data": {"values": [{"gross": gross} for gross in millions.round(3).tolist()]},
                    "mark": "bar",
                    "encoding": {
                        "x": {
                            "bin": {"maxbins": 40},
                            "field": "gross",
                            "title": "worldwide gross, millions of dollars",
                        },
                        "y": {"aggregate": "count", "title": "films"},
                    },
                },
                title="How much these films earned",
            ),
        ]

    @card
    @step
    def join(self, inputs):
        """Collect the genres into one table."""
        good = [i for i in inputs if i.refused is None and i.count >= self.smallest]
        self.refused_groups = {i.genre: str(i.refused) for i in inputs if i.refused is not None}
        self.table = pd.DataFrame(
            [(i.genre, i.count, i.unknown, *i.quartile_values) for i in good],
            columns=["genre", "films", "unknown", "q1", "median", "q3"],
        ).sort_values("median", ascending=False, ignore_index=True)
        current.card.append(Markdown("# Worldwide gross by genre, millions of dollars"))
        current.card.append(Table(in_millions(self.table)))
        self.next(self.end)

    @step
    def end(self):
        """Say how many genres there are."""
        print(f"{len(self.table)} genres, {len(self.refused_groups)} group refused")


def in_millions(table):
    """Return the table with its quartiles in millions of dollars."""
    quartiles = ["q1", "median", "q3"]
    return table.assign(**(table[quartiles] / 1e6).round(1))


if __name__ == "__main__":
    MoviesFlow()

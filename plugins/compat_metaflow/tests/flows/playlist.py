"""A playlist from two branches: the best of a genre, and a surprise."""

import csv
import random

from metaflow import FlowSpec, IncludeFile, Parameter, step

ARGUMENTS = "run --genre Comedy --recommendations 1"
EXPECTED = {"playlist": ["Gamma"], "bonus": ("Epsilon", "Action"), "hint": "seven", "seed": 7}


class PlayListFlow(FlowSpec):
    movie_data = IncludeFile("movie_data", default="movies.csv")
    genre = Parameter("genre", help="Filter movies for a particular genre.", default="Drama")
    hint = Parameter("hint", help="Give a hint to the bonus movie.", default="seven")
    recommendations = Parameter("recommendations", default=5, type=int)
    seed = 7

    @step
    def start(self):
        self.rows = list(csv.DictReader(self.movie_data.splitlines()))
        self.next(self.bonus_movie, self.genre_movies)

    @step
    def bonus_movie(self):
        others = sorted(
            (r for r in self.rows if r["genre"] != self.genre), key=lambda r: -int(r["gross"])
        )
        random.seed(self.seed)
        self.bonus = (others[0]["title"], others[0]["genre"])
        self.next(self.join)

    @step
    def genre_movies(self):
        found = [r for r in self.rows if r["genre"] == self.genre]
        self.movies = [r["title"] for r in sorted(found, key=lambda r: -int(r["gross"]))]
        self.next(self.join)

    @step
    def join(self, inputs):
        self.playlist = inputs.genre_movies.movies[: self.recommendations]
        self.bonus = inputs.bonus_movie.bonus
        self.next(self.end)

    @step
    def end(self):
        for place, title in enumerate(self.playlist, 1):
            print(f"Pick {place}: {title}")


if __name__ == "__main__":
    PlayListFlow()

"""Keep the best model there was: each run trains a challenger of the champion of earlier runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics import mean_absolute_error
from vega_datasets import local_data

from flow_core import Flow, FlowSpec, Parameter, current, step

MEASURES = ["temp_max", "temp_min", "precipitation", "wind"]
MODELS = {
    "mean": DummyRegressor(),
    "ridge": Ridge(),
    "forest": RandomForestRegressor(60, min_samples_leaf=5, random_state=7),
}


@dataclass(frozen=True)
class Forecaster:
    """A model that forecasts tomorrow's highest temperature, and where it comes from."""

    kind: str
    model: Any
    trained_until: pd.Timestamp
    run: str

    def __str__(self) -> str:
        return f"{self.kind} of {self.run}, trained until {self.trained_until:%Y-%m-%d}"

    def forecast(self, weather: pd.DataFrame) -> np.ndarray:
        """Return, for each day of ``weather``, the highest temperature of the next day, in °C."""
        return self.model.predict(features(weather))


def features(weather: pd.DataFrame) -> np.ndarray:
    """Return what the models see of each day: its weather, and its place in the year."""
    turn = 2 * np.pi * weather.index.day_of_year.to_numpy() / 365.25
    return np.column_stack([weather[MEASURES], np.sin(turn), np.cos(turn)])


class ChampionFlow(FlowSpec):
    """Forecast tomorrow's highest temperature in Seattle.

    The challenger is trained on all days before the last ones; on those, it meets the champion: the
    forecaster that the latest successful run ended with. It has to be better by a margin.
    """

    model = Parameter("model", default="ridge", help="kind of the challenger: " + ", ".join(MODELS))
    until = Parameter("until", default="2014-06-30", help="the last day that is known")
    days = Parameter("days", default=90, help="on how many days the two are compared")
    margin = Parameter("margin", default=0.05, help="degrees by which a challenger must be better")

    @step
    def start(self):
        """Read the weather, and the champion of the latest successful run."""
        if self.model not in MODELS:
            raise ValueError(f"--model is one of {', '.join(MODELS)}, not '{self.model}'")
        weather = local_data.seattle_weather().set_index("date").loc[: self.until]
        self.tomorrow = weather["temp_max"].shift(-1).dropna()
        self.weather = weather.loc[self.tomorrow.index]
        latest = Flow(current.flow_name).latest_successful_run
        self.champion = latest.data.champion if latest else None
        print(f"{len(self.weather):,} days; the champion is", self.champion or "still to be found")
        self.next(self.train)

    @step
    def train(self):
        """Train the challenger on all days but the last ones."""
        known, temperatures = self.weather[: -self.days], self.tomorrow[: -self.days]
        model = MODELS[self.model].fit(features(known), temperatures)
        run = f"{current.flow_name}/{current.run_id}"
        self.challenger = Forecaster(self.model, model, known.index[-1], run)
        self.next(self.compare)

    @step
    def compare(self):
        """Let both forecast the last days; choose."""
        weather, temperatures = self.weather[-self.days :], self.tomorrow[-self.days :]
        self.error = mean_absolute_error(temperatures, self.challenger.forecast(weather))
        print(f"challenger: off by {self.error:.2f} °C  ({self.challenger})")
        self.champion_error = None
        if self.champion is not None:
            if self.champion.trained_until >= weather.index[0]:
                raise ValueError(
                    f"The champion was trained until {self.champion.trained_until:%Y-%m-%d} and has "
                    f"seen the days from {weather.index[0]:%Y-%m-%d}: compare on later days (--until)"
                )
            self.champion_error = mean_absolute_error(temperatures, self.champion.forecast(weather))
            print(f"champion:   off by {self.champion_error:.2f} °C  ({self.champion})")
        wins = self.champion_error is None or self.error < self.champion_error - self.margin
        self.verdict = "promote" if wins else "keep"
        self.next({"promote": self.promote, "keep": self.keep}, condition="verdict")

    @step
    def promote(self):
        """Make the challenger the champion."""
        self.champion = self.challenger
        current.run.add_tag("promoted")
        self.next(self.end)

    @step
    def keep(self):
        """Leave the champion what it is."""
        current.run.add_tag("kept")
        self.next(self.end)

    @step
    def end(self):
        """Say who is champion now: the next run reads it here."""
        print("Champion:", self.champion)


if __name__ == "__main__":
    ChampionFlow()

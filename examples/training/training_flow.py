"""A long training that goes on where it was interrupted."""

from __future__ import annotations

import os
import signal

import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from flow_cards import Markdown, ProgressBar, VegaChart
from flow_core import FlowSpec, Parameter, card, current, step

PROGRESS = 0.01  # of the error: less in some rounds, and the training ends
POINTS = 100  # of the curve in each round


class TrainingFlow(FlowSpec):
    """Train a network that foresees the course of diabetes.

    Each round of epochs is a task of the same step, and the network is its artifact: a checkpoint
    that needs no code of its own. The step repeats until more training no longer helps.
    """

    rounds = Parameter("rounds", default=20, help="at most so many rounds")
    epochs = Parameter("epochs", default=20, help="epochs of one round")
    patience = Parameter("patience", default=3, help="rounds in which there must be progress")
    crash_in = Parameter(
        "crash_in", default=-1, help="the round in which the process of the first run is killed"
    )
    seed = Parameter("seed", default=7, help="of the division of the patients and the network")

    @step
    def start(self):
        """Divide the patients, and begin with an untrained network."""
        measures, progression = load_diabetes(return_X_y=True)
        train, check, self.train_progression, self.check_progression = train_test_split(
            measures, progression, test_size=1 / 4, random_state=self.seed
        )
        scaler = StandardScaler().fit(train)
        self.train_measures, self.check_measures = scaler.transform(train), scaler.transform(check)
        self.network = MLPRegressor(
            hidden_layer_sizes=(32, 16), learning_rate_init=0.003, random_state=self.seed
        )
        self.best_network, self.errors, self.losses = None, [], []
        print(f"{len(train)} patients to train on, {len(check)} to check with")
        self.next(self.train)

    @card(type="blank")
    @step
    def train(self):
        """Go on for one round."""
        progress = ProgressBar(max=self.epochs, label=f"round {current.iteration}", unit="epochs")
        chart = VegaChart(loss_curve(self.losses), title="Loss")
        current.card.extend([Markdown("# How the training goes"), progress, chart])
        for epoch in range(self.epochs):
            self.network.partial_fit(self.train_measures, self.train_progression)
            if epoch % -(-self.epochs // POINTS) == 0:
                now = current.iteration * self.epochs + epoch
                self.losses.append({"epoch": now, "loss": float(self.network.loss_)})
                chart.update(loss_curve(self.losses))
            progress.update(epoch + 1)
            current.card.refresh()
            if epoch == self.epochs // 2:
                self._crash_on_purpose()
        difference = self.network.predict(self.check_measures) - self.check_progression
        error = float(np.sqrt(np.mean(difference**2)))
        bar = "█" * round(error / 4)
        print(f"round {current.iteration:>2}: off by {error:5.1f}  {bar}")
        if error < min(self.errors, default=np.inf):
            self.best_network = self.network
        self.errors.append(error)
        self.state = "again" if self._is_worth_more() else "done"
        self.next({"again": self.train, "done": self.end}, condition="state")

    def _crash_on_purpose(self):
        """Play a machine that dies; a resumed run finds it repaired."""
        if current.iteration == self.crash_in and current.origin_run_id is None:
            os.kill(os.getpid(), signal.SIGKILL)

    def _is_worth_more(self):
        if len(self.errors) >= self.rounds:
            return False
        earlier = self.errors[: -self.patience]
        return not earlier or min(self.errors) < (1 - PROGRESS) * min(earlier)

    @step
    def end(self):
        """Say what came out."""
        best = int(np.argmin(self.errors))
        print(f"Best after round {best} of {len(self.errors)}: off by {self.errors[best]:.1f}")


def loss_curve(losses):
    """Return the chart of the losses: a specification of Vega-Lite."""
    return {
        "data": {"values": losses},
        "mark": "line",
        "height": 260,
        "encoding": {
            "x": {"field": "epoch", "type": "quantitative"},
            "y": {"field": "loss", "type": "quantitative", "scale": {"type": "log"}},
        },
    }


if __name__ == "__main__":
    TrainingFlow()

"""Search the settings of a support vector machine that reads hand-written digits."""

from __future__ import annotations

from itertools import product

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

from flow_core import FlowSpec, JSONType, Parameter, cache, step

LEADERS = 5


class SweepFlow(FlowSpec):
    """Train one model for each point of a grid, all at once, and test the best one.

    A third of the images chooses the settings, another one is only looked at in the end.
    """

    penalties = Parameter(
        "penalties", type=JSONType, default=[0.1, 1, 10, 100], help="values of C, a JSON list"
    )
    gammas = Parameter(
        "gammas", type=JSONType, default=[1e-4, 1e-3, 1e-2], help="values of gamma, a JSON list"
    )
    seed = Parameter("seed", default=7, help="of the division of the images")

    @step
    def start(self):
        """Divide the images; lay out the grid."""
        images, digits = load_digits(return_X_y=True)
        rest, self.test_images, rest_digits, self.test_digits = train_test_split(
            images, digits, test_size=1 / 3, stratify=digits, random_state=self.seed
        )
        self.train_images, self.check_images, self.train_digits, self.check_digits = (
            train_test_split(
                rest, rest_digits, test_size=1 / 2, stratify=rest_digits, random_state=self.seed
            )
        )
        self.grid = [
            {"C": penalty, "gamma": gamma}
            for penalty, gamma in product(self.penalties, self.gammas)
        ]
        print(f"{len(images):,} images of digits, {len(self.grid)} points in the grid")
        self.next(self.train, foreach="grid")

    @cache
    @step
    def train(self):
        """Train with one setting. A later run with the same images takes it over."""
        self.settings = self.input
        self.model = SVC(**self.settings).fit(self.train_images, self.train_digits)
        self.score = self.model.score(self.check_images, self.check_digits)
        self.next(self.compare)

    @step
    def compare(self, inputs):
        """Rank the settings. Only the model of the best one is loaded."""
        ranked = sorted(inputs, key=lambda candidate: candidate.score, reverse=True)
        self.ranking = [(candidate.settings, candidate.score) for candidate in ranked]
        self.model, self.settings = ranked[0].model, ranked[0].settings
        self.merge_artifacts(inputs, include=["test_images", "test_digits"])
        self.next(self.end)

    @step
    def end(self):
        """Test the best model on images that nothing has seen."""
        self.accuracy = self.model.score(self.test_images, self.test_digits)
        print(f"{'C':>8}  {'gamma':>8}  accuracy")
        for settings, score in self.ranking[:LEADERS]:
            bar = "█" * round(40 * score)
            print(f"{settings['C']:>8g}  {settings['gamma']:>8g}  {score:>8.1%}  {bar}")
        print(f"Best: C={self.settings['C']:g}, gamma={self.settings['gamma']:g}", end="; ")
        print(f"{self.accuracy:.1%} of {len(self.test_digits)} unseen digits read right")


if __name__ == "__main__":
    SweepFlow()

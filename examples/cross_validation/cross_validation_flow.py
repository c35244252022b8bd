"""Which model tells the penguins of three species apart best?"""

from __future__ import annotations

import numpy as np
from palmerpenguins import load_penguins
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix
from sklearn.model_selection import StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from flow_core import FlowSpec, Parameter, step

MEASURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


class CrossValidationFlow(FlowSpec):
    """Cross-validate several models, one task for each fold of each model.

    The outer foreach goes over the models, the inner one over the folds; the inner join gives each
    model its marks, the outer one chooses.
    """

    folds = Parameter("folds", default=5, help="number of folds")
    trees = Parameter("trees", default=50, help="trees of the forest")
    seed = Parameter("seed", default=7, help="of the folds and the forest")

    @step
    def start(self):
        """Read the measures of the penguins; name the models."""
        penguins = load_penguins()
        known = penguins.dropna(subset=MEASURES)
        self.measures, self.species = known[MEASURES].to_numpy(), known["species"].to_numpy()
        self.models = {
            "most frequent": DummyClassifier(),
            "logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
            "5 neighbours": make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
            "random forest": RandomForestClassifier(self.trees, random_state=self.seed),
        }
        print(f"{len(known)} penguins ({len(penguins) - len(known)} without measures left out)")
        self.next(self.divide, foreach="models")

    @step
    def divide(self):
        """Divide the penguins into folds, the same ones for each model."""
        self.model_name, self.model = self.input
        folds = StratifiedKFold(self.folds, shuffle=True, random_state=self.seed)
        self.divisions = list(folds.split(self.measures, self.species))
        self.next(self.validate, foreach="divisions")

    @step
    def validate(self):
        """Train on all folds but one; predict that one."""
        rows, self.held_out = self.input
        self.model.fit(self.measures[rows], self.species[rows])
        self.predicted = self.model.predict(self.measures[self.held_out])
        self.accuracy = float(np.mean(self.predicted == self.species[self.held_out]))
        self.next(self.mark)

    @step
    def mark(self, inputs):
        """Join the folds of one model."""
        self.model_name = self.input[0]
        self.accuracies = [fold.accuracy for fold in inputs]
        self.merge_artifacts(inputs, include=["species"])
        self.predicted = np.empty_like(self.species)
        for fold in inputs:
            self.predicted[fold.held_out] = fold.predicted
        self.next(self.choose)

    @step
    def choose(self, inputs):
        """Join the models; the best one is that with the highest mean."""
        self.marks = {model.model_name: model.accuracies for model in inputs}
        best = max(inputs, key=lambda model: np.mean(model.accuracies))
        self.best, self.predicted, self.species = best.model_name, best.predicted, best.species
        self.next(self.end)

    @step
    def end(self):
        """Show the marks, and what the best model mixes up."""
        for name, accuracies in self.marks.items():
            mean, spread = np.mean(accuracies), np.std(accuracies)
            chosen = "  ← best" if name == self.best else ""
            print(f"{name:<20} {mean:6.1%} ± {spread:.1%}{chosen}")
        names = sorted(set(self.species))
        self.confusion = confusion_matrix(self.species, self.predicted, labels=names)
        print(f"\n{'predicted:':<12}" + "".join(f"{name:>11}" for name in names))
        for name, row in zip(names, self.confusion, strict=True):
            print(f"{name:<12}" + "".join(f"{count:>11}" for count in row))


if __name__ == "__main__":
    CrossValidationFlow()

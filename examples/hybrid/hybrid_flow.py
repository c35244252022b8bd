"""Species of penguins by their nearest neighbours: read here, tried elsewhere, joined here."""

from __future__ import annotations

import platform
from collections import Counter

from flow_cards import Markdown, Table, ValueBox, VegaChart
from flow_core import Config, FlowSpec, StepMutator, card, current, step

MEASURES = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


class on_the_cluster(StepMutator):
    """Run the step where the configuration `cluster` says: it names a decorator and its options."""

    def pre_mutate(self, mutable_step):
        """Add the decorator, as if it stood above the step."""
        cluster = mutable_step.flow.cluster
        if cluster.compute != "local":
            mutable_step.add_decorator(cluster.compute, deco_kwargs=dict(cluster.options))


class HybridFlow(FlowSpec):
    """Ask of each number of neighbours how many of the 342 measured penguins it would place wrongly.

    The table is read and the answers are joined on this machine, which has the data and its packages.
    The tasks of the foreach run on a cluster, where there is one, and need nothing but a Python.
    """

    cluster = Config("cluster", default_value={"compute": "local", "options": {}})

    @card
    @step
    def start(self):
        """Read the penguins, and bring all measures to one scale."""
        from palmerpenguins import load_penguins  # what only this step needs, here alone

        known = load_penguins().dropna(subset=MEASURES)
        scaled = (known[MEASURES] - known[MEASURES].mean()) / known[MEASURES].std()
        # Plain lists: whatever Python the cluster has can read them.
        self.points = [[float(value) for value in row] for row in scaled.to_numpy()]
        self.species = [str(name) for name in known["species"]]
        self.neighbours = [1, 3, 5, 9, 15, 25]
        self.read_on = platform.node()
        print(f"{len(self.points)} penguins; tasks of 'try_out' run on: {self.cluster.compute}")
        if self.cluster.compute == "local":
            print("choose a cluster with --config cluster slurm.json")
        counts = Counter(self.species).most_common()
        current.card.extend(
            [Markdown("# Penguins"), Table(counts, headers=["species", "measured"])]
        )
        self.next(self.try_out, foreach="neighbours")

    @on_the_cluster
    @card
    @step
    def try_out(self):
        """Place each penguin by its nearest neighbours among all others."""
        self.count = self.input
        self.placed = [self.place(number) for number in range(len(self.points))]
        pairs = zip(self.species, self.placed, strict=True)
        self.mistakes = Counter(pair for pair in pairs if pair[0] != pair[1])
        self.wrong = sum(self.mistakes.values())
        self.tried_on = platform.node()
        print(f"{self.count} neighbours: {self.wrong} of {len(self.points)} placed wrongly")
        current.card.extend(
            [
                Markdown(f"# {self.count} neighbours"),
                ValueBox("placed wrongly", self.wrong, f"of {len(self.points)}"),
                Table(
                    [(*pair, times) for pair, times in self.mistakes.most_common()],
                    headers=["is", "was placed as", "times"],
                ),
            ]
        )
        self.next(self.compare)

    def place(self, number):
        """Return the species that most of the neighbours of a penguin have."""
        mine = self.points[number]
        distances = sorted(
            (sum((a - b) ** 2 for a, b in zip(mine, other, strict=True)), index)
            for index, other in enumerate(self.points)
            if index != number
        )
        found = Counter(self.species[index] for _, index in distances[: self.count])
        return min(found, key=lambda name: (-found[name], name))

    @card
    @step
    def compare(self, inputs):
        """Join the answers; the best one has the fewest mistakes."""
        self.wrong = {one.count: one.wrong for one in inputs}
        self.best = min(self.wrong, key=lambda count: (self.wrong[count], count))
        self.machines = sorted({one.tried_on for one in inputs})
        current.card.extend(
            [
                Markdown("# How many neighbours?"),
                VegaChart(
                    {
                        "data": {
                            "values": [{"count": c, "wrong": w} for c, w in self.wrong.items()]
                        },
                        "mark": {"type": "line", "point": True},
                        "encoding": {
                            "x": {"field": "count", "type": "quantitative", "title": "neighbours"},
                            "y": {"field": "wrong", "type": "quantitative", "title": "mistakes"},
                        },
                    },
                    title="Penguins that are placed wrongly",
                ),
            ]
        )
        self.next(self.end)

    @card
    @step
    def end(self):
        """Say which number is the best."""
        print(f"{self.best} neighbours are best: {self.wrong[self.best]} mistakes")
        current.card.append(ValueBox("best number of neighbours", self.best))


if __name__ == "__main__":
    HybridFlow()

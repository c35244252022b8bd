"""Branches inside of a foreach, over dicts, with a join of joins."""

from metaflow import FlowSpec, step

EXPECTED = {"scores": {"lin": [1, 2], "tree": [2, 4]}, "best": "tree"}


class ModelsFlow(FlowSpec):
    @step
    def start(self):
        self.models = [{"name": "lin", "gain": 1}, {"name": "tree", "gain": 2}]
        self.next(self.prepare, foreach="models")

    @step
    def prepare(self):
        self.model = self.input
        self.next(self.fit, self.score)

    @step
    def fit(self):
        self.out = self.model["gain"]
        self.next(self.both)

    @step
    def score(self):
        self.out = 2 * self.model["gain"]
        self.next(self.both)

    @step
    def both(self, inputs):
        self.outs = [inputs.fit.out, inputs.score.out]
        self.merge_artifacts(inputs, include=["model"])
        self.next(self.join)

    @step
    def join(self, inputs):
        self.scores = {inp.model["name"]: inp.outs for inp in inputs}
        self.best = max(self.scores, key=lambda name: self.scores[name][1])
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ModelsFlow()

"""Branches whose artifacts are merged, with include and exclude, and a conflict that is handled."""

from metaflow import FlowSpec, step
from metaflow.exception import (
    MetaflowException,
    MissingInMergeArtifactsException,
    UnhandledInMergeArtifactsException,
)

EXPECTED = {"common": 1, "x": 10, "conflicts": ["x"], "missing": ["nowhere"], "only_b": "b"}


class BranchFlow(FlowSpec):
    @step
    def start(self):
        self.common = 1
        self.x = 0
        self.next(self.a, self.b)

    @step
    def a(self):
        self.x = 10
        self.next(self.join)

    @step
    def b(self):
        self.x = 20
        self.only_b = "b"
        self.next(self.join)

    @step
    def join(self, inputs):
        try:
            self.merge_artifacts(inputs)
        except UnhandledInMergeArtifactsException as ex:
            self.conflicts = sorted(set(ex.artifact_names))
            assert isinstance(ex, MetaflowException)
            assert ex.headline
        try:
            self.merge_artifacts(inputs, include=["nowhere"])
        except MissingInMergeArtifactsException as ex:
            self.missing = list(ex.artifact_names)
        self.x = inputs.a.x
        self.merge_artifacts(inputs, exclude=["unimportant"])
        self.next(self.end)

    @step
    def end(self):
        try:
            self.merge_artifacts([])
        except MetaflowException:
            print("only joins merge")


if __name__ == "__main__":
    BranchFlow()

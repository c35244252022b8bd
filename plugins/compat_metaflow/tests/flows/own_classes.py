"""Instances of the flow file's own classes, and arrays, as artifacts."""

from collections import namedtuple
from dataclasses import dataclass

import numpy as np

from metaflow import FlowSpec, step

EXPECTED = {"total": 15, "area": 12, "norm": 5.0, "shape": (2, 3)}

Size = namedtuple("Size", "width height")


@dataclass
class Model:
    weights: list

    def total(self):
        return sum(self.weights)


class ClassesFlow(FlowSpec):
    @step
    def start(self):
        self.model = Model([4, 5, 6])
        self.size = Size(3, 4)
        self.matrix = np.arange(6).reshape(2, 3)
        self.vector = np.array([3.0, 4.0])
        self.next(self.end)

    @step
    def end(self):
        self.total = self.model.total()
        self.area = self.size.width * self.size.height
        self.norm = float(np.linalg.norm(self.vector))
        self.shape = self.matrix.shape


if __name__ == "__main__":
    ClassesFlow()

"""Steps, transitions and parameters as they cannot be."""

from __future__ import annotations

from typing import Any

from flow_core import FlowSpec, IncludeFile, Parameter, step


class Wrong(FlowSpec):
    """A flow."""

    alpha = Parameter()  # E: name
    beta = Parameter(3)  # E: name
    gamma = Parameter("gamma", help=3)  # E: help
    delta = Parameter("delta", required="yes")  # E: required
    words = IncludeFile(name=3)  # E: name

    @step
    def start() -> None:  # E: x
        """No self."""

    @step
    def wide(self, inputs: Any, more: Any) -> None:  # E: x
        """One argument too many."""

    @step(begin=True)  # E: x
    def keyword(self) -> None:
        """No such option."""

    @step(start="yes")  # E: x
    def typed(self) -> None:
        """A wrong type."""

    @step
    def go(self) -> None:
        """Transitions."""
        self.next("end")  # E: x
        self.next(self.end())  # E: x
        self.next(self.end, foreach=3)  # E: x
        self.next(self.end, for_each="items")  # E: x
        self.next({"a": self.end}, condition=1)  # E: x
        self.next(self.end, num_parallel=1.5)  # E: x
        self.merge_artifacts()  # E: inputs
        self.index = 3  # E: x

    @step
    def end(self) -> None:
        """End."""

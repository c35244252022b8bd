"""Steps, transitions and parameters as they cannot be."""

from __future__ import annotations

from typing import Any

from flow_core import FlowSpec, IncludeFile, Parameter, step


class Wrong(FlowSpec):
    """A flow."""

    alpha = Parameter()  # E: name
    beta = Parameter(3)  # E
    gamma = Parameter("gamma", help=3)  # E: help
    delta = Parameter("delta", required="yes")  # E: required
    words = IncludeFile(name=3)  # E: name

    @step  # E: step
    def start() -> None:  # mypy
        """No self."""

    @step  # E: step
    def wide(self, inputs: Any, more: Any) -> None:
        """One argument too many."""

    @step(begin=True)  # E: step
    def keyword(self) -> None:
        """No such option."""

    @step(start="yes")  # E: step
    def typed(self) -> None:
        """A wrong type."""

    @step
    def go(self) -> None:
        """Transitions."""
        self.next("end")  # E: next
        self.next(self.end())  # E: next
        self.next(self.end, foreach=3)  # E: next
        self.next(self.end, for_each="items")  # E: next
        self.next({"a": self.end}, condition=1)  # E: next
        self.next(self.end, num_parallel=1.5)  # E: next
        self.merge_artifacts()  # E: inputs
        self.index = 3  # E: index

    @step
    def end(self) -> None:
        """End."""

"""Step decorators and mutators that people write themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flow_core import (
    USER_SKIP_STEP,
    FlowMutator,
    FlowSpec,
    StepMutator,
    UserStepDecorator,
    retry,
    step,
    user_step_decorator,
)


@user_step_decorator
def timing(step_name: str, flow: Any, inputs: Any = None, attributes: Any = None) -> Iterator[Any]:
    """Wait for the body."""
    yield USER_SKIP_STEP if step_name == "slow" else None


class Noted(UserStepDecorator):
    """Note."""

    def init(self, text: str = "") -> None:
        """Take the text."""
        self.text = text

    def pre_step(self, step_name: str, flow: Any, inputs: Any = None) -> Any:
        """Note."""
        flow.note = self.text


class Careful(StepMutator):
    """Try again."""

    def mutate(self, mutable_step: Any) -> None:
        """Add a decorator."""
        mutable_step.add_decorator(retry, deco_kwargs={"times": 1})


class Everywhere(FlowMutator):
    """Do nothing."""

    def mutate(self, mutable_flow: Any) -> None:
        """Look at all steps."""
        for name, _ in mutable_flow.steps:
            print(name)


@Everywhere
class Noting(FlowSpec):
    """A flow."""

    @timing
    @Noted(text="x")
    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @Careful
    @step
    def end(self) -> None:
        """End."""

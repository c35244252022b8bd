"""Plugins that use the API wrongly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flow_core.api import (
    Buffer,
    Command,
    CommandContext,
    Options,
    PlanDraft,
    RemovedInFlow1,
    Serializer,
    Settings,
    StepDecorator,
    StepDefinition,
    Store,
    deprecated,
    hookimpl,
    hookspec,
    option,
)
from flow_core.api import hookimp  # E: hookimp


@dataclass(frozen=True)
class GoodOptions(Options):
    """Options."""

    times: int = option(3, "How often.")


class NoOptions:
    """Something else."""


wrong = StepDecorator("wrong", NoOptions)  # E: StepDecorator
StepDecorator(GoodOptions)  # E
good = StepDecorator("good", GoodOptions, allow_multiple="yes")  # E: allow_multiple
option(3, 4)  # E: option


@hookimpl(befor=["retry"])  # E: hookimpl
def flow_session_started() -> None:
    """No such option."""


@hookimpl(budget="5")  # E: hookimpl
def flow_session_finished() -> None:
    """A wrong type."""


@hookimpl("flow_event")  # E: flow_event
def flow_event() -> None:
    """A name."""


@hookspec(observers=True)  # E: hookspec
def flow_mine() -> None:
    """No such option."""


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """The objects are typed."""
    draft.retries = 3  # E: retries
    draft.timeout = "5"  # E
    draft.require(gpu="2")  # E: require
    draft.use_compute("slurm")  # E: by
    step.options(good)  # E: options
    step.attach(good, good.make())  # E: source


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Settings."""
    settings.declare("gpu_pool", "default")  # E: help
    settings.declare("gpu_pool", "x", "Pool.", choices=1)  # E: declare


class HalfSerializer:
    """Lacks load."""

    tag = "half"
    safe = True

    def can(self, value: Any) -> bool:
        """Nothing."""
        return False

    def dump(self, value: Any) -> Sequence[Buffer]:
        """Nothing."""
        return []


class OtherSerializer(HalfSerializer):
    """Loads from something else."""

    def load(self, parts: int) -> Any:
        """Nothing."""


half: Serializer = HalfSerializer()  # E: HalfSerializer
other: Serializer = OtherSerializer()  # E: OtherSerializer


class HalfStore(Store):
    """Reads wrongly."""

    def exists(self, keys: str) -> bool:  # E: exists
        """One key at a time."""
        return False


def takes(store: Store, items: Iterable[tuple[str, str]]) -> None:
    """Write text."""
    store.write(items)  # E: write
    store.wrte([])  # E: wrte


def build(context: CommandContext) -> None:
    """Make no command."""
    context.ekho("x")  # E: ekho


command = Command("Do it.", False, build)  # E: Command
Command("Do it.")  # E


@deprecated("1.0", since="0.1")  # E: deprecated
def old() -> None:
    """A release in place of a class."""


@deprecated(RemovedInFlow1)  # E: since
def older() -> None:
    """Since when?"""

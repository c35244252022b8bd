"""What authors of plugins write: options, decorators, hooks, a serializer, a command, settings."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from flow_core.api import (
    Buffer,
    Command,
    CommandContext,
    DefinitionError,
    FlowDeprecation,
    FlowSpec,
    Options,
    PlanDraft,
    RemovedInFlow1,
    Serializer,
    Settings,
    StepDecorator,
    StepDefinition,
    TaskContext,
    deprecated,
    hookimpl,
    hookspec,
    option,
)


@dataclass(frozen=True)
class GpuOptions(Options):
    """Ask for graphics processors."""

    count: int = option(1, "How many.")
    kind: str | None = option(None, "Which.", deprecated=deprecated(RemovedInFlow1, since="0.1"))

    def validate(self) -> None:
        """Refuse what cannot be."""
        if self.count < 1:
            raise DefinitionError("Option 'count' must be 1 or more", hint="@gpu(count=1)")


gpu = StepDecorator("gpu", GpuOptions)
made: Options = gpu.make(count=2)


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare a setting."""
    settings.declare("gpu_pool", "default", "Name of the pool.", choices=("default", "large"))


@hookimpl(before=["retry"], budget=None)
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Ask for them."""
    options = step.options("gpu")
    if isinstance(options, GpuOptions):
        draft.require(gpu=options.count)
        draft.variables["GPU_KIND"] = options.kind or ""


@hookimpl(wrapper=True)
def flow_task_call(task: TaskContext, flow: FlowSpec) -> Generator[None, Any, Any]:
    """Wrap the body."""
    print(task.spec.step, flow.name)
    return (yield)


@hookspec(observer=True, deprecated=deprecated(RemovedInFlow1, since="0.1", name="flow_gpu_old"))
def flow_gpu_taken(count: int) -> None:
    """A hook of one's own."""


class JsonSerializer:
    """Keeps plain values as JSON."""

    tag = "json"
    safe = True

    def can(self, value: Any) -> bool:
        """All but objects."""
        return isinstance(value, (dict, list, str))

    def dump(self, value: Any) -> Sequence[Buffer]:
        """As text."""
        return [json.dumps(value).encode()]

    def load(self, parts: Sequence[Buffer]) -> Any:
        """From text."""
        return json.loads(bytes(parts[0]))


serializer: Serializer = JsonSerializer()


def build(context: CommandContext) -> click.Command:
    """Make a command."""

    def pools(count: int) -> None:
        context.echo(str(count))

    return click.Command("pools", callback=pools, params=[click.Option(["--count"], type=int)])


command = Command("List the pools.", False, build)


@deprecated(RemovedInFlow1, since="0.1", arguments={"pool": "name"})
def take(name: str) -> str:
    """Take one."""
    return name


class RemovedInGpu2(FlowDeprecation):
    """What the next version has no more."""

    distribution, release = "flow-gpu", "2.0"


taken: str = take(name="large")

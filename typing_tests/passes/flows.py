"""A flow with all that flows are written with."""

from __future__ import annotations

from typing import Any

import click

from flow_core import (
    Config,
    FlowSpec,
    IncludeFile,
    JSONType,
    Parameter,
    cache,
    catch,
    config_expr,
    current,
    environment,
    project,
    resources,
    retry,
    schedule,
    secrets,
    step,
    timeout,
    trigger,
)


def _today(context: Any) -> str:
    return str(context.flow_name)


@project(name="cinema")
@schedule(daily=True)
@trigger(event="new-films")
class Films(FlowSpec):
    """Films."""

    settings = Config("settings", default_value={"times": 3})
    alpha = Parameter("alpha", default=0.1, help="Step size.")
    day = Parameter("day", default=_today)
    kind = Parameter("kind", type=click.Choice(["a", "b"]), default="a")
    table = Parameter("table", type=JSONType, default="[]")
    words = IncludeFile("words", default="words.txt")

    @retry
    @step
    def start(self) -> None:
        """Begin."""
        self.items = [1, 2, 3]
        self.rate: float = self.alpha
        self.next(self.work, foreach="items")

    @retry(times=2, delay=1.5, on=["timeout", ValueError])
    @timeout(minutes=5)
    @catch(var="failure")
    @resources(cpu=2, memory=4096)
    @environment(vars={"MODE": "fast"})
    @step
    def work(self) -> None:
        """Work on one item."""
        self.square = int(self.input) ** 2
        self.attempt = current.retry_count + 1
        self.next(self.join)

    @retry(times=config_expr("settings.times"))
    @cache
    @step
    def join(self, inputs: Any) -> None:
        """Gather."""
        self.total = sum(i.square for i in inputs)
        self.merge_artifacts(inputs, exclude=["square"])
        self.next({"big": self.big, "small": self.small}, condition="size")

    @secrets(sources=["env:PASSWORD"])
    @step
    async def big(self) -> None:
        """Wait."""
        self.next(self.end)

    @step(node_info={"team": "search"})
    def small(self) -> None:
        """Go on."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""
        name: str = current.flow_name
        print(name.upper(), current.run_id, current.pathspec, current.tags, current.project_name)
        if current.trigger is not None:
            print(current.trigger.event)
        print(current.run.pathspec, current.get("card"))


if __name__ == "__main__":
    Films()

"""Decorators with options that do not exist, are of another type or lack."""

from __future__ import annotations

from typing import Any

from flow_core import (
    FlowSpec,
    audited,
    cache,
    catch,
    environment,
    owned,
    project,
    retry,
    secrets,
    step,
    timeout,
)


class Wrong(FlowSpec):
    """A flow."""

    @retry(tims=3)  # E: call
    @step
    def a(self) -> None:
        """An option that does not exist."""

    @retry(times="3")  # E: "str"
    @step
    def b(self) -> None:
        """A wrong type."""

    @retry(3)  # E: call
    @step
    def c(self) -> None:
        """Options are given by name only."""

    @timeout(minutes=[5])  # E: call
    @step
    def d(self) -> None:
        """A list."""

    @environment  # E: call
    @step
    def e(self) -> None:
        """A required option is missing."""

    @environment()  # E: call
    @step
    def f(self) -> None:
        """It is missing."""

    @secrets(role="reader")  # E: call
    @step
    def g(self) -> None:
        """It is missing beside another one."""

    @audited(reason="x", level="middle")  # E: "level"
    @step
    def h(self) -> None:
        """None of the choices."""

    @audited  # E: call
    @step
    def i(self) -> None:
        """A required option of a plugin of one module."""

    @project(name="x")  # E: x
    @step
    def j(self) -> None:
        """A decorator of flows on a step."""


@retry  # E: x
class OnFlow(FlowSpec):
    """A decorator of steps on a flow."""


@owned  # E: x
class NoFlow:
    """A decorator of flows on another class."""


@project(nam="x")  # E: call
class Misspelt(FlowSpec):
    """An option that does not exist."""


@project  # E: call
class Missing(FlowSpec):
    """A required option is missing."""


@cache
def no_step(a: Any, b: Any, c: Any) -> None:  # E: x
    """No step has three arguments."""


@catch(var=3)  # E: call
def half(self: Any) -> None:
    """A wrong type."""

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

    @retry(times="3")  # E
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

    @environment  # E
    @step
    def e(self) -> None:  # mypy
        """A required option is missing."""

    @environment()  # E
    @step
    def f(self) -> None:
        """It is missing."""

    @secrets(role="reader")  # E
    @step
    def g(self) -> None:
        """It is missing beside another one."""

    @audited(reason="x", level="middle")  # E: level
    @step
    def h(self) -> None:
        """None of the choices."""

    @audited  # E
    @step
    def i(self) -> None:  # mypy
        """A required option of a plugin of one module."""

    @project(name="x")  # E
    @step
    def j(self) -> None:
        """A decorator of flows on a step."""


@retry  # pyright
class OnFlow(FlowSpec):  # mypy
    """A decorator of steps on a flow."""


@owned  # pyright
class NoFlow:  # mypy
    """A decorator of flows on another class."""


@project(nam="x")  # E: nam
class Misspelt(FlowSpec):
    """An option that does not exist."""


@project  # E
class Missing(FlowSpec):  # mypy
    """A required option is missing."""


@cache  # E
def no_step(a: Any, b: Any, c: Any) -> None:
    """No step has three arguments."""


@catch(var=3)  # E: call
def half(self: Any) -> None:
    """A wrong type."""

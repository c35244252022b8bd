"""The decorator ``@exit_hook``, and the functions that it names."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_core.api import DefinitionError, FlowDecorator, Options, did_you_mean, option

if TYPE_CHECKING:
    from flow_core.api import FlowDefinition

Function = Callable[..., Any]


@dataclass(frozen=True)
class ExitHookOptions(Options):
    """Call functions when a run has ended: some after success, others after failure or interruption.

    A function is given itself, or by its name in the module of the flow. One with an argument ``run``
    gets the `Run`. Each is called in a process of its own, after the result of the run was recorded;
    its output is shown, and its failure changes nothing. Since 0.1.
    """

    on_success: list[Any] = option([], "Functions to call when the run succeeded.")  # noqa: RUF009
    on_error: list[Any] = option([], "Functions to call when it did not.")  # noqa: RUF009
    options: dict[str, Any] = option({}, "Passed to the deployer.")  # noqa: RUF009

    def validate(self) -> None:
        """Refuse what cannot be called."""
        if not self.on_success and not self.on_error:
            raise DefinitionError(
                "@exit_hook names no function", hint="@exit_hook(on_error=[notify])"
            )
        for name in ("on_success", "on_error"):
            for function in getattr(self, name):
                self._check(name, function)

    def _check(self, name: str, function: Any) -> None:
        if isinstance(function, str):
            return
        if not callable(function):
            raise DefinitionError(
                f"'{name}' cannot hold {function!r}",
                why="it holds functions, or names of functions of the flow's module",
                hint=f"@exit_hook({name}=[notify])",
            )
        needed = _needed_arguments(function)
        if needed - {"run"}:
            raise DefinitionError(
                f"The exit hook '{title(function)}' cannot be called",
                why=f"it needs the arguments: {', '.join(sorted(needed))}",
                hint="an exit hook takes no argument, or 'run'",
            )


def functions(definition: FlowDefinition, outcome: str) -> list[Function]:
    """Return the functions of all ``@exit_hook``, in order, for ``on_success`` or ``on_error``.

    Raises:
        DefinitionError: a name is that of no function of the flow's module.
    """
    module = vars(sys.modules[definition.cls.__module__])
    return [_find(given, module, outcome) for given in _given(definition, (outcome,))]


def missing(definition: FlowDefinition) -> Iterator[DefinitionError]:
    """Yield an error for each name that is that of no function."""
    module = vars(sys.modules[definition.cls.__module__])
    for given in _given(definition, ("on_success", "on_error")):
        try:
            _find(given, module, "on_success or on_error")
        except DefinitionError as error:
            yield error


def title(function: Function) -> str:
    """Return a function's name, for people."""
    return getattr(function, "__name__", None) or repr(function)


def takes_run(function: Function) -> bool:
    """Whether the function has an argument ``run``."""
    return "run" in _parameters(function)


def _given(definition: FlowDefinition, outcomes: Sequence[str]) -> Iterator[Any]:
    for options in definition.all_options("exit_hook"):
        for outcome in outcomes:
            yield from getattr(options, outcome)


def _find(given: Any, module: dict[str, Any], outcome: str) -> Function:
    found: Function | None = module.get(given) if isinstance(given, str) else given
    if not callable(found):
        known = [name for name, value in module.items() if inspect.isfunction(value)]
        raise DefinitionError(
            f"There is no function '{given}' for {outcome}",
            where="@exit_hook",
            why="the flow's module defines none of this name",
            hint=did_you_mean(str(given), known) or f"def {given}(run): …",
        )
    return found


def _parameters(function: Function) -> dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}  # a builtin does not say


def _needed_arguments(function: Function) -> set[str]:
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return {
        name
        for name, p in _parameters(function).items()
        if p.default is p.empty and p.kind not in kinds
    }


exit_hook = FlowDecorator("exit_hook", ExitHookOptions, allow_multiple=True)

"""flow-environment: environment variables of a step (``@environment``)."""

from __future__ import annotations

from dataclasses import dataclass

from flow_core.api import DefinitionError, Options, StepDecorator, option

_RESERVED = "FLOW_TASK_"


@dataclass(frozen=True)
class EnvironmentOptions(Options):
    """Set environment variables in the processes of the step's tasks, before any code of the step
    runs and wherever it runs. Other steps do not see them.

    They are written down with the run: for passwords there is ``@secrets``. Since 0.1.
    """

    vars: dict[str, str] = option(help="Variables: name and value, both text.")  # noqa: RUF009

    def validate(self) -> None:
        """Refuse what no process can have, and what would change under a person's hands."""
        for name, value in self.vars.items():
            _check_name(name)
            if "\0" in value:
                raise DefinitionError(
                    f"The value of variable '{name}' contains a NUL character",
                    why="no environment variable can hold one",
                )


def _check_name(name: str) -> None:
    if not name or "=" in name or "\0" in name:
        why = "a name is not empty and contains neither '=' nor NUL"
    elif name.startswith(_RESERVED):
        why = f"names that begin with {_RESERVED} tell which task a process belongs to"
    else:
        return
    raise DefinitionError(
        f"{name!r} cannot be the name of an environment variable",
        why=why,
        hint="@environment(vars={'LANGUAGE': 'de'})",
    )


environment = StepDecorator("environment", EnvironmentOptions)

"""flow-cache: a task is reused across runs when nothing that it depends on has changed (``@cache``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from flow_core.api import DefinitionError, Options, StepDecorator, option

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_AGE = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")


@dataclass(frozen=True)
class CacheOptions(Options):
    """Reuse the result of an earlier run when code, what is read, and environment are the same.

    The code is the step with all that it calls in your own files. What a task reads are parameters,
    artifacts of its input, its foreach item. The environment is Python, the versions of the packages
    that the code imports, and the variables of the step. A task with side effects, or that depends
    on the time, on chance or on files that it names itself, is not for this. Since 0.1.
    """

    salt: str = option("", "Change it to let all earlier results be forgotten.")
    max_age: str = option("", "Reuse nothing older than this: '90s', '30m', '12h', '7d', '2w'.")
    ignore: str | Sequence[str] | None = option(
        None, "Names of parameters and artifacts that do not count."
    )

    def validate(self) -> None:
        """Refuse an age that is none, and names that are none."""
        if self.max_age and not _AGE.fullmatch(self.max_age.strip()):
            raise DefinitionError(
                f"Option 'max_age' is no time: '{self.max_age}'",
                why="it is a number with a unit: s, m, h, d (days) or w (weeks)",
                hint="max_age='12h'",
            )
        if not all(isinstance(name, str) and name for name in self.ignored):
            raise DefinitionError(
                f"Option 'ignore' takes names, not {self.ignore!r}", hint="ignore=['verbose']"
            )

    @property
    def ignored(self) -> tuple[str, ...]:
        """The names that do not count."""
        given = self.ignore or ()
        return (given,) if isinstance(given, str) else tuple(given)

    @property
    def seconds(self) -> float | None:
        """The greatest age, or None."""
        found = _AGE.fullmatch(self.max_age.strip())
        return float(found[1]) * _UNITS[found[2]] if found else None


cache = StepDecorator("cache", CacheOptions)

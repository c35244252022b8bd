"""What goes away, and with which release: warnings whose class says it, and old names that still work.

One helper says it of everything: a function, its arguments, a hook, a setting, an option.

    @deprecated(RemovedInFlow1, since="0.2", use="run_flow()")
    def run_all(): ...

    @deprecated(RemovedInFlow1, since="0.2", arguments={"tag": "tags"})
    def run_flow(flow, tags=()): ...

    @hookspec(deprecated=deprecated(RemovedInFlow1, since="0.2", name="flow_ended"))
    def flow_run_finished(run, result): ...

    settings.declare("cards_port", 8080, "…",
                     deprecated=deprecated(RemovedInFlow1, since="0.2", name="cards_server_port"))

    times: int = option(3, "…", deprecated=deprecated(RemovedInFlow1, since="0.2", name="tries"))

The warnings are shown where Python shows a DeprecationWarning: in tests by pytest, in a script of
one's own, with ``python -W default``. This module is imported by what uses it, and by nothing else.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class FlowDeprecation(DeprecationWarning):
    """Something is used that will go away. Its subclasses say with which release.

    A plugin with versions of its own has a class of its own:

        class RemovedInCards2(FlowDeprecation):
            distribution, release = "flow-cards", "2.0"

    Attributes:
        distribution: whose release it is.
        release: the first release without it.

    Since 0.1.
    """

    distribution: ClassVar[str] = "flow-core"
    release: ClassVar[str] = ""


class RemovedInFlow1(FlowDeprecation):
    """What flow-core 1.0 does not have any more. Since 0.1."""

    release = "1.0"


class RemovedInFlow2(FlowDeprecation):
    """What flow-core 2.0 does not have any more. Since 0.1."""

    release = "2.0"


def overdue(kind: type[FlowDeprecation], version: str | None = None) -> bool:
    """Whether the release of a class has come, so that all that warns with it must go now.

    For a test: ``assert not overdue(RemovedInFlow1)``. A pre-release counts as its release.

    Args:
        kind: the class.
        version: of its distribution; None = the one that is installed.

    Since 0.1.
    """
    from flow_core import __version__
    from flow_core.index import satisfies

    if version is None and kind.distribution == "flow-core":
        version = __version__
    elif version is None:
        import importlib_metadata

        version = importlib_metadata.version(kind.distribution)
    return satisfies(version, f">={kind.release}")


class Deprecation:
    """What goes away, as `deprecated` says it.

    Attributes:
        removed: the class of the warnings, which says with which release.
        since: the release that has what replaces it.
        use: what to use instead, for people; ``""`` = nothing takes its place.
        name: the former name, which works as well.
        arguments: former → present names of arguments, both work; ``""`` = nothing takes its place.

    Since 0.1.
    """

    # No NamedTuple: mypy takes a decorator that is one for untyped.
    def __init__(
        self,
        removed: type[FlowDeprecation],
        since: str,
        use: str = "",
        name: str = "",
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        self.removed = removed
        self.since = since
        self.use = use
        self.name = name
        self.arguments = dict(arguments or {})

    def __call__(self, function: F) -> F:
        """Warn at each call of a function or class; with ``arguments`` only of those."""
        if isinstance(function, type):
            kind: Any = function
            kind.__init__ = self._warning(kind.__init__, kind.__qualname__)
            return function
        made: F = self._warning(function, function.__qualname__)
        return made

    def _warning(self, function: Any, name: str) -> Any:
        @functools.wraps(function)
        def warning(*args: Any, **kwargs: Any) -> Any:
            if self.arguments:
                kwargs = self._renamed(name, kwargs)
            else:
                warnings.warn(self.gone(f"{name}()"), stacklevel=2)
            return function(*args, **kwargs)

        return warning

    def _renamed(self, function: str, given: Mapping[str, Any]) -> dict[str, Any]:
        values = dict(given)
        for old in self.arguments.keys() & given.keys():
            new = self.arguments[old]
            what = f"The argument '{old}' of {function}()"
            if new in given:
                raise TypeError(f"{function}() got both '{new}' and '{old}', its former name")
            warnings.warn(self.called(what, new) if new else self.gone(what), stacklevel=3)
            if new:
                values[new] = values.pop(old)
        return values

    # --- texts ----------------------------------------------------------------------------------

    def gone(self, what: str) -> FlowDeprecation:
        """Return the warning that ``what`` goes away."""
        release = f"{self.removed.distribution} {self.removed.release}"
        use = f": use {self.use}" if self.use else ""
        return self.removed(f"{what} goes away in {release}, deprecated since {self.since}{use}")

    def called(self, what: str, new: str) -> FlowDeprecation:
        """Return the warning that ``what`` is called ``new``."""
        return self.removed(
            f"{what} is called '{new}' since {self.removed.distribution} {self.since}; "
            f"{self.removed.release} does not know the old name"
        )


def deprecated(
    removed: type[FlowDeprecation],
    *,
    since: str,
    use: str = "",
    name: str = "",
    arguments: Mapping[str, str] | None = None,
) -> Deprecation:
    """Say that something goes away: as a decorator, or in the declaration of a hook, setting, option.

    Args:
        removed: the class of the warning, which says with which release: `RemovedInFlow1`.
        since: the release that has what replaces it: ``"0.2"``.
        use: what to use instead, for people.
        name: the former name of the hook, setting or option; it works as well.
        arguments: former names of arguments of a function or a hook, which work as well, with the
            present ones; ``""`` = nothing takes the place of the argument.

    Since 0.1.
    """
    return Deprecation(removed, since, use, name, arguments)


def warn_caller(warning: FlowDeprecation) -> None:
    """Warn at the innermost line that runs now and stands outside of the kernel."""
    frame = sys._getframe(1)
    while str(frame.f_globals.get("__name__")).startswith("flow_core") and frame.f_back is not None:
        frame = frame.f_back
    _warn(warning, frame.f_code.co_filename, frame.f_lineno, frame.f_globals)


def warn_at(warning: FlowDeprecation, function: Any) -> None:
    """Warn of what a function does by its being there, once in a process: at its own line."""
    code = getattr(function, "__code__", None)
    file, line = (code.co_filename, code.co_firstlineno) if code else (repr(function), 0)
    _warn(warning, file, line, getattr(function, "__globals__", {}))


def _warn(warning: FlowDeprecation, file: str, line: int, variables: dict[str, Any]) -> None:
    registry = variables.setdefault("__warningregistry__", {})  # shown once where it is shown
    warnings.warn_explicit(warning, type(warning), file, line, variables.get("__name__"), registry)

"""Errors that tell a person what failed, where, why, and what to type next.

Every error that flow-core raises on purpose is a `FlowError`. Its four parts are data, so that the
command line, a log and a program can each show them in their own way; `str(error)` is the plain form.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType


class FlowError(Exception):
    """Base class of all errors raised on purpose by flow-core and its plugins.

    Args:
        what: what failed, one sentence.
        where: the place: ``file.py:12``, a step, a plugin, a pathspec.
        why: the cause, as far as it is known.
        hint: what to type or change next.

    Attributes:
        exit_code: exit status of the command line when this error ends it (1 = the flow or command
            failed, 2 = it was called wrongly).
        failure_cause: the `Failure.cause` of an attempt that fails by this error.

    Since 0.1.
    """

    exit_code = 1
    failure_cause = "error"

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint

    def parts(self) -> list[tuple[str, str]]:
        """Return the parts that are known after ``what``: (label, text) pairs, in display order."""
        named = (("where", self.where), ("why", self.why), ("try", self.hint))
        return [(label, text) for label, text in named if text]

    def __str__(self) -> str:
        lines = [self.what]
        for label, text in self.parts():
            first, *rest = text.splitlines()
            lines.append(f"  {label + ':':<7}{first}")
            lines.extend(f"         {line}" for line in rest)
        return "\n".join(lines)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.why, self.hint, self.__dict__))


def _rebuild(
    cls: type[FlowError],
    what: str,
    where: str | None,
    why: str | None,
    hint: str | None,
    state: dict[str, Any],
) -> FlowError:
    # Subclasses have constructors of their own; a copy must not run them again.
    error = cls.__new__(cls, what)
    FlowError.__init__(error, what, where=where, why=why, hint=hint)
    error.__dict__.update(state)
    return error


class PluginWarning(UserWarning):
    """A plugin's observer failed in a run that a program started, and was put aside.

    The text is that of a `PluginError`. Since 0.1.
    """


class UsageError(FlowError):
    """A command, option or argument was given wrongly. Exit status 2."""

    exit_code = 2


class ParameterError(UsageError):
    """A parameter's value does not fit its declaration."""


class DefinitionError(FlowError):
    """A flow file says something that cannot be: a bad decorator, option, name or parameter.

    In ``python my_flow.py`` it comes before any of our code could catch it: then it is shown in its
    four parts all the same, with the line of the file.
    """

    def __init__(self, what: str, **parts: str | None) -> None:
        super().__init__(what, **parts)
        show_uncaught()


class NoSuchExport(ImportError):
    """A name is imported from `flow_core` that no plugin offers.

    Attributes:
        told: the same as an error in its four parts.
    """

    def __init__(self, told: FlowError, name: str) -> None:
        super().__init__(str(told), name=f"flow_core.{name}")
        self.told = told


def show_uncaught() -> None:
    """Show errors of a flow's definition in their parts where nobody catches them."""
    if sys.excepthook is sys.__excepthook__:  # nobody else shows exceptions in this process
        sys.excepthook = _show_uncaught


def _show_uncaught(
    kind: type[BaseException], error: BaseException, frames: TracebackType | None
) -> None:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    error = error.told if isinstance(error, NoSuchExport) else error
    if not isinstance(error, (DefinitionError, PluginError)) or file is None:
        sys.__excepthook__(kind, error, frames)
        return
    if file not in (error.where or ""):
        error.where = ", ".join(filter(None, (_line_of(file, frames), error.where)))
    sys.stderr.write(f"error: {error}\n")


def _line_of(file: str, frames: TracebackType | None) -> str:
    """Return the innermost line of ``file`` in a traceback."""
    line = 0
    while frames is not None:
        if frames.tb_frame.f_code.co_filename == file:
            line = frames.tb_lineno
        frames = frames.tb_next
    return f"{file}:{line}" if line else file


class LintError(FlowError):
    """The graph of a flow has problems.

    Attributes:
        problems: all of them, as a tuple of `flow_core.api.Problem`.
    """

    def __init__(self, flow: str, problems: Iterable[Any]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        super().__init__(
            f"Flow '{flow}' has {count} problem{'s' if count != 1 else ''}:\n"
            + "\n".join(f"{number}. {p}" for number, p in enumerate(self.problems, 1))
        )


class PluginError(FlowError):
    """A plugin cannot be found, loaded or used."""


class IncompatiblePlugin(PluginError):
    """A plugin asks for another version of flow-core than this one."""


class UnknownName(UsageError, PluginError):
    """A command, decorator, store or other provider is named that no plugin provides."""


def refuse(error: FlowError, errors: list[FlowError] | None) -> None:
    """Raise ``error``, or, where somebody collects ``errors`` to show all at once, add it."""
    if errors is None:
        raise error
    errors.append(error)


class SettingsError(UsageError):
    """A setting has a value that it cannot have."""


class NotFound(FlowError, LookupError):
    """A flow, run, step, task, artifact or other named thing does not exist."""


class StoreError(FlowError):
    """The datastore could not do what was asked: unreachable, full, read-only."""

    failure_cause = "store"


class AccessDenied(StoreError):
    """The datastore refuses this to the person, or to the credentials that are used. Since 0.1."""


class IntegrityError(StoreError):
    """Stored data is damaged: a blob is truncated, altered or missing, a manifest unreadable."""


class FormatError(StoreError):
    """Stored data was written in a format newer than this version of flow-core reads."""


class ArtifactError(FlowError):
    """An artifact cannot be stored or read back."""


class Declined(FlowError):
    """A serializer cannot store a value exactly, as its ``dump`` finds out: another one is asked.

    Args:
        what: why, in a few words: ``column 'a' holds objects of type dict``.

    Since 0.1.
    """


class NoEnvironment(FlowError):
    """The environment of a step cannot be resolved or built. For environment providers to raise.

    Since 0.1.
    """


class CommandFailed(FlowError):
    """A program that an environment provider ran has failed; see `EnvironmentWork.run`.

    Attributes:
        command: its words.
        status: its exit status; negative = the signal that ended it; None = it could not be started.
        output: what it wrote to its standard output, then to its standard error.

    Since 0.1.
    """

    def __init__(
        self,
        what: str,
        *,
        command: Iterable[str],
        status: int | None,
        output: str,
        **parts: str | None,
    ) -> None:
        super().__init__(what, **parts)
        self.command = tuple(command)
        self.status = status
        self.output = output


class TransitionError(FlowError):
    """A step called ``self.next`` in a way that its graph does not allow, twice, or not at all."""


class MergeError(FlowError):
    """``merge_artifacts`` cannot decide.

    Attributes:
        artifact_names: the artifacts in conflict, or missing; sorted, without duplicates.
    """

    def __init__(self, what: str, names: Iterable[str], **parts: str | None) -> None:
        super().__init__(what, **parts)
        self.artifact_names = tuple(sorted(set(names)))


class StateError(FlowError):
    """A record was asked to make a state transition that does not exist."""


class RunFailed(FlowError):
    """A run ended without success.

    Attributes:
        pathspec: ``Flow/run``.
        state: ``failed`` or ``interrupted``.
        run: the client's `Run`, where the flow was run from Python; else None.
    """

    def __init__(self, what: str, *, pathspec: str, state: str, **parts: str | None) -> None:
        super().__init__(what, **parts)
        self.pathspec = pathspec
        self.state = state
        self.run: Any = None


def near_misses(name: str, candidates: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to ``limit`` of ``candidates`` that a person who typed ``name`` may have meant."""
    from difflib import get_close_matches  # 5 ms of import, needed only when something is wrong

    by_lower = {c.lower(): c for c in candidates}
    typed = name.lower()
    found = get_close_matches(typed, by_lower, n=limit, cutoff=0.6)
    if not found and len(typed) == 2:  # one letter of two is no match for it: 's4' for 's3'
        found = sorted(c for c in by_lower if len(c) == 2 and c[0] == typed[0])[:limit]
    return [by_lower[m] for m in found]


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``did you mean 'x'?`` for near misses, else the list of all candidates, else ``''``."""
    known = sorted(set(candidates))
    close = near_misses(name, known)
    if close:
        return "did you mean " + " or ".join(f"'{c}'" for c in close) + "?"
    return "known names: " + ", ".join(known) if known else ""

"""The predecessor's exceptions, and how flow-core's become them at the border.

All are flow-core's errors too, so that the command line shows them as it shows its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

from flow_core.api import FlowError, MergeError, NotFound, TransitionError, UsageError

P = ParamSpec("P")
R = TypeVar("R")


class MetaflowException(FlowError):
    """The base of the predecessor's exceptions.

    Args:
        msg: what failed.
        lineno: line in ``source_file``.
        source_file: the file that is at fault.

    Attributes:
        headline: what stands above the message; subclasses set it.
    """

    headline = "Flow failed"

    def __init__(
        self, msg: Any = "", lineno: int | None = None, source_file: str | None = None
    ) -> None:
        place = f"{source_file or 'line'}:{lineno}" if lineno else source_file
        super().__init__(f"{self.headline}: {msg}", where=place)
        self.message = str(msg)
        self.line_no = lineno
        self.source_file = source_file

    def __str__(self) -> str:
        prefix = f"line {self.line_no}: " if self.line_no else ""
        return prefix + self.message

    @classmethod
    def of(cls, error: FlowError) -> MetaflowException:
        """Return ``error`` as one of this class, with all that it tells."""
        made = cls.__new__(cls)
        MetaflowException.__init__(made, FlowError.__str__(error))
        made.what = error.what
        made.where, made.why, made.hint = error.where, error.why, error.hint
        return made


class ParameterFieldFailed(MetaflowException):
    """The function of a parameter's field failed."""

    headline = "Parameter field failed"

    def __init__(self, name: str, field: str) -> None:
        super().__init__(f"When evaluating the field *{field}* for the Parameter *{name}*: failed.")


class ParameterFieldTypeMismatch(MetaflowException):
    """The function of a parameter's field returned another type."""

    headline = "Parameter field with a mismatching type"


class ExternalCommandFailed(MetaflowException):
    """A command that was called failed."""

    headline = "External command failed"


class MetaflowNotFound(MetaflowException):
    """There is no such flow, run, step, task or artifact."""

    headline = "Object not found"


class MetaflowNamespaceMismatch(MetaflowException):
    """It exists, but not in the namespace."""

    headline = "Object not in the current namespace"

    def __init__(self, namespace: Any) -> None:
        super().__init__(f"Object not in namespace '{namespace}'")


class MetaflowInvalidPathspec(MetaflowException):
    """A pathspec has another form."""

    headline = "Invalid pathspec"


class MetaflowInternalError(MetaflowException):
    """Something that should not be."""

    headline = "Internal error"


class MetaflowTaggingError(MetaflowException):
    """A tag cannot be added or removed."""

    headline = "Tagging error"


class MetaflowUnknownUser(MetaflowException):
    """Nobody knows who runs this."""

    headline = "Unknown user"

    def __init__(self) -> None:
        super().__init__("Set the variable METAFLOW_USER to your name.")


class InvalidDecoratorAttribute(MetaflowException):
    """A decorator has no such attribute."""

    headline = "Unknown decorator attribute"


class CommandException(MetaflowException):
    """A command was given wrongly."""

    headline = "Invalid command"


class MetaflowDataMissing(MetaflowException):
    """Data of a task is missing."""

    headline = "Data missing"


class UnhandledInMergeArtifactsException(MetaflowException):
    """The branches differ in artifacts.

    Attributes:
        artifact_names: the names of these.
    """

    headline = "Unhandled artifacts in merge"

    def __init__(self, msg: Any, unhandled: Iterable[str]) -> None:
        super().__init__(msg)
        self.artifact_names = list(unhandled)


class MissingInMergeArtifactsException(MetaflowException):
    """No branch has artifacts that are to be merged.

    Attributes:
        artifact_names: the names of these.
    """

    headline = "Missing artifacts in merge"

    def __init__(self, msg: Any, missing: Iterable[str]) -> None:
        super().__init__(msg)
        self.artifact_names = list(missing)


class InvalidNextException(MetaflowException):
    """``self.next`` was called in a way that is not allowed."""

    headline = "Invalid self.next() transition detected"

    def __init__(self, msg: Any = "") -> None:
        super().__init__(msg)


class MetaflowExceptionWrapper(Exception):
    """A failure as ``@catch(var=…)`` keeps it, and as ``task.exception`` tells it.

    Attributes:
        type: qualified name of the exception's class: ``builtins.ValueError``.
        exception: its message.
        stacktrace: its traceback.
    """

    def __init__(self, exc: BaseException | None = None) -> None:
        self.type = f"{type(exc).__module__}.{type(exc).__name__}" if exc is not None else None
        self.exception = str(exc) if exc is not None else ""
        self.stacktrace: str | None = None
        if exc is not None:
            import traceback

            self.stacktrace = "".join(traceback.format_exception(exc))
        super().__init__(self.exception)

    @classmethod
    def of(cls, failure: Any) -> MetaflowExceptionWrapper:
        """Return what is known of a failure: its ``type``, ``message`` and ``traceback``."""
        made = cls()
        name = failure.type or failure.cause
        made.type = name if "." in name else f"builtins.{name}"
        made.exception = failure.message
        made.stacktrace = failure.traceback or failure.message
        made.args = (failure.message,)
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (), self.__dict__

    def __str__(self) -> str:
        return self.stacktrace or f"{self.type}: {self.exception}"

    __repr__ = __str__


class FailureHandledByCatch(MetaflowException):
    """The process of a step died, and ``@catch`` went on."""

    headline = "Failure handled by @catch"

    def __init__(self, retry_count: int) -> None:
        super().__init__(f"Task execution kept failing over {retry_count + 1} attempts.")


# --- the border ---------------------------------------------------------------------------------


def translated(error: FlowError) -> MetaflowException:
    """Return the exception that the predecessor raises where flow-core raises ``error``."""
    if isinstance(error, MetaflowException):
        return error
    made = _class_for(error).of(error)
    if isinstance(error, MergeError):
        made.artifact_names = list(error.artifact_names)  # type: ignore[attr-defined]
    return made


def _class_for(error: FlowError) -> type[MetaflowException]:
    # The client's own error classes are a plugin's, which is not imported for an `except`.
    if isinstance(error, NotFound):
        names = [cls.__name__ for cls in type(error).__mro__]
        return MetaflowNamespaceMismatch if "NamespaceMismatch" in names else MetaflowNotFound
    if isinstance(error, MergeError):
        if not error.artifact_names:
            return MetaflowException
        missing = "no branch has" in error.what
        return MissingInMergeArtifactsException if missing else UnhandledInMergeArtifactsException
    if isinstance(error, TransitionError):
        return InvalidNextException
    if isinstance(error, UsageError):
        return CommandException
    return MetaflowException


@contextmanager
def border() -> Iterator[None]:
    """Let only the predecessor's exceptions out of a ``with`` block."""
    try:
        yield
    except FlowError as error:
        if isinstance(error, MetaflowException):
            raise
        raise translated(error) from None


def at_border(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` with the predecessor's exceptions."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with border():
            return function(*args, **kwargs)

    return call

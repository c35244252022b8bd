"""The listener of a session: hears what happens in a run, and has it traced and measured.

Whatever goes wrong here, the run goes on: the first trouble ends the tracing of the run, and is told
when the run has ended.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

# Loaded before tasks are forked, so that they need not load it again: the interface, no SDK.
from opentelemetry import trace as _  # noqa: F401

from flow_core.api import (
    Event,
    FlowError,
    Graph,
    Message,
    RunDraft,
    RunRecord,
    RunRequest,
    RunResult,
    Session,
    TaskCommand,
    TaskPlan,
    TaskSpec,
    hookimpl,
)
from flow_tracing.bounded import trouble_of

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

    from flow_tracing.run_trace import RunTrace

T = TypeVar("T")
_LONGEST = 200  # characters of a complaint


class Listener:
    """See the module.

    Args:
        processors: what gets the spans, for tests; None = the exporters that the variables name.
        readers: what gets the metrics; None = the same.
    """

    def __init__(
        self,
        processors: Sequence[SpanProcessor] | None = None,
        readers: Sequence[MetricReader] | None = None,
    ) -> None:
        self._processors, self._readers = processors, readers
        self._trace: RunTrace | None = None
        self._trouble = ""
        self._complaints = Complaints()

    @hookimpl
    def flow_run_draft(self, session: Session, request: RunRequest, draft: RunDraft) -> None:
        """Refuse exporters that are not there, before the run is."""
        if self._processors is None:
            from flow_tracing.exporters import check_exporters

            check_exporters()

    @hookimpl
    def flow_run_started(self, session: Session, run: RunRecord, graph: Graph) -> None:
        """Begin the span of the run. From here on threads are allowed."""
        self._trouble = ""
        self._complaints.begin()
        self._trace = self._guarded(lambda: self._begin(session, run, graph))

    def _begin(self, session: Session, run: RunRecord, graph: Graph) -> RunTrace:
        from flow_tracing import exporters
        from flow_tracing.run_trace import RunTrace

        processors, readers = self._processors, self._readers
        tracers = exporters.tracer_provider(
            exporters.span_exporters() if processors is None else (), processors or ()
        )
        meters = exporters.meter_provider(
            exporters.metric_readers() if readers is None else readers
        )
        settings = session.settings
        environment, inside = settings.script_environment(), settings["tracing_spans"]
        return RunTrace(run, graph, tracers, meters, environment, inside)

    @hookimpl
    def flow_task_command(self, task: TaskSpec, plan: TaskPlan, command: TaskCommand) -> None:
        """Begin the span of an attempt, and tell the task which it is."""
        traced = self._trace
        if traced is not None and not self._trouble:
            variables = self._guarded(lambda: traced.attempt_begins(task))
            command.variables.update(variables or {})

    @hookimpl
    def flow_event(self, event: Event) -> None:
        """Note what happened."""
        traced = self._trace
        if traced is not None and not self._trouble:
            self._guarded(lambda: traced.note(event))

    @hookimpl(budget=None)  # it has one of its own, the setting
    def flow_run_finished(self, session: Session, run: RunRecord, result: RunResult) -> None:
        """End the span of the run; wait until all is sent, or the patience is over."""
        traced, self._trace = self._trace, None
        if traced is not None:
            self._guarded(lambda: traced.end(result))
            patience: float = session.settings["tracing_patience"]
            self._trouble = self._trouble or trouble_of(traced.close, patience)
        self._trouble = self._complaints.end() or self._trouble
        if self._trouble:
            text = f"tracing: not all of the trace could be sent: {self._trouble}"
            session.emit(Message(text, "warning", time.time()))

    def _guarded(self, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except Exception as error:
            what = error.what if isinstance(error, FlowError) else str(error)
            self._trouble = self._trouble or f"{type(error).__name__}: {what}"
            return None


class Complaints(logging.Handler):
    """Keeps what the SDK complains of, instead of letting it write amid what a run shows."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logger = logging.getLogger("opentelemetry")
        self._earlier: bool | None = None
        self._last = ""

    def begin(self) -> None:
        """Listen to the SDK."""
        self._last = ""
        if self._earlier is None:
            self._earlier = self._logger.propagate
            self._logger.propagate = False
            self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record: the last one says it best."""
        text = record.getMessage()
        error: Any = record.exc_info[1] if record.exc_info else None
        self._last = _short(f"{text} {type(error).__name__}: {error}" if error else text)

    def end(self) -> str:
        """Stop listening; return the last complaint, or ``""``."""
        if self._earlier is not None:
            self._logger.removeHandler(self)
            self._logger.propagate, self._earlier = self._earlier, None
        return self._last


def _short(text: str) -> str:
    """Return what the system said, if it is in ``text``, else its first line, not all of a long one."""
    found = re.search(r"\[Errno -?\d+\] ([\w ]+)", text)
    line = found[1] if found else text.partition("\n")[0]
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"

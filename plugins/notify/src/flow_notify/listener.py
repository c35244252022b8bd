"""The listener of a session: makes messages of events, and hands them to the sender."""

from __future__ import annotations

import time

from flow_core.api import (
    Event,
    Message,
    RunRecord,
    RunResult,
    Session,
    TaskFinished,
    hookimpl,
)
from flow_notify.messages import Notice, Writer, of_run, of_start, of_task
from flow_notify.options import read_options
from flow_notify.sender import Sender


class Listener:
    """See the module. Nothing here waits for the network but the end of `run_finished`.

    Args:
        session: whose events are heard.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._events: frozenset[str] = frozenset()
        self._writer = Writer("json", "")
        self._patience = 0.0
        self._sender: Sender | None = None
        self._run: RunRecord | None = None

    def configure(self) -> None:
        """Take the settings over; `SettingsError` for those that cannot be used."""
        options = read_options(self._session.settings)
        self._events, self._writer = options.events, Writer(options.format, options.template)
        self._patience = options.patience
        self._sender = Sender(options.target)

    def run_started(self, run: RunRecord) -> None:
        """A run is there."""
        self._run = run
        self._tell(of_start(run))

    @hookimpl
    def flow_event(self, event: Event) -> None:
        """Tell of attempts that failed."""
        if isinstance(event, TaskFinished) and event.manifest.failure and self._run is not None:
            self._tell(of_task(self._run, event))

    def run_finished(self, run: RunRecord, result: RunResult) -> None:
        """Tell how the run ended; wait for what is under way; say once what did not arrive."""
        self._tell(of_run(run, result))
        self._run = None
        if self._sender is not None:
            trouble = self._sender.close(self._patience)
            if trouble:
                self._session.emit(Message(trouble, "warning", time.time()))

    def _tell(self, notice: Notice) -> None:
        if self._sender is not None and notice.event in self._events:
            self._sender.post(self._writer.write(notice))

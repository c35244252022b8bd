"""Hooks: listen where a webhook is named; nothing is loaded, and nothing happens, where none is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import (
    Graph,
    RunDraft,
    RunRecord,
    RunRequest,
    RunResult,
    Session,
    Settings,
    hookimpl,
)

if TYPE_CHECKING:
    from flow_notify.listener import Listener

NAME = "notify.listener"
"""Name under which the listener of a session is registered."""


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare where messages go, which, and in which form."""
    settings.declare("notify_url", "", "URL to which messages are posted.", secret=True)
    settings.declare(
        "notify_events",
        "run_succeeded,run_failed,run_interrupted",
        "What is told, by commas: run_started, run_succeeded, run_failed, run_interrupted, "
        "task_failed, task_retried, task_caught, or all.",
    )
    settings.declare(
        "notify_format",
        "json",
        "Form of a message: json has all that is known, slack is for its incoming webhooks.",
        choices=("json", "slack"),
    )
    settings.declare(
        "notify_template",
        "",
        "Text of a message, such as '{flow}/{run}: {event} {message}'; empty = one for each event.",
    )
    settings.declare(
        "notify_headers",
        "",
        "Name of the variable that holds further HTTP headers, as a JSON object.",
    )
    settings.declare("notify_timeout", 5.0, "Seconds that the webhook may be silent.", minimum=0.1)
    settings.declare("notify_retries", 2, "How often a message is sent again.", minimum=0)
    settings.declare(
        "notify_patience", 10.0, "Seconds that a run's end waits for messages.", minimum=0.0
    )


@hookimpl
def flow_session_started(session: Session) -> None:
    """Listen, if there is a webhook. A thread starts with the first message of a run, when nothing
    forks any more."""
    if session.settings["notify_url"]:
        from flow_notify.listener import Listener

        session.plugins.manager.register(Listener(session), NAME)


@hookimpl
def flow_run_draft(session: Session, request: RunRequest, draft: RunDraft) -> None:
    """Refuse settings that could tell nobody anything, before the run is there."""
    listener = _listener(session)
    if listener is not None:
        listener.configure()


@hookimpl
def flow_run_started(session: Session, run: RunRecord, graph: Graph) -> None:
    """Tell that it starts."""
    listener = _listener(session)
    if listener is not None:
        listener.run_started(run)


@hookimpl(budget=None)  # it has one of its own, the setting
def flow_run_finished(session: Session, run: RunRecord, result: RunResult) -> None:
    """Send the last message, and wait a little until all have arrived."""
    listener = _listener(session)
    if listener is not None:
        listener.run_finished(run, result)


def _listener(session: Session) -> Listener | None:
    listener: Listener | None = session.plugins.manager.get_plugin(NAME)
    return listener

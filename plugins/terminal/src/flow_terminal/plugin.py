"""Hooks: declare the settings, and listen for as long as a session lasts."""

from __future__ import annotations

from flow_core.api import RunRecord, RunResult, Session, Settings, hookimpl

NAME = "terminal.listener"
"""Name under which the listener of a session is registered."""


@hookimpl
def flow_settings(settings: Settings) -> None:
    """Declare how much is shown."""
    settings.declare("terminal_quiet", False, "Show nothing of a run but its failures.")
    settings.declare(
        "terminal_progress",
        "auto",
        "How a run is shown: live needs a terminal, plain is lines; auto chooses.",
        choices=("auto", "plain", "live", "off"),
    )


@hookimpl
def flow_session_started(session: Session) -> None:
    """Begin to listen."""
    from flow_terminal.listener import Listener, choose_view

    view = choose_view(session)
    if view is not None:
        session.plugins.manager.register(Listener(view, session), NAME)


@hookimpl
def flow_run_finished(session: Session, run: RunRecord, result: RunResult) -> None:
    """Spare the command line from saying how the run ended, where that is shown."""
    session.outcome_told = session.plugins.manager.has_plugin(NAME)


@hookimpl
def flow_session_finished(session: Session) -> None:
    """End, and leave the terminal as it was found, whatever happened to the run."""
    listener = session.plugins.manager.unregister(name=NAME)
    if listener is not None:
        listener.close()

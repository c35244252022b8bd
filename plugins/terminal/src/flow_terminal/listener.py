"""Listener: the hook object that passes the events of one session to its view."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

from flow_core.api import (
    Event,
    RunStarted,
    Session,
    Settings,
    TaskOutput,
    command_line,
    hookimpl,
)
from flow_terminal.failures import Failures
from flow_terminal.plain import Plain
from flow_terminal.sink import Sink
from flow_terminal.style import Style
from flow_terminal.view import View


class Listener:
    """Registered for one session, so that no state outlives it.

    Args:
        view: what shows the events.
        session: None in tests of a view alone.
    """

    def __init__(self, view: View, session: Session | None = None) -> None:
        self._view = view
        self._session = session
        self._foreground: frozenset[str] = frozenset()

    @hookimpl
    def flow_event(self, event: Event) -> None:
        """Show an event."""
        if isinstance(event, RunStarted):
            self._share_the_terminal()
        if not (isinstance(event, TaskOutput) and event.spec.step in self._foreground):
            self._view.handle(event)

    def _share_the_terminal(self) -> None:
        """Draw nothing where tasks of this very process write, and perhaps ask; nor tell it again."""
        if self._session is None:
            return
        self._foreground = frozenset(
            step
            for step, plan in self._session.plans.items()
            if self._session.compute(plan.compute).capabilities.foreground
        )
        if self._foreground and not isinstance(self._view, (Plain, Failures)):
            self._view = Plain(self._view.sink, self._view.style, self._view.commands)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self._view.close()


def choose_view(session: Session, stream: Any = None) -> View | None:
    """Return the view that the settings and the stream ask for; None for none at all."""
    settings = session.settings
    mode = settings["terminal_progress"]
    if mode == "off" or not session.interactive:
        return None
    stream = sys.stdout if stream is None else stream
    terminal = is_terminal(stream, settings)
    sink = Sink(stream)
    style = Style(terminal and not settings.no_color(), sink.encoding)
    kind = _kind(mode, terminal, settings["quiet"] or settings["terminal_quiet"])
    return kind(sink, style, partial(command_line, session))


def is_terminal(stream: Any, settings: Settings) -> bool:
    """Whether ``stream`` is a terminal that understands control sequences."""
    isatty = getattr(stream, "isatty", None)
    term = settings.script_environment().get("TERM", "")
    return bool(isatty and isatty()) and term not in ("", "dumb") and os.name != "nt"


def _kind(mode: str, terminal: bool, quiet: bool) -> type[View]:
    if quiet:
        return Failures
    if mode == "live" or (mode == "auto" and terminal):
        from flow_terminal.live import Live

        return Live
    return Plain

"""Listener: the hook object that passes the events of one session to its view."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Any

from flow_core.api import Event, Session, Settings, command_line, hookimpl
from flow_terminal.failures import Failures
from flow_terminal.plain import Plain
from flow_terminal.sink import Sink
from flow_terminal.style import Style
from flow_terminal.view import View


class Listener:
    """Registered for one session, so that no state outlives it."""

    def __init__(self, view: View) -> None:
        self._view = view

    @hookimpl
    def flow_event(self, event: Event) -> None:
        """Show an event."""
        self._view.handle(event)

    def close(self) -> None:
        """Leave the terminal as it was found."""
        self._view.close()


def choose_view(session: Session, stream: Any = None) -> View | None:
    """Return the view that the settings and the stream ask for; None for none at all."""
    settings = session.settings
    mode = settings["terminal_progress"]
    if mode == "off":
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

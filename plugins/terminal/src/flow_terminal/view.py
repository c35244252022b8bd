"""View: what is told about a run, and how it gets to the person. The base of all views."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flow_terminal.progress import Progress
from flow_terminal.sink import Sink
from flow_terminal.style import Style
from flow_terminal.summary import Commands


class View:
    """Keeps the model up to date and calls the view's own handler for each kind of event.

    Args:
        sink: where to write.
        style: colours and glyphs.
        commands: how commands are called, for hints.
    """

    def __init__(self, sink: Sink, style: Style, commands: Commands) -> None:
        self.sink = sink
        self.style = style
        self.commands = commands
        self.progress = Progress()
        self._handlers = self.handlers()

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """Return the method for each type of event that the view shows."""
        raise NotImplementedError

    def handle(self, event: Any) -> None:
        """Take in one event and show it."""
        self.progress.update(event)
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def print(self, lines: Iterable[str]) -> None:
        """Write lines as they are."""
        self.sink.write("".join([f"{line}\n" for line in lines]))

    def close(self) -> None:
        """Leave the terminal as it was found. Safe to call at any time, more than once."""

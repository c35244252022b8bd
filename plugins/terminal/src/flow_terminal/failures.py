"""The quiet view: nothing but failures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flow_core.api import Message, RunFinished, RunState, harmless
from flow_terminal.summary import outcome
from flow_terminal.view import View


class Failures(View):
    """Says nothing unless the run fails, and then which tasks did, and why."""

    def handlers(self) -> dict[type, Callable[[Any], None]]:
        """Return the method for each type of event that is shown."""
        return {Message: self._message, RunFinished: self._run_finished}

    def _message(self, event: Message) -> None:
        if event.level == "error":
            self.print([self.style.paint(harmless(event.text, False), "red")])

    def _run_finished(self, event: RunFinished) -> None:
        if event.result.state is not RunState.SUCCEEDED:
            self.print(outcome(self.progress, event, self.style, self.commands))

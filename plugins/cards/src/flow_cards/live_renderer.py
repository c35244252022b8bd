"""The process that draws cards of running tasks: ``python -m flow_cards.live_renderer``.

`flow card server` starts it, and writes a line of JSON for each card that is to be drawn. It forks a
child for each, see `Workshop`, and answers with a line when the result lies in a file.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from flow_cards.children import Outcome, can_fork, finish
from flow_cards.drawing import get_ready
from flow_cards.live import view_card
from flow_cards.storage import Place
from flow_cards.workshop import (
    Workshop,
    first_message,
    make_session,
    own_output,
    yield_to_tasks,
)
from flow_core.api import Session

_ERROR_TIMEOUT = 30.0


class Job(NamedTuple):
    """One drawing: its number, which card, what is known of it; on a second try what went wrong."""

    id: int
    place: Place
    number: int
    facts: Mapping[str, Any]
    failed: Outcome | None = None

    def do(self, session: Session, folder: str) -> None:
        """Draw it into the file ``ID.json`` of the folder."""
        place: Any = tuple(self.place)
        view = view_card(session, place, self.number, self.facts, self.failed)
        with open(os.path.join(folder, f"{self.id}.json"), "w", encoding="utf-8") as file:
            json.dump(view._asdict(), file)


class LiveRenderer(Workshop):
    """Draws what it is told, some at a time.

    Args:
        first: the first line of its input, see `make_session`; and ``folder``, ``workers``.
        end: where to answer.
    """

    def __init__(self, first: Mapping[str, Any], end: int) -> None:
        super().__init__(make_session(first), first["workers"])
        self._first = first
        self._end = end

    def hear(self, message: Any) -> None:
        """Take in what is to be drawn."""
        self.waiting.append(Job(*message))

    def start(self, job: Job) -> None:
        """Start to draw a card."""
        timeout = float(job.facts["timeout"]) if job.failed is None else _ERROR_TIMEOUT
        work: Any = partial(job.do, self.session, self._first["folder"])
        if not can_fork():  # the code of the flow has started threads
            given = json.dumps({"first": self._first, "job": job}).encode()
            work = ([sys.executable, "-m", "flow_cards.live_renderer", "one"], given)
        self.children.start(work, timeout, partial(self._ended, job))

    def _ended(self, job: Job, outcome: Outcome) -> None:
        if outcome.error and job.failed is None:
            self.waiting.appendleft(job._replace(failed=outcome))
            return
        if not outcome.error and job.failed is None:
            self.keep(str(job.facts["type"]))
        answer = json.dumps([job.id, outcome.error]).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            os.write(self._end, answer)


def main() -> None:
    """Serve the server, whose first line says what to open, see `LiveRenderer`."""
    end = own_output()
    if sys.argv[1:] == ["one"]:
        given = json.load(sys.stdin)
        job = Job(*given["job"])
        finish(lambda: job.do(make_session(given["first"]), given["first"]["folder"]), end)
    yield_to_tasks()
    first, told = first_message()
    renderer = LiveRenderer(first, end)
    get_ready()
    gc.freeze()  # children need not copy what is there now
    renderer.serve(told)


if __name__ == "__main__":
    main()

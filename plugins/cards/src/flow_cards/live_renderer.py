"""The process that draws cards of running tasks: ``python -m flow_cards.live_renderer``.

`flow card server` starts it, and writes a line of JSON for each card that is to be drawn. It forks a
child for each, with a limit of time, so that a card can neither hang nor crash the server, and answers
with a line when the result lies in a file. It ends with its input.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import sys
from collections import deque
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

from flow_cards.children import Children, Outcome, can_fork, finish
from flow_cards.drawing import get_ready
from flow_cards.live import view_card
from flow_cards.making import load_type
from flow_cards.storage import Place
from flow_core.api import Session, Settings

_ERROR_TIMEOUT = 30.0
_NICE = 5


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


class LiveRenderer:
    """Draws what it is told, some at a time.

    Args:
        first: the first line of its input, see `make_session`; and ``folder``, ``workers``.
        end: where to answer.
    """

    def __init__(self, first: Mapping[str, Any], end: int) -> None:
        self._first = first
        self._session = make_session(first)
        self._end = end
        self._waiting: deque[Job] = deque()
        self._selector = selectors.DefaultSelector()
        self._children = Children(self._selector)
        self._input = b""
        self._kept: set[str] = set()

    def serve(self, told: bytes) -> None:
        """Draw until the server is gone. ``told`` is what was read of standard input already."""
        self._hear_all(told)
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ, None)
        try:
            while True:
                self._start_some()
                for key, _ in self._selector.select(self._children.wait_time()):
                    if key.data is not None:
                        key.data.readable(key.fd)
                    elif not self._read():
                        return
                self._children.end_overdue()
        finally:
            self._children.kill()

    def _read(self) -> bool:
        try:
            chunk = os.read(0, 1 << 16)
        except BlockingIOError:
            return True
        self._hear_all(chunk)
        return bool(chunk)

    def _hear_all(self, chunk: bytes) -> None:
        *lines, self._input = (self._input + chunk).split(b"\n")
        self._waiting.extend(Job(*json.loads(line)) for line in lines)

    def _start_some(self) -> None:
        while self._waiting and len(self._children) < self._first["workers"]:
            self._start(self._waiting.popleft())

    def _start(self, job: Job) -> None:
        timeout = float(job.facts["timeout"]) if job.failed is None else _ERROR_TIMEOUT
        work: Any = partial(job.do, self._session, self._first["folder"])
        if not can_fork():  # the code of the flow has started threads
            given = json.dumps({"first": self._first, "job": job}).encode()
            work = ([sys.executable, "-m", "flow_cards.live_renderer", "one"], given)
        self._children.start(work, timeout, partial(self._ended, job))

    def _ended(self, job: Job, outcome: Outcome) -> None:
        if outcome.error and job.failed is None:
            self._waiting.appendleft(job._replace(failed=outcome))
            return
        if not outcome.error and job.failed is None:
            self._keep(str(job.facts["type"]))
        answer = json.dumps([job.id, outcome.error]).encode() + b"\n"
        with contextlib.suppress(BrokenPipeError):
            os.write(self._end, answer)

    def _keep(self, kind: str) -> None:
        """Load a type of cards here, so that children need not: it has just been seen to work."""
        if kind not in self._kept:
            self._kept.add(kind)
            with contextlib.suppress(Exception):  # then each child loads it for itself
                load_type(self._session.index, kind)
            gc.freeze()


def make_session(first: Mapping[str, Any]) -> Session:
    """Return a session that reads what the server's one reads.

    Args:
        first: ``session``, the document of a session with the flow, or None; ``store``, the URL of
            the store; ``plugins``, names of hook modules.
    """
    if first["session"] is not None:
        # Without the code of the flow, which may want what is not here, less can be shown of values.
        with contextlib.suppress(Exception):
            return Session.from_document(first["session"])
    settings = Settings(warn=lambda *_: None)  # the server has told
    settings.override("datastore", first["store"], "server")
    return Session(settings=settings, plugins=first["plugins"])


def _own_output() -> int:
    """Keep standard output for the answers; what others print goes to the error."""
    end = os.dup(1)
    os.dup2(2, 1)
    return end


def main() -> None:
    """Serve the server, whose first line says what to open, see `LiveRenderer`."""
    end = _own_output()
    if sys.argv[1:] == ["one"]:
        given = json.load(sys.stdin)
        job = Job(*given["job"])
        finish(lambda: job.do(make_session(given["first"]), given["first"]["folder"]), end)
    with contextlib.suppress(OSError):
        os.nice(_NICE)  # tasks come first
    told = b""
    while b"\n" not in told:
        chunk = os.read(0, 1 << 20)
        if not chunk:
            return  # the server is gone
        told += chunk
    line, _, rest = told.partition(b"\n")
    renderer = LiveRenderer(json.loads(line), end)
    get_ready()
    gc.freeze()  # children need not copy what is there now
    renderer.serve(rest)


if __name__ == "__main__":
    main()

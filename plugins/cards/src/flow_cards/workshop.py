"""A process that works for another one, which tells it by lines of JSON on standard input what to do.

It forks a child for each job, with a limit of time, some at a time: a job can neither hang nor crash it.
When its input ends, the other one is gone, and so is this.
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
from typing import Any

from flow_cards.children import Children
from flow_cards.making import load_type
from flow_core.api import FlowError, Session, Settings

_NICE = 5


class Workshop:
    """Does what it is told. A subclass says what a message means, and how a job is started.

    Args:
        session: what jobs work with.
        workers: how many at a time.

    Attributes:
        session: see above.
        waiting: jobs that have not begun.
        children: those that are being done.
    """

    def __init__(self, session: Session, workers: int) -> None:
        self.session = session
        self.waiting: deque[Any] = deque()
        self._selector = selectors.DefaultSelector()
        self.children = Children(self._selector)
        self._workers = workers
        self._input = b""
        self._kept: set[str] = set()

    def hear(self, message: Any) -> None:
        """Take in what the other process tells."""
        raise NotImplementedError

    def start(self, job: Any) -> None:
        """Start a job, in `children`."""
        raise NotImplementedError

    def start_last(self) -> None:
        """Start what comes after all others, when nothing waits and nothing is being done."""

    def is_done(self) -> bool:
        """Whether nothing will come any more, and all is done."""
        return False

    def serve(self, told: bytes) -> bool:
        """Work until all is done, which is True, or the other process is gone.

        Args:
            told: what was read of standard input already.
        """
        self._hear_all(told)
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ, None)
        try:
            while not self.is_done():
                self._start_some()
                for key, _ in self._selector.select(self.children.wait_time()):
                    if key.data is not None:
                        key.data.readable(key.fd)
                    elif not self._read():
                        return False
                self.children.end_overdue()
            return True
        finally:
            self.children.kill()

    def _start_some(self) -> None:
        while self.waiting and len(self.children) < self._workers:
            self.start(self.waiting.popleft())
        if not self.waiting and not len(self.children):
            self.start_last()

    def _read(self) -> bool:
        """Read what the other process tells; False when it is gone."""
        try:
            chunk = os.read(0, 1 << 16)
        except BlockingIOError:
            return True
        self._hear_all(chunk)
        return bool(chunk)

    def _hear_all(self, chunk: bytes) -> None:
        *lines, self._input = (self._input + chunk).split(b"\n")
        for line in lines:
            self.hear(json.loads(line))

    def keep(self, kind: str) -> None:
        """Load a type of cards here, so that children need not: it has just been seen to work."""
        if kind not in self._kept:
            self._kept.add(kind)
            with contextlib.suppress(Exception):  # then each child loads it for itself
                load_type(self.session.index, kind)
            gc.freeze()


def facts_of(session: Session) -> dict[str, Any]:
    """Return what `make_session` needs, as JSON data: the document of a session with the flow, or None
    where it has none or the flow is broken now; the URL of the store; the names of hook modules."""
    document = None
    with contextlib.suppress(FlowError):  # cards can be made all the same
        document = session.document if session.flow is not None else None
    return {
        "session": document,
        "store": session.store.url,
        "plugins": list(session.named_modules),
    }


def make_session(first: Mapping[str, Any]) -> Session:
    """Return a session that reads what that of the other process reads.

    Args:
        first: see `facts_of`.
    """
    if first["session"] is not None:
        # Without the code of the flow, which may want what is not here, less can be shown of values.
        with contextlib.suppress(Exception):
            return Session.from_document(first["session"])
    settings = Settings(warn=lambda *_: None)  # the other process has told
    settings.override("datastore", first["store"], "server")
    return Session(settings=settings, plugins=first["plugins"])


def own_output() -> int:
    """Keep standard output for answers, and return it; what others print goes to the error."""
    end = os.dup(1)
    os.dup2(2, 1)
    return end


def yield_to_tasks() -> None:
    """Run at a lower priority: tasks come first."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)


def first_message() -> tuple[Any, bytes]:
    """Return the first line of standard input, and what was read beyond it; exit when there is none."""
    read = b""
    while b"\n" not in read:
        chunk = os.read(0, 1 << 20)
        if not chunk:
            sys.exit(0)  # the other process is gone
        read += chunk
    line, _, rest = read.partition(b"\n")
    return json.loads(line), rest

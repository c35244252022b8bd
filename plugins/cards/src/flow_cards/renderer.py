"""The process that makes the cards of a run: ``python -m flow_cards.renderer``.

The launcher starts it beside the first task with a card, and tells it of each attempt that has ended:
a line of JSON on standard input. When all is done, it makes the card of the run. It opens no store itself, but forks a child for each card. When its
input ends without the word ``finish``, the launcher is gone, and so is this.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import selectors
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

from flow_cards.children import Children, Outcome, can_fork, finish, line_of
from flow_cards.drawing import get_ready
from flow_cards.making import (
    cards_of_step,
    failure_text,
    load_type,
    make_card,
    make_error_card,
    make_run_card,
    make_run_error_card,
    run_failure_text,
)
from flow_cards.storage import Place
from flow_cards.wording import count_text
from flow_core.api import Session

_ERROR_TIMEOUT = 30.0
_RUN_TIMEOUT = 45.0
_TOLD = 5
_NICE = 5


class Job(NamedTuple):
    """One card: of which attempt, which one; with the outcome of the first try, an error card."""

    place: Place
    number: int
    failed: Outcome | None = None

    def do(self, session: Session) -> None:
        """Make the card."""
        if self.failed is None:
            make_card(session, self.place, self.number)
        else:
            make_error_card(session, self.place, self.number, *self.failed)


class RunJob(NamedTuple):
    """A card of the whole run: which run, which type; with the outcome of the first try, an error card."""

    flow: str
    run: str
    type: str
    failed: Outcome | None = None

    def do(self, session: Session) -> None:
        """Make the card."""
        if self.failed is None:
            make_run_card(session, *self[:3])
        else:
            make_run_error_card(session, *self[:3], *self.failed)


class Renderer:
    """Makes cards, some at a time.

    Args:
        document: that of the launcher's session.
        session: the session made of it.
        workers: how many at a time.
        end: where to tell, at the end, what became of them.
        told: what was read of standard input already.
    """

    def __init__(
        self, document: Any, session: Session, workers: int, end: int, told: bytes = b""
    ) -> None:
        self._document = document
        self._session = session
        self._workers = workers
        self._end = end
        self._waiting: deque[Job] = deque()
        self._last: deque[RunJob] = deque()  # when all others are done, since it shows them
        self._selector = selectors.DefaultSelector()
        self._children = Children(self._selector)
        self._input = b""
        self._finishing = False
        self._kept: set[str] = set()
        self.failures: list[str] = []
        self.failed = 0
        self._hear_all(told)

    def serve(self) -> None:
        """Make cards until the launcher has no more, or is gone."""
        os.set_blocking(0, False)
        self._selector.register(0, selectors.EVENT_READ, None)
        try:
            while not self._finishing or self._waiting or self._last or len(self._children):
                self._start_some()
                for key, _ in self._selector.select(self._children.wait_time()):
                    if key.data is not None:
                        key.data.readable(key.fd)
                    elif not self._read():
                        return
                self._children.end_overdue()
            self._report()
        finally:
            self._children.kill()

    def _read(self) -> bool:
        """Read what the launcher tells; False when it is gone."""
        try:
            chunk = os.read(0, 1 << 16)
        except BlockingIOError:
            return True
        self._hear_all(chunk)
        return bool(chunk)

    def _hear_all(self, chunk: bytes) -> None:
        *lines, self._input = (self._input + chunk).split(b"\n")
        for line in lines:
            self._hear(json.loads(line))

    def _hear(self, message: Any) -> None:
        if message == "finish":
            self._finishing = True
            return
        if isinstance(message, dict):
            self._last.append(RunJob(*message["run"]))
            return
        place: Place = tuple(message)
        numbers = range(len(cards_of_step(self._session, place[2])))
        self._waiting.extend(Job(place, number) for number in numbers)

    def _start_some(self) -> None:
        while self._waiting and len(self._children) < self._workers:
            self._start(self._waiting.popleft())
        if self._finishing and self._last and not self._waiting and not len(self._children):
            last = self._last.popleft()
            self._begin(last, _RUN_TIMEOUT, partial(self._run_ended, last))

    def _start(self, job: Job) -> None:
        timeout = _ERROR_TIMEOUT
        if job.failed is None:
            timeout = cards_of_step(self._session, job.place[2])[job.number].timeout
        self._begin(job, timeout, partial(self._ended, job))

    def _begin(self, job: Job | RunJob, timeout: float, then: Callable[[Outcome], None]) -> None:
        work: Any = partial(job.do, self._session)
        if not can_fork():  # the code of the flow has started threads
            given = json.dumps({"session": self._document, "job": job}).encode()
            work = ([sys.executable, "-m", "flow_cards.renderer", "one"], given)
        self._children.start(work, timeout, then)

    def _run_ended(self, job: RunJob, outcome: Outcome) -> None:
        if outcome.error and job.failed is None:
            self.failures.append(run_failure_text(*job[:3], outcome))
            self._last.append(job._replace(failed=outcome))
        elif outcome.error:
            self.failures.append(f"What says so could not be stored: {outcome.error}")

    def _ended(self, job: Job, outcome: Outcome) -> None:
        options = cards_of_step(self._session, job.place[2])[job.number]
        if not outcome.error:
            if job.failed is None:
                self._keep(options.type)
            return
        if job.failed is None:
            self.failed += 1
            if len(self.failures) < _TOLD:
                self.failures.append(failure_text(job.place, options, outcome))
            if options.save_errors:
                self._waiting.appendleft(job._replace(failed=outcome))
        elif len(self.failures) < 2 * _TOLD:
            self.failures.append(f"What says so could not be stored: {outcome.error}")

    def _keep(self, kind: str) -> None:
        """Load a type of cards here, so that children need not: it has just been seen to work."""
        if kind not in self._kept:
            self._kept.add(kind)
            with contextlib.suppress(Exception):  # then each child loads it for itself
                load_type(self._session.index, kind)
            gc.freeze()

    def _report(self) -> None:
        if self.failed > _TOLD:
            self.failures.append(
                f"{count_text(self.failed - _TOLD, 'more card')} could not be made"
            )
        _tell(self._end, self.failures)


def _tell(end: int, problems: Sequence[str]) -> None:
    """Tell the launcher what went wrong, once and for all."""
    with contextlib.suppress(BrokenPipeError):
        os.write(end, json.dumps(problems).encode() + b"\n")


def _one() -> NoReturn:
    """Make the one card that the document on standard input names."""
    given = json.load(sys.stdin)
    end = _own_output()

    def job() -> None:
        *which, failed = given["job"]
        session = Session.from_document(given["session"])
        outcome = failed and Outcome(*failed)
        if len(which) == len(RunJob._fields) - 1:
            flow, run, kind = which
            RunJob(flow, run, kind, outcome).do(session)
        else:
            Job(tuple(which[0]), which[1], outcome).do(session)

    finish(job, end)


def _own_output() -> int:
    """Keep standard output for what the launcher is told; what others print goes to the error."""
    end = os.dup(1)
    os.dup2(2, 1)
    return end


def main() -> None:
    """Serve the launcher, whose first line is ``{"session": …, "workers": …}``."""
    if sys.argv[1:] == ["one"]:
        _one()
    end = _own_output()
    with contextlib.suppress(OSError):
        os.nice(_NICE)  # tasks come first
    line, rest = _first_line()
    first = json.loads(line)
    try:
        session = Session.from_document(first["session"])
        session.get_ready()
        get_ready()
    except Exception as error:  # of the flow's own code, for example
        _tell(end, [f"Cards could not be made: {line_of(error)}"])
        return
    gc.freeze()  # children need not copy what is there now
    Renderer(first["session"], session, first["workers"], end, rest).serve()


def _first_line() -> tuple[bytes, bytes]:
    """Return the first line of standard input, and what was read beyond it."""
    read = b""
    while b"\n" not in read:
        chunk = os.read(0, 1 << 20)
        if not chunk:
            sys.exit(0)  # the launcher is gone
        read += chunk
    line, _, rest = read.partition(b"\n")
    return line, rest


if __name__ == "__main__":
    main()

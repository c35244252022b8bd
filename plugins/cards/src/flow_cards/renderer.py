"""The process that makes the cards of a run: ``python -m flow_cards.renderer``.

The launcher starts it beside the first task with a card, and tells it of each attempt that has ended:
a line of JSON on standard input. When all is done, it makes the card of the run. It opens no store
itself, but forks a child for each card, see `Workshop`. When its input ends without the word ``finish``,
the launcher is gone, and so is this.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

from flow_cards.children import Outcome, can_fork, finish, line_of
from flow_cards.drawing import get_ready
from flow_cards.making import (
    cards_of_step,
    failure_text,
    make_card,
    make_error_card,
    make_run_card,
    make_run_error_card,
    run_failure_text,
)
from flow_cards.storage import Place
from flow_cards.wording import count_text
from flow_cards.workshop import Workshop, first_message, own_output, yield_to_tasks
from flow_core.api import Session

_ERROR_TIMEOUT = 30.0
_LEAST_RUN_TIMEOUT = 10.0
_TOLD = 5


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


class Renderer(Workshop):
    """Makes cards, some at a time.

    Args:
        document: that of the launcher's session.
        session: the session made of it.
        workers: how many at a time.
    """

    def __init__(self, document: Any, session: Session, workers: int) -> None:
        super().__init__(session, workers)
        self._document = document
        self._last: deque[RunJob] = deque()  # when all others are done, since it shows them
        self._finishing = False
        self._failures: list[str] = []
        self._failed = 0

    def hear(self, message: Any) -> None:
        """Take in an attempt that has ended, the card of the run, or that nothing more will come."""
        if message == "finish":
            self._finishing = True
            return
        if isinstance(message, dict):
            self._last.append(RunJob(*message["run"]))
            return
        place: Place = tuple(message)
        numbers = range(len(cards_of_step(self.session, place[2])))
        self.waiting.extend(Job(place, number) for number in numbers)

    def is_done(self) -> bool:
        """Whether all cards are made, and the launcher has no more."""
        return self._finishing and not (self.waiting or self._last or len(self.children))

    def start_last(self) -> None:
        """Start to make the card of the run."""
        if self._finishing and self._last:
            last = self._last.popleft()
            self._begin(last, self._run_timeout(), partial(self._run_ended, last))

    def _run_timeout(self) -> float:
        """Return the seconds for the card of the run: it shows results, too, as those of tasks do,
        and what makes one of them hang makes it hang again."""
        steps = self.session.definition.steps
        longest = max(
            (o.timeout for step in steps for o in cards_of_step(self.session, step)), default=0.0
        )
        return max(_LEAST_RUN_TIMEOUT, longest)

    def report(self) -> list[str]:
        """Return what went wrong, for people."""
        more = self._failed - _TOLD
        too_many = [f"{count_text(more, 'more card')} could not be made"] if more > 0 else []
        return self._failures + too_many

    def start(self, job: Job) -> None:
        """Start to make a card."""
        timeout = _ERROR_TIMEOUT
        if job.failed is None:
            timeout = cards_of_step(self.session, job.place[2])[job.number].timeout
        self._begin(job, timeout, partial(self._ended, job))

    def _begin(self, job: Job | RunJob, timeout: float, then: Callable[[Outcome], None]) -> None:
        work: Any = partial(job.do, self.session)
        if not can_fork():  # the code of the flow has started threads
            given = json.dumps({"session": self._document, "job": job}).encode()
            work = ([sys.executable, "-m", "flow_cards.renderer", "one"], given)
        self.children.start(work, timeout, then)

    def _run_ended(self, job: RunJob, outcome: Outcome) -> None:
        if outcome.error and job.failed is None:
            self._failures.append(run_failure_text(*job[:3], outcome))
            self._last.append(job._replace(failed=outcome))
        elif outcome.error:
            self._failures.append(f"What says so could not be stored: {outcome.error}")

    def _ended(self, job: Job, outcome: Outcome) -> None:
        options = cards_of_step(self.session, job.place[2])[job.number]
        if not outcome.error:
            if job.failed is None:
                self.keep(options.type)
            return
        if job.failed is None:
            self._failed += 1
            if len(self._failures) < _TOLD:
                self._failures.append(failure_text(job.place, options, outcome))
            if options.save_errors:
                self.waiting.appendleft(job._replace(failed=outcome))
        elif len(self._failures) < 2 * _TOLD:
            self._failures.append(f"What says so could not be stored: {outcome.error}")


def _tell(end: int, problems: Sequence[str]) -> None:
    """Tell the launcher what went wrong, once and for all."""
    with contextlib.suppress(BrokenPipeError):
        os.write(end, json.dumps(problems).encode() + b"\n")


def _one() -> NoReturn:
    """Make the one card that the document on standard input names."""
    given = json.load(sys.stdin)
    end = own_output()

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


def main() -> None:
    """Serve the launcher, whose first line is ``{"session": …, "workers": …}``."""
    if sys.argv[1:] == ["one"]:
        _one()
    end = own_output()
    yield_to_tasks()
    first, told = first_message()
    try:
        session = Session.from_document(first["session"])
        session.get_ready()
        get_ready()
    except Exception as error:  # of the flow's own code, for example
        _tell(end, [f"Cards could not be made: {line_of(error)}"])
        return
    gc.freeze()  # children need not copy what is there now
    renderer = Renderer(first["session"], session, first["workers"])
    if renderer.serve(told):
        _tell(end, renderer.report())


if __name__ == "__main__":
    main()

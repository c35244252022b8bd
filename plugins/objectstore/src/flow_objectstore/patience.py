"""How long, and how often, a request is repeated."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from flow_objectstore.faults import Fault

T = TypeVar("T")

FIRST_WAIT = 0.1
"""Seconds before the first repetition, at most; each further one may wait twice as long."""
LONGEST_WAIT = 5.0
UNREACHED = 2.0
"""Seconds within which a service must be reached for the first time."""
FIRST_ANSWER = 4.0
"""Seconds within which it must answer the first time: later ones may take longer. On a machine with
more to do than it has processors for, all takes longer, and this does."""
HUNG_UP = 3.0
"""Seconds within which something must answer the first time that ends connections instead."""
_MOST_CROWDED = 5.0


class Silent(Exception):
    """Something listens there, and does not say a word."""


def first_answer(call: Callable[[], T], knock: Callable[[], object] | None = None) -> T:
    """Return what ``call`` returns or raises; `Silent` where it takes too long.

    It goes on then, and nobody waits for it.

    Args:
        call: makes the request.
        knock: makes another one, which is easily answered: a service that does so is not silent, it
            works. The first write into a new bucket may take it some seconds.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            answers.append(call())
        except BaseException as error:
            errors.append(error)

    asking = _in_thread(ask)
    asking.join(FIRST_ANSWER / 2)
    if asking.is_alive() and knock is not None:
        knocking = _in_thread(lambda: _finish(knock))
        knocking.join(FIRST_ANSWER / 2)
        if not knocking.is_alive():
            asking.join()
    elif asking.is_alive():
        asking.join(FIRST_ANSWER / 2)
    if asking.is_alive():
        asking.join(FIRST_ANSWER * (_crowd() - 1))
    if errors:
        raise errors[0]
    if not answers:
        raise Silent
    return answers[0]


def _in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, name="flow-first-answer", daemon=True)
    thread.start()
    return thread


def _finish(knock: Callable[[], object]) -> None:
    with suppress(Exception):  # a refusal is an answer, too; the request itself tells what is wrong
        knock()


def _crowd() -> float:
    """Return how many processes of this machine want each of its processors: 1 for few of them."""
    try:
        wanted = os.getloadavg()[0] / (os.cpu_count() or 1)
    except (OSError, AttributeError):  # not every system tells
        return 1.0
    return min(max(wanted, 1.0), _MOST_CROWDED)


class Patience:
    """What is left of the time for one request with its repetitions.

    Args:
        seconds: from now on.
        reached: whether the service has answered this process before: if not, it is likely that
            its address is wrong, and a person waits for that answer.
    """

    __slots__ = ("_begun", "_reached", "_seconds", "tries")

    def __init__(self, seconds: float, reached: bool) -> None:
        self._begun = time.monotonic()
        self._seconds = seconds
        self._reached = reached
        self.tries = 0

    def wait(self, fault: Fault) -> bool:
        """Rest before a repetition; False when there shall be none."""
        if not fault.transient:
            return False
        self.tries += 1
        seconds = self._seconds
        if fault.is_connection and not self._reached:
            seconds = min(seconds, UNREACHED)
        elif fault.kind == "reset" and not self._reached:
            seconds = min(seconds, HUNG_UP)
        # Anything between nothing and the bound: many that failed together do not come back so.
        bound = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(self.tries - 1, 10))
        left = seconds - (time.monotonic() - self._begun)
        if left <= bound / 10:
            return False
        # The last rest is as long as there is time: a long one by chance gives nothing up.
        time.sleep(min(random.uniform(bound / 10, bound), left))
        return True

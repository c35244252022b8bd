"""How long a hook may take: the watch that interrupts one which hangs.

It works with the alarm of the system, so on the main thread of the process that made it, where nobody
else uses that alarm; elsewhere (a web application's thread, a forked task, Windows) nothing is
interrupted. In a task, the step's own timeout bounds hooks and step together.
"""

from __future__ import annotations

# What `signal` wraps, without its enumerations: those took two thirds of the time of a hook call.
import _signal  # type: ignore[import-not-found]
import os
import signal
import threading
from collections.abc import Collection
from types import CodeType, FrameType

_LATER = 0.01
"""Seconds until the watch looks again, when it goes off in the kernel between two implementations."""


class OverBudget(BaseException):
    """Raised in an implementation that takes too long; no ``except Exception`` of a plugin stops it.

    Attributes:
        seconds: the budget.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than its budget of {seconds:g} s")
        self.seconds = seconds


class Watch:
    """Interrupts what runs over its budget. One call is watched at a time, the outermost."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._codes: Collection[CodeType] = ()
        self._seconds = 0.0

    def begin(self, seconds: float, codes: Collection[CodeType]) -> bool:
        """Set the alarm for a call of functions with these codes; False when none can be set."""
        if self._codes or not codes or not self._can():
            return False
        _signal.signal(signal.SIGALRM, self._alarm)  # first: without a handler the alarm would kill
        others, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
        if others:  # somebody waits for the alarm, without a handler of their own
            signal.setitimer(signal.ITIMER_REAL, others, interval)
            _signal.signal(signal.SIGALRM, _signal.SIG_DFL)
            return False
        self._codes, self._seconds = codes, seconds
        return True

    def end(self) -> None:
        """Take the alarm and its handler back, after a `begin` that returned True.

        A step that runs in this process finds the system's handler, as it would elsewhere.
        """
        self._codes = ()
        signal.setitimer(signal.ITIMER_REAL, 0)
        _signal.signal(signal.SIGALRM, _signal.SIG_DFL)  # calls `_alarm` first if the alarm is due

    def _can(self) -> bool:
        if not hasattr(signal, "setitimer") or os.getpid() != self._process:
            return False
        if threading.get_ident() != threading.main_thread().ident:
            return False
        found = _signal.getsignal(signal.SIGALRM)
        return found is _signal.SIG_DFL  # and not somebody else's

    def _alarm(self, number: int, frame: FrameType | None) -> None:
        if not self._codes:
            return  # the call ended just before
        while frame is not None:
            if frame.f_code in self._codes:
                raise OverBudget(self._seconds)
            frame = frame.f_back
        signal.setitimer(signal.ITIMER_REAL, _LATER)

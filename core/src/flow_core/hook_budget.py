"""How long a hook may take: the watch that interrupts one which hangs.

It works with the alarm of the system, so on the main thread of the process that made it, where nobody
else uses that alarm; elsewhere (a web application's thread, a forked task, Windows) nothing is
interrupted. In a task, the step's own timeout bounds hooks and step together.
"""

from __future__ import annotations

# What `signal` wraps, without its enumerations: those took most of the time that watching a call costs.
import _signal  # type: ignore[import-not-found]
import os
import signal
import threading
from collections.abc import Mapping
from types import CodeType, FrameType

_LOOKS = 4
"""How often the watch looks within the shortest budget. So one is interrupted after its budget, and
at the latest a quarter of the shortest one later."""


class OverBudget(BaseException):
    """Raised in an implementation that takes too long; no ``except Exception`` of a plugin stops it.

    Attributes:
        seconds: the budget.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"it took longer than its budget of {seconds:g} s")
        self.seconds = seconds


class Watch:
    """Interrupts what runs over its budget. One call is watched at a time, the outermost.

    It looks at regular times which implementation runs. Only one that it has seen at each of its
    looks for the whole of its budget is interrupted: however long the others took, they are no
    fault of its own.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._limits: Mapping[CodeType, float] = {}
        self._every = 0.0
        self._running: FrameType | None = None
        self._looks = 0

    def begin(self, limits: Mapping[CodeType, float]) -> bool:
        """Set the alarm for a call of functions; False when none can be set.

        Args:
            limits: code of each function that has a budget → seconds.
        """
        if self._limits or not limits or not self._can():
            return False
        every = min(limits.values()) / _LOOKS
        _signal.signal(signal.SIGALRM, self._look)  # first: without a handler the alarm would kill
        others, interval = signal.setitimer(signal.ITIMER_REAL, every, every)
        if others:  # somebody waits for the alarm, without a handler of their own
            signal.setitimer(signal.ITIMER_REAL, others, interval)
            _signal.signal(signal.SIGALRM, _signal.SIG_DFL)
            return False
        self._limits, self._every = limits, every
        return True

    def end(self) -> None:
        """Take the alarm and its handler back, after a `begin` that returned True.

        A step that runs in this process finds the system's handler, as it would elsewhere.
        """
        self._limits, self._running = {}, None
        signal.setitimer(signal.ITIMER_REAL, 0)
        _signal.signal(signal.SIGALRM, _signal.SIG_DFL)  # calls `_look` first if the alarm is due

    def _can(self) -> bool:
        if not hasattr(signal, "setitimer") or os.getpid() != self._process:
            return False
        if threading.get_ident() != threading.main_thread().ident:
            return False
        handler = _signal.getsignal(signal.SIGALRM)
        return handler is _signal.SIG_DFL  # and not somebody else's

    def _look(self, number: int, frame: FrameType | None) -> None:
        while frame is not None and frame.f_code not in self._limits:
            frame = frame.f_back
        if frame is None or frame is not self._running:
            self._running, self._looks = frame, 0  # it may have begun just now
            return
        self._looks += 1
        seconds = self._limits[frame.f_code]
        if self._looks * self._every >= seconds:
            raise OverBudget(seconds)

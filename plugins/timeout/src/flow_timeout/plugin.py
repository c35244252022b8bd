"""Hooks: the time goes into the plan, and an alarm clock interrupts the step."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flow_core.api import hookimpl
from flow_timeout import TimeoutException, TimeoutOptions

if TYPE_CHECKING:
    from flow_core.api import PlanDraft, StepDefinition, TaskContext


@hookimpl
def flow_plan_step(step: StepDefinition, draft: PlanDraft) -> None:
    """Say how long an attempt may take: who cannot be interrupted is then ended by force."""
    options = step.options("timeout")
    if isinstance(options, TimeoutOptions):
        draft.timeout = options.total
        draft.timeout_grace = options.grace


@hookimpl(wrapper=True)
def flow_task_call(task: TaskContext, flow: Any) -> Generator[None, Any, Any]:
    """Interrupt the step when its time is over."""
    options = task.options("timeout")
    if not isinstance(options, TimeoutOptions) or task.spec.fallback or not _can_interrupt():
        return (yield)
    with _alarm(options.total, task):
        return (yield)


def _can_interrupt() -> bool:
    # Only a main thread can: elsewhere the launcher is the one that ends the process.
    return hasattr(signal, "setitimer") and (threading.current_thread() is threading.main_thread())


@contextmanager
def _alarm(seconds: float, task: TaskContext) -> Iterator[None]:
    """Raise `TimeoutException` in the body after ``seconds``; put back what was set before."""

    def ring(*_: object) -> None:
        task.interrupt(
            TimeoutException(
                f"Step '{task.spec.step}' took longer than {seconds:g} s",
                hint="give it more time, for example @timeout(minutes=5), or make it faster",
            )
        )

    began = time.monotonic()
    handler = signal.signal(signal.SIGALRM, ring)
    left, interval = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if handler is None else handler)
        if left:  # of a clock that somebody else has set in this process
            left = max(left - (time.monotonic() - began), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, interval)

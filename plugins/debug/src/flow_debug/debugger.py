"""Hooks of the debugged task: its body runs under pdb, or is looked at where it fails."""

from __future__ import annotations

import bdb
import inspect
import os
import pdb
import signal
import sys
import traceback
from types import CodeType, FrameType, TracebackType
from typing import Any, TextIO

from flow_core.api import FlowError, TaskContext, hookimpl


class Left(FlowError):
    """The person has left the debugger, and with it the task. It takes the place of the task's own
    exception, which was shown where it was raised."""


class Debugger:
    """A plugin object for one attempt.

    Args:
        folder: where the flow's code lies: of a failure in a library, the line in it that called is
            shown first.
        start: whether to stop at the first line of the step.
        script: file with commands; None = standard input.

    Attributes:
        was_entered: whether the debugger was.
    """

    def __init__(self, folder: str, start: bool, script: str | None) -> None:
        self.was_entered = False
        self._folder = os.path.join(os.path.abspath(folder), "")
        self._start = start
        self._script = script
        self._commands: TextIO | None = None

    @hookimpl
    def flow_task_call(self, task: TaskContext, flow: Any) -> bool:
        """Run the body in place of the kernel's own call of it."""
        code = _code_of(task)
        _stop_the_clock()
        if self._start:
            self._stop_in(code)
        try:
            task.call(flow)
        except bdb.BdbQuit:
            raise Left("The task was left in the debugger; nothing was recorded.") from None
        except BaseException as error:  # Ctrl-C too: to see where a loop is
            self._look(error, code)
            raise Left("The debugger has ended; nothing was recorded.") from None
        finally:
            sys.settrace(None)
        return True

    def _make(self) -> pdb.Pdb:
        self.was_entered = True
        if self._script is None:
            return pdb.Pdb()
        if self._commands is None:
            # Not closed: the next debugger reads on where one ends.
            self._commands = open(self._script, encoding="utf-8")  # noqa: SIM115
        # Both streams, or pdb would ask the terminal.
        return pdb.Pdb(stdin=self._commands, stdout=sys.stdout)

    def _stop_in(self, code: CodeType) -> None:
        """Let the debugger begin when the step function is called."""

        def wait(frame: FrameType, event: str, argument: Any) -> Any:
            if frame.f_code is not code:
                return None
            debugger = self._make()
            debugger.set_trace(frame)
            return debugger.trace_dispatch

        sys.settrace(wait)

    def _look(self, error: BaseException, code: CodeType) -> None:
        trace = _from_step(error.__traceback__, code)
        sys.stdout.flush()
        sys.stdout.write("".join(traceback.format_exception(type(error), error, trace)))
        sys.stdout.write("The step stops here: p NAME shows a value, h helps, q leaves.\n")
        debugger = self._make()
        above = self._frames_above_ours(trace)
        if above:
            debugger.cmdqueue.append(f"up {above}")
        debugger.reset()
        debugger.interaction(None, trace)

    def _frames_above_ours(self, trace: TracebackType | None) -> int:
        """Return how many frames of libraries stand above the last one of the flow's own code."""
        above = total = 0
        while trace is not None:
            total += 1
            above += 1
            if os.path.abspath(trace.tb_frame.f_code.co_filename).startswith(self._folder):
                above = 0
            trace = trace.tb_next
        return above if above < total else 0


def _stop_the_clock() -> None:
    """No time is too long for who thinks: no alarm that a plugin has set is to ring."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)


def _code_of(task: TaskContext) -> CodeType:
    function = inspect.unwrap(task.session.definition.steps[task.spec.step].function)
    code: CodeType = function.__code__
    return code


def _from_step(trace: TracebackType | None, code: CodeType) -> TracebackType | None:
    """Leave out the frames of flow-core that led to the step."""
    first = trace
    while first is not None and first.tb_frame.f_code is not code:
        first = first.tb_next
    return first or trace

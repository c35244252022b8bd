"""Running parts of a test in forked processes."""

from __future__ import annotations

import os
import pickle
import signal
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


def in_children(count: int, function: Callable[[int], T]) -> list[T]:
    """Run ``function(number)`` in ``count`` forked processes at the same time.

    Args:
        count: how many processes.
        function: what each runs, with its number from 0; its result must be picklable.

    Returns:
        the results in the order of the numbers.

    Raises:
        AssertionError: a child raised; the message holds its traceback.
    """
    ready, go = os.pipe()
    children = [_fork(number, function, ready, go) for number in range(count)]
    os.close(ready)
    os.close(go)  # the end of this pipe is the signal to start
    answers = [_collect(pid, answer) for pid, answer in children]
    failed = [text for ok, text in answers if not ok]
    assert not failed, f"{len(failed)} of {count} processes failed; the first:\n{failed[0]}"
    return [value for _, value in answers]


def in_child(function: Callable[[], object], *, kill_after: float | None = None) -> int:
    """Run ``function`` in a forked process that may end in any way.

    Args:
        function: what it runs.
        kill_after: seconds after which it is killed; None = it ends by itself.

    Returns:
        its exit status: 1 when the function raised, 0 when it returned; a negative number is the
        signal that ended it.

    Since 0.1.
    """
    begun, begin = os.pipe()
    pid = _forked()
    if pid == 0:
        status = 1
        try:
            os.write(begin, b"!")
            function()
            status = 0
        finally:
            os._exit(status)
    os.read(begun, 1)  # so that the seconds are those of the function
    os.close(begun)
    os.close(begin)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def _forked() -> int:
    """Fork; return what `os.fork` does."""
    with warnings.catch_warnings():
        # Runners of tests have threads of their own; the child uses nothing that they hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _fork(number: int, function: Callable[[int], Any], ready: int, go: int) -> tuple[int, int]:
    answer, result = os.pipe()
    pid = _forked()
    if pid:
        os.close(result)
        return pid, answer
    os.close(go)
    try:
        os.read(ready, 1)
        try:
            data = pickle.dumps((True, function(number)))
        except BaseException:
            data = pickle.dumps((False, traceback.format_exc()))
        with open(result, "wb") as stream:
            stream.write(data)
    finally:
        os._exit(0)


def _collect(pid: int, answer: int) -> tuple[bool, Any]:
    with open(answer, "rb") as stream:
        data = stream.read()
    _, status = os.waitpid(pid, 0)
    if not data:
        return False, f"process {pid} ended with wait status {status} and gave no result"
    ok, value = pickle.loads(data)
    return bool(ok), value

"""``parallel_map``, ``profile`` and other small helpers that flows import."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from flow_core.api import Settings
from flow_metaflow import VERSION
from flow_metaflow.exceptions import MetaflowException

T = TypeVar("T")
R = TypeVar("R")


class MulticoreException(MetaflowException):
    """A process of `parallel_map` failed."""

    headline = "Child failed"


def parallel_map(
    func: Callable[[T], R],
    iterable: Iterable[T],
    max_parallel: int | None = None,
    dir: str | None = None,
) -> list[R]:
    """Return ``func`` of each item, in order, each computed in a process forked for it.

    Closures and lambdas will do. Results are pickled.

    Args:
        func: what to call.
        iterable: the items.
        max_parallel: processes at a time; None = one for each processor.
        dir: folder for temporary files.

    Raises:
        MetaflowException: a call failed; its traceback is on stderr.
    """
    numbered = _forked(func, list(iterable), max_parallel, dir)
    return [value for _, value in sorted(numbered, key=lambda pair: pair[0])]


def parallel_imap_unordered(
    func: Callable[[T], R],
    iterable: Iterable[T],
    max_parallel: int | None = None,
    dir: str | None = None,
) -> Iterator[R]:
    """Yield what `parallel_map` returns, each result when it is there."""
    return (value for _, value in _forked(func, list(iterable), max_parallel, dir))


def _forked(
    func: Callable[[T], R], items: list[T], max_parallel: int | None, folder: str | None
) -> Iterator[tuple[int, R]]:
    import tempfile

    limit = max_parallel or os.cpu_count() or 1
    running: dict[int, tuple[int, str]] = {}
    waiting = list(enumerate(items))[::-1]
    with tempfile.TemporaryDirectory(prefix="parallel_map_", dir=folder) as place:
        try:
            while waiting or running:
                while waiting and len(running) < limit:
                    number, item = waiting.pop()
                    path = os.path.join(place, str(number))
                    running[_start(func, item, path)] = (number, path)
                pid = _next_ended(running)
                number, path = running.pop(pid)
                yield number, _load(path)
        finally:
            _end(running)


def _next_ended(running: Iterable[int]) -> int:
    """Wait for one of our children; others belong to somebody else. Return its process id."""
    while True:
        for pid in running:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended and os.waitstatus_to_exitcode(status):
                raise MulticoreException(f"exit status {os.waitstatus_to_exitcode(status)}")
            if ended:
                return pid
        time.sleep(0.002)


def _start(func: Callable[[T], R], item: T, path: str) -> int:
    import pickle

    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        result = func(item)
        with open(path, "wb") as file:
            pickle.dump(result, file)
        status = 0
    except BaseException:  # the parent must not go on in this process, whatever happened
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _load(path: str) -> Any:
    import pickle

    with open(path, "rb") as file:
        return pickle.load(file)


def _end(running: Iterable[int]) -> None:
    import signal

    for pid in running:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue  # it is the one that failed


@contextmanager
def profile(label: str, stats_dict: dict[str, int] | None = None) -> Iterator[None]:
    """Time a block.

    Args:
        label: printed with the milliseconds, or the key in ``stats_dict``.
        stats_dict: where to add the milliseconds, instead of printing.
    """
    if stats_dict is None:
        sys.stdout.write(f"PROFILE: {label} starting\n")
    started = time.time()
    yield
    took = int((time.time() - started) * 1000)
    if stats_dict is None:
        sys.stdout.write(f"PROFILE: {label} completed in {took}ms\n")
    else:
        stats_dict[label] = stats_dict.get(label, 0) + took


def get_username() -> str:
    """Return the name under which runs are recorded."""
    return Settings().user()


def get_version(public: bool = False) -> str:
    """Return the version of Metaflow whose names are offered."""
    return VERSION

"""For tests of all distributions: waiting until something is so, and the processes that live."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def wait_for(
    condition: Callable[[], Any], seconds: float = 20, problem: str | Callable[[], str] = ""
) -> Any:
    """Return the first true value of ``condition``.

    Args:
        condition: is called again and again.
        seconds: after which the test fails.
        problem: what it says then, or a function that returns it.
    """
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            said = problem if isinstance(problem, str) else problem()
            raise AssertionError(f"not within {seconds:g} s{said and ': '}{said}")
        time.sleep(0.02)
    return value


def command_lines() -> dict[int, bytes]:
    """Return pid → command line of each process of this machine, with NUL after each word."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            found[int(folder.name)] = (folder / "cmdline").read_bytes()
    return found

"""Running parts of a test in forked processes."""

from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from flow_core.testing import in_child, in_children

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def test_results_come_in_order() -> None:
    assert in_children(4, lambda number: (number, os.getpid() != parent)) == [
        (number, True) for number in range(4)
    ]


def test_exception_of_a_child_is_shown() -> None:
    def fail(number: int) -> None:
        if number == 1:
            raise ValueError("the second child fails")

    with pytest.raises(
        AssertionError, match=r"(?s)1 of 3 processes failed.*the second child fails"
    ):
        in_children(3, fail)


def test_death_of_a_child_is_shown() -> None:
    with pytest.raises(AssertionError, match="gave no result"):
        in_children(1, lambda _: os._exit(3))


parent = os.getpid()


def test_how_a_child_ends() -> None:
    assert in_child(lambda: None) == 0
    assert in_child(lambda: sys.exit(3)) == 1
    assert in_child(lambda: os._exit(7)) == 7
    assert in_child(lambda: os.kill(os.getpid(), signal.SIGKILL)) == -signal.SIGKILL


def test_a_child_that_is_killed() -> None:
    begun = time.monotonic()
    assert in_child(lambda: time.sleep(60), kill_after=0.05) == -signal.SIGKILL
    assert 0.05 <= time.monotonic() - begun < 30

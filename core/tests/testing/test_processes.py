"""Running parts of a test in forked processes."""

from __future__ import annotations

import os

import pytest

from flow_core.testing import in_children

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

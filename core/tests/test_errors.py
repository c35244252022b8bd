"""Errors have four parts, survive pickling, and know near misses."""

import pickle

import pytest

from flow_core.errors import (
    FlowError,
    LintError,
    MergeError,
    NotFound,
    RunFailed,
    UsageError,
    did_you_mean,
    near_misses,
)
from flow_core.graph import Problem

ERRORS = [
    FlowError("what", where="a.py:1", why="because\nof this", hint="do it"),
    UsageError("what"),
    MergeError("what", ["b", "a"], hint="do it"),
    RunFailed("what", pathspec="F/1", state="failed", why="because"),
    LintError("F", [Problem("wrong", "right", "f.py", 3, "start")]),
]


def test_the_text_has_all_parts_below_each_other():
    assert str(ERRORS[0]) == (
        "what\n  where: a.py:1\n  why:   because\n         of this\n  try:   do it"
    )
    assert str(UsageError("what")) == "what"
    assert ERRORS[0].parts()[2] == ("try", "do it")


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_they_survive_pickling(error):
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert found.__dict__ == error.__dict__


def test_exit_codes():
    assert FlowError("x").exit_code == 1
    assert UsageError("x").exit_code == 2
    assert issubclass(NotFound, LookupError)


def test_lint_counts():
    problem = Problem("wrong", "right", "f.py", 3)
    assert str(LintError("F", [problem])) == (
        "Flow 'F' has 1 problem:\n1. f.py:3: wrong\n     try: right"
    )
    assert str(LintError("F", [problem] * 2)).startswith("Flow 'F' has 2 problems:\n1. ")


@pytest.mark.parametrize(
    ("name", "candidates", "text"),
    [
        ("retyr", ["retry", "card"], "did you mean 'retry'?"),
        ("RETRY", ["retry"], "did you mean 'retry'?"),
        ("x", ["b", "a"], "known names: a, b"),
        ("x", [], ""),
    ],
)
def test_near_misses(name, candidates, text):
    assert did_you_mean(name, candidates) == text


def test_at_most_three():
    assert len(near_misses("aaaa", [f"aaaa{n}" for n in range(9)])) == 3

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_cards.previews import preview, shorten

LIMIT = 200


class Broken:
    def __repr__(self):
        raise RuntimeError("no words")


@given(st.text(), st.integers(min_value=1, max_value=50))
def test_shorten(text, limit):
    found = shorten(text, limit)
    assert len(found) <= limit
    assert found == text or (found[:-1] == text[: limit - 1] and found.endswith("…"))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.binary() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
        max_leaves=20,
    )
)
def test_it_is_never_longer_than_asked_for(value):
    assert len(preview(value, LIMIT)) <= LIMIT


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3, "3"),
        ("a", "'a'"),
        ([1, {"a": (2,)}], "[1, {'a': (2,)}]"),
        (None, "None"),
        (b"x", "b'x'"),
        (Broken(), "(Broken cannot be shown: RuntimeError)"),
        ([Broken()], "[<Broken instance at "),
        (np.arange(3), "array([0, 1, 2])"),
        (pd.DataFrame({"a": [1]}), "   a\n0  1"),
    ],
)
def test_small_values_are_shown_as_python_writes_them(value, shown):
    assert preview(value).startswith(shown)


@pytest.mark.parametrize(
    "value", ["x" * 50_000_000, b"x" * 50_000_000, list(range(3_000_000)), {"a": "y" * 50_000_000}]
)
def test_what_is_large_is_cut_before_it_is_written(value):
    began = time.process_time()
    assert len(preview(value)) <= 1000
    assert time.process_time() - began < 0.5


def test_a_number_of_a_million_digits():
    assert len(preview(10**1_000_000)) <= 1000

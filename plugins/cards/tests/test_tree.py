from __future__ import annotations

import datetime
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_cards.tree import as_tree, left_out, plain, size

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(JSON)
def test_json_data_is_kept(data):
    tree = as_tree(data)
    assert plain(tree) == data
    assert left_out(tree) == 0


def test_what_json_has_not():
    data = {
        1: np.float64(0.5),
        None: (1, 2),
        (1, 2): {3},
        "day": datetime.date(2026, 1, 2),
        "nan": float("nan"),
        "huge": 10**2000,
    }
    found = plain(as_tree(data))
    assert found["1"] == 0.5
    assert found["null"] == [1, 2]
    assert found["(1, 2)"] == "{3}"
    assert found["day"] == "datetime.date(2026, 1, 2)"
    assert found["nan"] == "nan"
    assert len(found["huge"]) <= 500


def test_a_cycle_ends():
    data = {"a": []}
    data["a"].append(data)
    assert plain(as_tree(data)) == {"a": ["{…}"]}
    same = [1]
    assert plain(as_tree([same, same])) == [[1], [1]]


def test_deep_data_ends():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    assert size(as_tree(deep)) < 30


@pytest.mark.parametrize(
    ("data", "count"),
    [
        (list(range(1_000_000)), 1_000_000),
        ({str(n): "x" * 100 for n in range(10_000)}, 10_000),
        (["x" * 10_000_000] * 100, 100),
        ([[n] * 1000 for n in range(1000)], 1000),
    ],
)
def test_large_data_is_cut(data, count):
    tree = as_tree(data)
    assert len(json.dumps(plain(tree))) < 200_000
    assert len(plain(tree)) + tree[2] == count
    assert left_out(tree) >= tree[2] > 0


def test_what_cannot_be_read_is_told():
    class Broken(dict):
        def items(self):
            raise RuntimeError("no")

    class Silent:
        def __repr__(self):
            raise RuntimeError("no")

    found = plain(as_tree([Broken(a=1), Silent()]))
    assert found == [
        "(Broken cannot be read: RuntimeError)",
        "(Silent cannot be shown: RuntimeError)",
    ]

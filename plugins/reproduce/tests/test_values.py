"""Which values are equal although their bytes are not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.api import ArtifactRef
from flow_reproduce.compare import BY_VALUE, DIFFERENT, UNKNOWN, Difference, Pair
from flow_reproduce.values import _plainly_differs, _worst, same


class Plain:
    """Says nothing of what is equal."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


@dataclass
class Data:
    items: list[int] = field(default_factory=list)


class Evasive:
    def __eq__(self, other: object) -> Any:
        return "perhaps"

    __hash__ = None  # type: ignore[assignment]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=8,
)


@given(values)
def test_a_copy_is_the_same(value):
    import pickle

    assert same(value, pickle.loads(pickle.dumps(value)))


@given(values, values)
def test_it_is_symmetric(one, two):
    assert same(one, two) == same(two, one)


def test_plain_values():
    assert same({"a": 1, "b": math.nan}, {"b": math.nan, "a": 1})
    assert same({"x", "y"}, {"y", "x"})
    assert not same(1, True)
    assert not same(1, 1.0)
    assert not same([1], (1,))
    assert not same([1], [1, 2])


def test_objects_of_classes_that_do_not_compare():
    assert same(Plain(x=1, y={"a", "b"}), Plain(x=1, y={"b", "a"}))
    assert not same(Plain(x=1), Plain(x=2))
    assert same(ValueError("no", 3), ValueError("no", 3))
    assert not same(ValueError("no"), ValueError("yes"))
    assert same(Data([1]), Data([1]))
    assert not same(Data([1]), Data([2]))


def test_a_class_that_does_not_say():
    with pytest.raises(TypeError, match="no yes or no"):
        same(Evasive(), Evasive())


def test_two_classes_of_one_name():
    """Classes of the flow's file come with their code, which may have changed."""
    kinds = [type("Row", (), {"__module__": "m", "x": x}) for x in (1, 2)]
    with pytest.raises(TypeError, match=r"the code of its class m\.Row differs"):
        same(kinds[0](), kinds[1]())


def test_a_value_that_holds_itself():
    one: list[Any] = []
    one.append(one)
    two: list[Any] = []
    two.append(two)
    with pytest.raises(TypeError, match="too deeply"):
        same(one, two)


def test_arrays_and_frames():
    np = pytest.importorskip("numpy")
    pd = pytest.importorskip("pandas")
    assert same(np.array([1.0, np.nan]), np.array([1.0, np.nan]))
    assert not same(np.array([1.0]), np.array([1]))
    assert not same(np.array([1.0]), np.array([2.0]))
    assert same(np.array([{"a"}], dtype=object), np.array([{"a"}], dtype=object))
    frame = pd.DataFrame({"x": [1, 2], "y": ["a", None]})
    assert same(frame, frame.copy())
    assert not same(frame, frame.assign(x=[1, 3]))
    assert not same(frame, frame.assign(x=[1.0, 2.0]))
    assert not same(frame, frame.set_index(pd.Index([3, 4])))


def test_what_differs_is_seen_without_reading_it():
    def pair(old: ArtifactRef, new: ArtifactRef) -> Pair:
        return Pair(old, new, "F/1/s/1", "F/2/s/1")

    text = ArtifactRef("1", 7, "str", "json", True, "2.2.3")
    other = ArtifactRef("2", 8, "str", "json", True, "1.15.0")
    frame = ArtifactRef("3", 9, "pandas.DataFrame", "pickle")
    assert _plainly_differs(pair(text, other))
    assert _plainly_differs(pair(text, frame))
    assert not _plainly_differs(pair(frame, frame._replace(hash="4")))


def test_the_worst_of_several_counts():
    good, bad, unread = (BY_VALUE, ""), (DIFFERENT, ""), (UNKNOWN, "no module 'x'")
    assert _worst([good, unread, good]) == unread
    assert _worst([good, bad, unread]) == bad
    assert _worst([good]) == good


def test_a_difference_knows_its_first_task():
    ref = ArtifactRef("1", 1, "int", "json")
    found = Difference("train", "x", ("train", (3,), 0), inherited=False)
    found.pairs["1", "2"] = Pair(ref, None, "F/1/train/3", "F/2/train/3")
    assert found.first.old is ref
    assert found.first.hashes == ("1", "")

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_cards import (
    Artifact,
    Columns,
    Component,
    Error,
    EventsTimeline,
    Facts,
    Image,
    JSONViewer,
    Log,
    Markdown,
    Preview,
    ProgressBar,
    PythonCode,
    Section,
    Sparkline,
    Table,
    Tabs,
    Template,
    ValueBox,
    VegaChart,
    YAMLViewer,
)
from flow_cards.codec import decode, encode
from flow_cards.components import BUILT_IN

TEXT = st.text(max_size=20)
NUMBER = st.integers() | st.floats(allow_nan=False)
DATA = st.recursive(
    TEXT | NUMBER | st.none() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def _event(value, payload):
    return EventsTimeline.event({"a": value}, "success", "low", {"p": payload}, 1.5)


SIMPLE = st.one_of(
    st.builds(Markdown, TEXT),
    st.builds(Artifact, TEXT | NUMBER, TEXT),
    st.builds(Image, st.binary(max_size=20), TEXT),
    st.builds(Log, TEXT, TEXT),
    st.builds(Error, TEXT, TEXT),
    st.builds(PythonCode, code_string=TEXT),
    st.builds(Sparkline, st.lists(st.none() | st.floats()), st.sampled_from(["line", "bars"])),
    st.builds(VegaChart, st.just({"mark": "bar"}) | st.dictionaries(TEXT, TEXT), title=TEXT),
    st.builds(ValueBox, TEXT, TEXT | NUMBER),
    st.builds(JSONViewer, DATA, TEXT),
    st.builds(YAMLViewer, DATA | TEXT, TEXT, max_height=st.integers(1, 900)),
    st.builds(Template, TEXT, st.dictionaries(TEXT, TEXT, max_size=2)),
    st.builds(ProgressBar, st.floats(1, 10), TEXT, st.floats(0, 10), TEXT, TEXT),
)
CELL = TEXT | NUMBER | st.booleans() | st.none()
COMPONENT = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds(Table, st.lists(st.lists(CELL | inner, max_size=3), max_size=3), st.lists(TEXT)),
        st.builds(Preview, TEXT, TEXT, st.integers(), TEXT, inner, st.booleans()),
        st.builds(Section, TEXT, st.lists(inner, max_size=3), st.booleans()),
        st.builds(Columns, st.lists(inner, max_size=3)),
        st.builds(lambda a, b: Columns([a, b], [1, 0.5]), inner, inner),
        st.builds(Tabs, st.dictionaries(TEXT, inner, max_size=3)),
        st.builds(
            lambda events, most: EventsTimeline("t", most, events),
            st.lists(st.builds(_event, CELL | inner, inner), max_size=3),
            st.integers(1, 3),
        ),
        st.builds(Facts, st.lists(st.tuples(TEXT, CELL | inner), max_size=3)),
    ),
    max_leaves=6,
)


@given(COMPONENT)
def test_round_trip_through_json(component):
    assert decode(json.loads(json.dumps(encode(component)))) == component


def test_all_built_in_ones_are_tried():
    assert set(BUILT_IN) == {
        "Artifact", "Columns", "Error", "EventsTimeline", "Facts", "Graph", "Image", "JSONViewer",
        "Log", "Markdown", "Preview", "ProgressBar", "PythonCode", "Section", "Sparkline", "Table",
        "Tabs", "Template", "Timeline", "ValueBox", "VegaChart", "YAMLViewer",
    }  # fmt: skip


@dataclass(frozen=True)
class Score(Component):
    value: float

    def parts(self):
        if self.value < 0:
            raise ValueError("below 0")
        return [Markdown("**score**"), ProgressBar(max=1, value=self.value)]


class TestComponentsOfAPersonsOwn:
    def test_they_are_replaced_by_their_parts(self):
        found = decode(encode(Table([[Score(0.5)]])))
        (((cell,),),) = (found.data,)
        assert cell == Section(None, [Markdown("**score**"), ProgressBar(max=1, value=0.5)])

    def test_one_that_fails_is_an_error(self):
        found = decode(encode(Score(-1)))
        assert isinstance(found, Error)
        assert found.title == "The component Score cannot be shown"
        assert "below 0" in found.text

    def test_one_that_is_made_of_itself_ends(self):
        class Endless(Component):
            def parts(self):
                return [Endless()]

        assert "nested too deeply" in json.dumps(encode(Endless()))


def test_what_is_shown_instead():
    old, new = ProgressBar(), ProgressBar(value=7)
    found = decode(encode(Section("a", [old]), lambda one: new if one is old else one))
    assert found == Section("a", [new])


def test_a_component_of_a_later_release():
    found = decode({"kind": "Hologram", "depth": 3})
    assert isinstance(found, Error)
    assert "knows no component 'Hologram'" in found.title


@pytest.mark.parametrize("later", [{"kind": "Markdown", "text": "a", "colour": "red"}])
def test_a_field_of_a_later_release_is_left_out(later):
    assert decode(later) == Markdown("a")

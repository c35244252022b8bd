"""EventsTimeline: it grows."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from flow_cards import CardOptions, EventsTimeline, JSONViewer, Log, ProgressBar, render
from flow_cards.codec import decode
from flow_cards.current import Cards
from flow_cards.testing import Page, card_task
from flow_core import current


@pytest.fixture
def task():
    written = []
    cards = Cards([CardOptions()], lambda items: written.append(dict(items)))
    current.begin({"task_id": "1"})
    current.provide("card", lambda: cards)

    def shown():
        cards.finish()
        return [decode(one) for one in written[-1][0].components]

    yield cards, shown
    current.end()


def text(*components):
    return Page(render(lambda task: list(components), card_task())).text


class TestInATask:
    def test_an_update_adds_an_event(self, task):
        cards, shown = task
        timeline = EventsTimeline("T", max_events=2)
        cards.append(timeline)
        before = time.time()
        timeline.update({"event": "one", "n": 1})
        timeline.update({"event": "two"}, "error", "high")
        timeline.update({"event": "three"}, payloads={"log": Log("x"), "n": 3}, finished=True)
        (found,) = shown()
        assert [event[3][0][1] for event in found.events] == ["two", "three"]
        assert before <= found.events[-1][0] <= time.time()
        assert found.events[-1][4][0] == ("log", Log("x"))
        assert found.finished
        assert found.left_out == 1
        assert timeline.events == ()
        stats = timeline.get_stats()
        assert (stats["total"], stats["shown"], stats["left_out"]) == (3, 2, 1)
        assert stats["themes"] == {"default": 2, "error": 1}
        assert stats["priorities"] == {"normal": 2, "high": 1}
        assert before <= stats["first"] <= stats["last"] <= time.time()
        assert stats["finished"]

    def test_other_fields_change_as_ever(self, task):
        cards, shown = task
        timeline = EventsTimeline("T")
        cards.append(timeline, id="events")
        cards.components["events"].update("text only")
        timeline.update(title="other")
        (found,) = shown()
        assert (found.title, len(found.events)) == ("other", 1)

    def test_a_component_among_its_payloads_is_updated(self, task):
        cards, shown = task
        timeline, bar = EventsTimeline(), ProgressBar(max=10)
        cards.append(timeline)
        timeline.update("a", payloads={"bar": bar})
        bar.update(7)
        (found,) = shown()
        assert found.events[0][4] == (("bar", ProgressBar(max=10, value=7)),)

    @pytest.mark.parametrize(
        ("values", "what"),
        [
            ({"event_data": {}, "style_theme": "pink"}, "style_theme cannot be 'pink': default,"),
            ({"event_data": {}, "priority": "top"}, "priority cannot be 'top': low, normal"),
            ({"priority": "high"}, "priority without event_data"),
            ({"evnt_data": {}}, "no field 'evnt_data'"),
        ],
    )
    def test_wrong_values(self, task, values, what):
        with pytest.raises((ValueError, TypeError), match=what):
            EventsTimeline().update(**values)


class TestOutsideOfATask:
    def test_of_events(self):
        day = datetime(2026, 1, 2, tzinfo=timezone.utc)
        timeline = EventsTimeline(
            events=["first", {"event": "second", "timestamp": day}, {"n": 1, "timestamp": "noon"}]
        )
        assert [event.time for event in timeline.events] == [0, day.timestamp(), 0]
        assert timeline.events[2].data == (("n", 1), ("timestamp", "noon"))
        assert timeline.changed({"title": "T"}).events == timeline.events
        assert EventsTimeline(events=timeline.events) == timeline

    def test_stats(self):
        events = [EventsTimeline.event(str(n), timestamp=100 + 2 * n) for n in range(11)]
        stats = EventsTimeline(events=events, max_events=5).get_stats()
        assert (stats["total"], stats["first"], stats["last"]) == (11, 100, 120)
        assert (stats["seconds"], stats["per_second"]) == (20, 0.5)
        assert EventsTimeline().get_stats()["per_second"] is None
        assert EventsTimeline().get_stats()["first"] is None

    @pytest.mark.parametrize("wrong", [0, -1, True])
    def test_a_limit_that_is_none(self, wrong):
        with pytest.raises(ValueError, match="max_events must be above 0"):
            EventsTimeline(max_events=wrong)


def test_the_newest_stands_first():
    seen = text(EventsTimeline("Agent", 2, [f"event {n}" for n in "abc"], finished=True))
    assert seen.index("event c") < seen.index("event b")
    assert "event a" not in seen
    assert "1 earlier event is not shown" in seen
    assert "3 events" in seen
    assert "finished" in seen
    assert "no events yet" in text(EventsTimeline())


def test_payloads_are_components():
    event = EventsTimeline.event(
        {"x": ProgressBar(value=3)}, payloads={"data": {"k": 1}, "j": JSONViewer([7])}
    )
    seen = text(EventsTimeline(events=[event]))
    assert "3 of 100" in seen
    assert "{'k': 1}" in seen
    assert "7" in seen

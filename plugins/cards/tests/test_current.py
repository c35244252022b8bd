"""``current.card`` without a task around it: what is added, and what is said."""

from __future__ import annotations

import os
import threading
import time

import pytest

from flow_cards import Artifact, CardOptions, Markdown, ProgressBar, Table
from flow_cards.codec import decode
from flow_cards.current import Cards
from flow_core import current


class Written:
    """Keeps what is stored."""

    def __init__(self):
        self.calls = []

    def __call__(self, items):
        self.calls.append(dict(items))

    def shown(self, number=0):
        return [decode(one) for one in self.calls[-1][number].components]


@pytest.fixture
def written():
    return Written()


def cards(written, *options, **choices):
    return Cards([CardOptions(**one) for one in options] or [CardOptions()], written, **choices)


class TestAdding:
    def test_to_the_only_card(self, written):
        card = cards(written)
        card.append(Markdown("a"))
        card.extend(["b", 3])
        card.finish()
        assert written.shown() == [Markdown("a"), Markdown("b"), Artifact(3)]

    def test_clear(self, written):
        card = cards(written)
        card.append("a", id="x")
        card.clear()
        card.append("b", id="x")
        card.finish()
        assert written.shown() == [Markdown("b")]

    def test_by_id(self, written):
        card = cards(written, {}, {"id": "loss", "type": "blank"})
        card.append("to the one without an id")
        card["loss"].append("to the other")
        card["loss"] = ["instead"]
        card.finish()
        assert written.shown(0) == [Markdown("to the one without an id")]
        assert written.shown(1) == [Markdown("instead")]
        card["loss"] = "alone"
        card.finish()
        assert written.shown(1) == [Markdown("alone")]

    def test_the_one_that_is_customized(self, written):
        card = cards(written, {"id": "a"}, {"id": "b", "customize": True})
        card.append("x")
        card.finish()
        assert list(written.calls[-1]) == [1]

    def test_by_type(self, written):
        card = cards(written, {"type": "blank"}, {"type": "blank", "id": "b"}, {"type": "html"})
        assert [one.id for one in card.get("blank")] == [None, "b"]
        assert card.get("none") == []
        assert [one.type for one in card] == ["blank", "blank", "html"]

    def test_nothing_added_is_nothing_stored(self, written):
        cards(written).finish()
        assert written.calls == []


class TestUpdating:
    @pytest.fixture
    def task(self, written):
        card = cards(written, {"refresh_interval": 0.0})
        current.begin({"task_id": "1"})
        current.provide("card", lambda: card)
        yield card
        current.end()

    def test_a_component_shows_other_data(self, task, written):
        bar = ProgressBar(max=10)
        task.append(bar)
        bar.update(3)
        bar.update(4, "soon")
        task.finish()
        assert written.shown() == [ProgressBar(max=10, value=4, metadata="soon")]
        assert bar.value == 0

    def test_wherever_it_stands(self, task, written):
        bar = ProgressBar(max=10)
        task.append(Table([[bar]]))
        bar.update(value=5)
        task.finish()
        assert written.shown() == [Table([[ProgressBar(max=10, value=5)]])]

    def test_by_its_id(self, task, written):
        task.append(Markdown("a"), id="text")
        task.components["text"].update("b")
        task.finish()
        assert written.shown() == [Markdown("b")]
        task.components["more"] = "c"
        with pytest.raises(ValueError, match="has a component 'more' already"):
            task.components["more"] = "d"
        assert list(task.components) == ["text", "more"]

    def test_equal_components_are_not_the_same(self, task, written):
        one, other = ProgressBar(), ProgressBar()
        task.extend([one, other])
        one.update(7)
        task.finish()
        assert [bar.value for bar in written.shown()] == [7, 0]

    def test_a_wrong_value_is_refused_at_once(self, task):
        bar = ProgressBar()
        task.append(bar)
        with pytest.raises(ValueError, match="finite"):
            bar.update(float("inf"))


class TestRefresh:
    def test_not_more_often_than_the_interval(self, written):
        card = cards(written, {"refresh_interval": 60.0})
        card.append("a")
        card.refresh()
        card.append("b")
        card.refresh({"epoch": 1})
        assert len(written.calls) == 1
        (waiting,) = (t for t in threading.enumerate() if t.name == "flow-cards-refresh")
        card.refresh(force=True)
        assert len(written.calls) == 2
        assert written.calls[-1][0].data == {"epoch": 1}
        waiting.join(10)
        assert not waiting.is_alive()  # nothing waits any more

    def test_one_that_comes_too_early_is_seen_at_the_end_of_the_interval(self, written):
        card = cards(written, {"refresh_interval": 0.3})
        for text in "abc":
            card.append(text)
            card.refresh({"text": text})
        assert len(written.calls) == 1
        card.append("not refreshed yet")
        began = time.monotonic()
        while len(written.calls) < 2:  # the step computes
            assert time.monotonic() - began < 10
            time.sleep(0.01)
        assert time.monotonic() - began > 0.2
        assert written.shown() == [Markdown("a"), Markdown("b"), Markdown("c")]
        assert written.calls[-1][0].data == {"text": "c"}
        card.finish()
        assert len(written.shown()) == 4

    def test_the_default_shows_new_data_within_a_second(self, written):
        card = cards(written)
        began = time.monotonic()
        while time.monotonic() - began < 1.3:
            card.append("x")
            card.refresh()
            time.sleep(0.01)
        assert 2 <= len(written.calls) <= 4
        card.finish()

    def test_a_slow_store_is_written_to_more_rarely(self):
        times = []

        def write(items):
            began = time.monotonic()
            time.sleep(0.1)
            times.append((began, time.monotonic()))

        card = cards(write, {"refresh_interval": 0.0})
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            card.append("x")
            card.refresh()
            time.sleep(0.001)
        card.finish()
        assert 2 <= len(times) <= 4
        assert times[1][0] - times[0][1] > 0.9

    def test_nothing_is_written_after_the_end(self, written):
        card = cards(written, {"refresh_interval": 0.2})
        for text in "ab":
            card.append(text)
            card.refresh()
        card.finish()
        count = len(written.calls)
        time.sleep(0.4)
        assert len(written.calls) == count == 2
        assert not [t for t in threading.enumerate() if t.name == "flow-cards-refresh"]

    def test_nobody_gets_a_thread_who_does_not_hurry(self, written):
        card = cards(written)
        card.append("a")
        card.refresh()
        assert not [t for t in threading.enumerate() if t.name == "flow-cards-refresh"]

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
    def test_a_step_may_fork_while_something_waits(self, written):
        card = cards(written, {"refresh_interval": 0.3})
        for text in "ab":
            card.append(text)
            card.refresh()
        pid = os.fork()  # which would warn, from Python 3.12 on, beside a thread
        if pid == 0:
            card.append("in the child")
            card.refresh(force=True)
            os._exit(0 if threading.active_count() == 1 else 1)
        assert os.waitpid(pid, 0)[1] == 0
        began = time.monotonic()
        while len(written.calls) < 2:
            assert time.monotonic() - began < 10
            time.sleep(0.01)
        assert written.shown() == [Markdown("a"), Markdown("b")]
        card.finish()

    def test_a_cleared_card_is_seen_empty(self, written):
        card = cards(written, {"refresh_interval": 0.0})
        card.append("a")
        card.refresh(force=True)
        card.clear()
        card.refresh(force=True)
        assert written.shown() == []
        assert len(written.calls) == 2

    def test_it_says_which_card_it_is(self, written):
        options = {"type": "blank", "id": "loss", "options": {"title": "x"}, "timeout": 3.0}
        card = cards(written, options, facts={"host": "here"})
        card.append("a")
        card.refresh()
        assert written.calls[-1][0].card == {**options, "task": {"host": "here"}}

    def test_data_that_is_no_json(self, written, capsys):
        card = cards(written, {"refresh_interval": 0.0})
        card.append("a")
        card.refresh({"x": object()})
        assert written.calls[-1][0].data is None
        assert "card: current.card.refresh takes JSON data" in capsys.readouterr().err

    def test_a_store_that_fails_fails_nothing(self, capsys):
        def write(items):
            raise OSError("disk full")

        card = cards(write)
        card.append("a")
        card.refresh(force=True)
        card.finish()
        said = capsys.readouterr().err
        assert said == "card: what the step added could not be stored: OSError: disk full\n"


class TestWhatCannotBeDone:
    def test_several_cards_could_be_meant(self, written, capsys):
        card = cards(written, {"id": "a"}, {"id": "b"})
        card.append("x")
        card.append("y")
        card.components["z"].update(3)
        card.finish()
        assert written.calls == []
        assert capsys.readouterr().err == (
            "card: current.card could mean each of 2 cards, so nothing was done: "
            "current.card['a'], current.card['b']\n"
        )

    def test_no_such_card(self, written, capsys):
        card = cards(written, {"id": "loss"})
        card["los"].append("x")
        card["los"].components["a"].update(1)
        card["los"].refresh()
        card.finish()
        assert written.calls == []
        assert (
            "the step has no card with the id 'los': did you mean 'loss'?"
            in capsys.readouterr().err
        )

    def test_no_such_component(self, written, capsys):
        card = cards(written)
        card.append("a", id="text")
        card.components["txt"].update("b")
        assert "the card has no component 'txt': did you mean 'text'?" in capsys.readouterr().err

    def test_a_name_twice(self, written, capsys):
        card = cards(written)
        card.append("a", id="text")
        card.append("b", id="text")
        assert len(card.get("default")[0]) == 2
        assert "has a component 'text' already; this one gets no name" in capsys.readouterr().err

    def test_it_can_be_silent(self, written, capsys):
        cards(written, {"id": "a"}, {"id": "b"}, enabled=False).append("x")
        assert capsys.readouterr().err == ""

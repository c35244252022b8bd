"""Columns, tabs, sections: what they hold, and how they behave in a browser."""

from __future__ import annotations

import pytest

from flow_cards import Artifact, Columns, Log, Markdown, Section, Table, Tabs, ValueBox, render
from flow_cards.testing import card_task


def page(*components):
    return render(lambda task: list(components), card_task())


class TestData:
    def test_any_value_becomes_a_component(self):
        assert Columns(["a", 3, Log("x")]).children == (Markdown("a"), Artifact(3), Log("x"))
        assert Section("S", "text").children == (Markdown("text"),)
        assert Section("S", 3).children == (Artifact(3),)
        assert Tabs({"A": "a"}).panels == (("A", Markdown("a")),)
        assert Tabs([("A", Log("a"))]).panels == (("A", Log("a")),)

    def test_several_in_one_place(self):
        assert Columns([[Log("a"), "b"]]).children == (Section(None, [Log("a"), Markdown("b")]),)
        assert Columns([[1, 2]]).children == (Artifact([1, 2]),)

    @pytest.mark.parametrize(
        ("widths", "what"),
        [
            ([1], "1 widths for 2 columns"),
            ([1, 0], "above 0, not \\[1, 0\\]"),
            ([1, float("inf")], "above 0"),
        ],
    )
    def test_wrong_widths(self, widths, what):
        with pytest.raises(ValueError, match=what):
            Columns(["a", "b"], widths)

    def test_shares(self):
        assert Columns(["a", "b"]).shares == [6, 6]
        assert Columns(["a", "b"], [2, 1]).shares == [8, 4]
        assert Columns(["a", "b"], [1000, 1]).shares == [12, 1]
        assert Columns([]).shares == []

    def test_what_stands_inside(self):
        log = Log("a")
        assert [*Tabs({"A": log}).inside()] == [log]
        assert [*Columns([log, "b"]).inside()] == [log, Markdown("b")]


def test_columns_stand_side_by_side_and_stack_on_a_narrow_screen(look):
    html = page(Columns([Section("A", ["a"]), Section("B", ["b", Log("c\nd\ne")])], [2, 1]))
    boxes = [s.bounding_box() for s in look(html).page.locator("section").all()]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["height"] == boxes[1]["height"]
    assert 1.8 < boxes[0]["width"] / boxes[1]["width"] < 2.2
    boxes = [s.bounding_box() for s in look(html, width=390).page.locator("section").all()]
    assert boxes[0]["y"] < boxes[1]["y"]
    assert boxes[0]["x"] == boxes[1]["x"]


def test_values_stand_in_a_row_of_one_height(look):
    tall = ValueBox("b", 2, "a subtitle " * 10)
    seen = look(page(ValueBox("a", 1), tall, Section("S", [ValueBox("c", 1), tall])))
    boxes = [box.bounding_box() for box in seen.page.locator(".box").all()]
    for one, other in (boxes[:2], boxes[2:]):
        assert one["y"] == other["y"]
        assert one["height"] == other["height"]


class TestTabs:
    TABS = Tabs({"One": "first", "Two": Table([[n] for n in range(300)], ["n"]), "Three": "third"})

    def visible(self, seen):
        return [p for p in seen.page.locator(".panel").all() if p.is_visible()]

    def test_by_keys_and_clicks(self, look):
        seen = look(page(self.TABS))
        tabs = seen.page.get_by_role("tab")
        assert tabs.all_inner_texts() == ["One", "Two", "Three"]
        assert seen.page.get_by_role("tabpanel").count() == 1
        assert seen.page.get_by_role("tabpanel", name="One").inner_text().strip() == "first"
        tabs.first.focus()
        for key, name in [
            ("ArrowLeft", "Three"), ("ArrowRight", "One"), ("End", "Three"), ("Home", "One"),
            ("ArrowRight", "Two"),
        ]:  # fmt: skip
            seen.page.keyboard.press(key)
            assert seen.page.evaluate("document.activeElement.textContent") == name
            assert seen.page.get_by_role("tab", selected=True).inner_text() == name
            assert len(self.visible(seen)) == 1
        # A large table which was not seen when the page opened:
        rows = seen.page.locator("tbody tr:not(.space)")
        rows.first.wait_for()
        assert rows.first.inner_text() == "0"
        assert rows.count() < 100
        tabs.last.click()
        assert seen.page.get_by_role("tabpanel").inner_text().strip() == "third"
        assert seen.problems == []

    def test_on_paper_all_stand_below_their_titles(self, look):
        seen = look(page(self.TABS))
        seen.page.emulate_media(media="print")
        assert len(self.visible(seen)) == 3
        assert [h.is_visible() for h in seen.page.locator(".panel > h2").all()] == [True] * 3
        assert not seen.page.get_by_role("tab", name="One").is_visible()

    def test_a_live_page_keeps_the_tab(self, look):
        seen = look(page(self.TABS))
        seen.page.get_by_role("tab", name="Three").click()
        seen.page.evaluate(
            "html => { const fresh = new DOMParser().parseFromString(html, 'text/html');"
            " flowCard.replace(document.querySelector('.part'),"
            " document.adoptNode(fresh.querySelector('.part'))) }",
            page(self.TABS.changed({"panels": {"New": "x", "Three": "third of all"}})),
        )
        assert seen.page.get_by_role("tabpanel").inner_text().strip() == "third of all"
        assert seen.page.get_by_role("tab", selected=True).inner_text() == "Three"
        assert seen.page.evaluate("document.activeElement.textContent") != "New"
        assert seen.problems == []


def test_a_folded_section_opens(look):
    seen = look(page(Section("More", [Markdown("hidden")], folded=True)))
    text = seen.page.get_by_text("hidden")
    assert not text.is_visible()
    seen.page.emulate_media(media="print")
    assert text.is_visible()
    seen.page.emulate_media(media="screen")
    seen.page.get_by_text("More").click()
    assert text.is_visible()

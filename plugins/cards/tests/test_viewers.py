"""JSONViewer and YAMLViewer."""

from __future__ import annotations

import datetime
import json
import sys

import pytest

from flow_cards import JSONViewer, YAMLViewer, render
from flow_cards.testing import Page, card_task

DATA = {
    "name": "x",
    "list": [1, 2.5, None, True],
    "deep": {"a": {"b": {}}},
    "day": datetime.date(2026, 1, 2),
}
TEXT = "# how\na: 1\nb:\n  - x\n  - y  # why\n"


def page(*components):
    return render(lambda task: list(components), card_task())


class TestJSON:
    def test_text(self):
        plain = {**DATA, "day": "datetime.date(2026, 1, 2)"}
        assert json.loads(JSONViewer(DATA).text) == plain
        assert JSONViewer([]).text == "[]"
        assert JSONViewer("text").text == '"text"'
        assert JSONViewer(DATA) == JSONViewer(dict(DATA))

    def test_update(self):
        old = JSONViewer({"a": 1}, "title", collapsible=False, max_height=300)
        new = old.changed({"data": {"a": 2}})
        assert new == JSONViewer({"a": 2}, "title", collapsible=False, max_height="300px")
        assert old.changed({"title": "other"}).data == old.data

    @pytest.mark.parametrize("wrong", ["300", "red", "1px; color: red", True])
    def test_a_height_that_is_none(self, wrong):
        with pytest.raises(ValueError, match="max_height cannot be"):
            JSONViewer({}, max_height=wrong)

    def test_the_page_reads_as_json(self):
        found = Page(page(JSONViewer(DATA, collapsible=False, show_copy_button=False)))
        text = found.text[found.text.index("{") : found.text.rindex("}") + 1]
        assert json.loads(text.replace("datetime.date(2026, 1, 2)", "0")) == {**DATA, "day": 0}
        assert not any(tag == "details" for tag, _ in found.tags)

    def test_large_data_is_cut_and_says_so(self):
        html = page(JSONViewer(list(range(100_000))))
        assert "90,001 more" in html
        assert "90,001 items more, which are not shown" in html
        assert len(html) < 1_000_000


class TestYAML:
    def test_text_stays_as_it_is(self):
        assert YAMLViewer(TEXT).text == TEXT.strip("\n")
        found = Page(page(YAMLViewer(TEXT, "title", show_copy_button=False)))
        assert "# how" in found.text
        assert "y  # why" in found.text

    def test_data_is_written_by_pyyaml(self):
        assert YAMLViewer({"b": [1], "a": "x"}).text == "b:\n- 1\na: x"
        assert YAMLViewer(3).text == "3"
        assert YAMLViewer({"a": 1}).changed({"data": {"a": 2}}) == YAMLViewer({"a": 2})

    def test_without_pyyaml_it_is_json(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "yaml", None)
        found = YAMLViewer({"b": [1]})
        assert json.loads(found.text) == {"b": [1]}
        assert found.note == "shown as JSON, since PyYAML is not installed where the task ran"
        assert found.note in page(found)

    def test_long_text_is_cut(self):
        found = YAMLViewer("a: 1\n" * 100_000)
        assert len(found.text) <= 100_000
        assert found.note == "the first 99,999 of 500,000 characters"


class TestInABrowser:
    def test_json(self, look):
        data = {f"key {n}": {"inner": {"deep": [n]}} for n in range(40)}
        seen = look(page(JSONViewer(data, "Title", max_height=200)))
        assert seen.page.locator(".scroll").bounding_box()["height"] == 200
        assert seen.page.get_by_text('"inner"').first.is_visible()
        assert not seen.page.get_by_text('"deep"').first.is_visible()  # folded, as it is large
        seen.page.get_by_role("button", name="Unfold").click()
        assert seen.page.get_by_text('"deep"').first.is_visible()
        seen.page.get_by_role("button", name="Fold", exact=True).click()
        assert not seen.page.get_by_text('"inner"').first.is_visible()
        seen.page.get_by_text('"key 3"').click()
        assert seen.page.get_by_text('"inner"').nth(3).is_visible()
        assert seen.problems == []

    @pytest.mark.parametrize("allowed", [True, False])
    def test_it_is_copied_from_a_page_from_disk(self, look, allowed):
        seen = look(page(YAMLViewer(TEXT, "Title"), JSONViewer({"big": 12345678901234567890})))
        seen.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        if not allowed:
            seen.page.evaluate(
                "() => { navigator.clipboard.writeText = () => Promise.reject(new Error('no')) }"
            )
        for number, text in enumerate([TEXT.strip("\n"), '{\n  "big": 12345678901234567890\n}']):
            button = seen.page.locator("figure").nth(number).locator("button.copy").last
            button.click()
            seen.page.locator("figure").nth(number).get_by_text("Copied").wait_for()
            assert seen.page.evaluate("navigator.clipboard.readText()") == text
        assert seen.problems == []

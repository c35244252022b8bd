"""Cards in a real browser."""

from __future__ import annotations

from flow_cards import Markdown, Table, render
from flow_cards.testing import card_task


def test_a_card_opens_from_disk_and_asks_for_nothing(look):
    html = render(lambda task: [Markdown("# Result"), Table([[1, "a"]], ["n", "x"])], card_task())
    seen = look(html)
    assert seen.page.locator("h1", has_text="Result").count() == 1
    assert seen.page.locator("td").all_inner_texts() == ["1", "a"]
    assert seen.requests == []
    assert seen.problems == []

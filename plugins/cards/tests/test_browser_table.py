"""Tables in a real browser: sorted, filtered, ten thousand rows."""

from __future__ import annotations

import functools
import random

import pytest

from flow_cards import Log, Markdown, ProgressBar, Section, Table, render
from flow_cards.testing import CANARY, HOSTILE, Page, card_task
from flow_cards.wording import number_text


def page(*components):
    return render(lambda task: list(components), card_task())


def column(seen, number=0):
    return seen.page.evaluate(
        "n => [...document.querySelectorAll('figure.table tbody tr:not(.space)')]"
        ".map(row => row.cells[n].textContent.trim())",
        number,
    )


def sort(seen, title):
    seen.page.get_by_role("button", name=title, exact=True).click()


class TestASmallOne:
    ROWS = [
        ["b10", 1234.5, "12 %", ProgressBar(max=10, value=9)],
        ["B9", 0.00012345, "7 %", ProgressBar(max=2, value=1)],
        ["ä", 0.00012349, None, Markdown("**z**")],
        ["", float("nan"), "1,000 %", ProgressBar(max=10, value=1)],
    ]

    @pytest.fixture
    def seen(self, look):
        seen = look(page(Table(self.ROWS, ["name", "number", "share", "bar"])))
        yield seen
        assert seen.problems == []
        assert seen.requests == []

    def test_a_column_is_sorted_both_ways_and_back(self, seen):
        head = seen.page.locator("th").first
        sort(seen, "name")
        assert column(seen) == ["ä", "B9", "b10", ""]
        assert head.get_attribute("aria-sort") == "ascending"
        seen.page.keyboard.press("Enter")
        assert column(seen) == ["b10", "B9", "ä", ""]
        assert head.get_attribute("aria-sort") == "descending"
        seen.page.keyboard.press("Space")
        assert column(seen) == ["b10", "B9", "ä", ""]
        assert head.get_attribute("aria-sort") is None

    def test_numbers_as_numbers_and_what_is_empty_last(self, seen):
        sort(seen, "number")  # by more digits than are shown
        assert column(seen) == ["B9", "ä", "b10", ""]
        sort(seen, "number")
        assert column(seen) == ["b10", "ä", "B9", ""]
        sort(seen, "share")
        assert column(seen, 2) == ["7 %", "12 %", "1,000 %", "None"]
        sort(seen, "bar")
        assert column(seen) == ["", "B9", "b10", "ä"]

    def test_quantities_by_their_size(self, look):
        order = [
            ["2 h 05 min", "4 min 05 s", "13 ms", "2.4 s"],
            ["1.5 MB", "900 kB", "2 GB", "12 B"],
            ["+3 %", "-1,000 %", "1e3 %", "2 %"],
        ]  # fmt: skip
        seen = look(page(Table([*zip(*order, strict=True)], ["time", "size", "other"])))
        sort(seen, "time")
        assert column(seen, 0) == ["13 ms", "2.4 s", "4 min 05 s", "2 h 05 min"]
        sort(seen, "size")
        assert column(seen, 1) == ["12 B", "900 kB", "1.5 MB", "2 GB"]
        sort(seen, "other")
        assert column(seen, 2) == ["-1,000 %", "2 %", "+3 %", "1e3 %"]

    def test_it_has_no_filter(self, seen):
        assert seen.page.get_by_role("searchbox").count() == 0


def test_a_table_of_more_rows_is_filtered(look):
    seen = look(page(Table([[f"row {n}", n * 1000] for n in range(30)], ["name", "n"])))
    status = seen.page.get_by_role("status")
    assert status.text_content() == "30 rows"
    seen.page.get_by_role("searchbox").fill("ROW 2")
    assert status.text_content() == "12 of 30 rows"
    sort(seen, "n")
    sort(seen, "n")
    assert column(seen)[:2] == ["row 29", "row 28"]
    seen.page.get_by_role("searchbox").fill("row 7,000")
    assert column(seen) == ["row 27", "row 17", "row 7"]
    seen.page.get_by_role("searchbox").fill("nothing")
    assert column(seen) == []
    assert status.text_content() == "0 of 30 rows"


def test_a_table_in_a_cell_is_one_of_its_own(look):
    inner = Table([[1], [2]], ["inner"])
    seen = look(page(Table([["a", inner], ["b", inner]], ["name", "table"])))
    sort(seen, "name")
    sort(seen, "name")
    rows = seen.page.locator("figure.table").first.locator("> .scroll > table > tbody > tr")
    assert [text.split()[0] for text in rows.all_inner_texts()] == ["b", "a"]
    assert seen.problems == []


@functools.cache
def ten_thousand():
    rows = [[n, f"name {n % 997}", n * 1.5, None if n % 2 else True] for n in range(10_000)]
    return page(Table(rows, ["n", "name", "x", "flag"], note="NOTE"))


class TestALargeOne:
    @pytest.fixture
    def html(self):
        return ten_thousand()

    def test_only_the_rows_in_view_are_drawn(self, look, html):
        seen = look(html)
        scroll = seen.page.locator(".scroll")
        assert 5 < len(column(seen)) < 100
        assert column(seen)[0] == "0"
        assert seen.page.locator("table").get_attribute("aria-rowcount") == "10001"
        scroll.focus()
        seen.page.keyboard.press("End")
        seen.page.get_by_text("9,999").wait_for()
        assert len(column(seen)) < 100
        assert column(seen, 2)[-1] == "14,998.5"
        rows = seen.page.locator("tbody tr:not(.space)")
        last, box = rows.last.bounding_box(), scroll.bounding_box()
        assert abs(last["y"] + last["height"] - box["y"] - box["height"]) < 20
        head = seen.page.locator("th").first.bounding_box()
        assert abs(head["y"] - box["y"]) < 2  # it stays in view
        heights = {round(r.bounding_box()["height"], 1) for r in rows.all()}
        assert len(heights) == 1
        assert seen.problems == []

    def test_it_is_sorted_and_filtered_as_a_whole(self, look, html):
        seen = look(html)
        sort(seen, "n")
        sort(seen, "n")
        assert column(seen)[0] == "9,999"
        assert column(seen, 3)[0] == "None"
        seen.page.get_by_role("searchbox").fill("name 996")
        texts = [f"{n:,} name {n % 997} {number_text(n * 1.5)}" for n in range(10_000)]
        expected = sum("996" in text for text in texts)
        assert seen.page.get_by_role("status").text_content() == f"{expected} of 10,000 rows"
        assert column(seen)[:2] == ["9,996", "9,969"]

    def test_a_live_page_keeps_what_the_reader_did(self, look, html):
        seen = look(html)
        sort(seen, "n")
        sort(seen, "n")
        seen.page.get_by_role("searchbox").fill("name 9")
        seen.page.evaluate("document.querySelector('.scroll').scrollTop = 3000")
        before = seen.page.get_by_role("status").text_content()
        seen.page.evaluate(
            "html => { const fresh = new DOMParser().parseFromString(html, 'text/html');"
            " const old = document.querySelector('.part');"
            " flowCard.replace(old, document.adoptNode(fresh.querySelector('.part'))) }",
            html,
        )
        assert seen.page.get_by_role("status").text_content() == before
        assert seen.page.locator("th").first.get_attribute("aria-sort") == "descending"
        assert seen.page.evaluate("document.querySelector('.scroll').scrollTop") == 3000
        assert seen.page.evaluate("document.activeElement.type") == "search"
        seen.page.keyboard.type("99")
        assert seen.page.get_by_role("searchbox").input_value() == "name 999"
        assert column(seen)[0] == "9,999"
        assert seen.problems == []

    def test_on_paper_its_first_rows_stand(self, look, html):
        seen = look(html)
        sort(seen, "n")
        sort(seen, "n")
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        seen.page.emulate_media(media="print")
        assert column(seen) == [f"{n:,}" for n in range(9999, 9899, -1)]
        assert seen.page.get_by_text("the first 100 of 10,000 rows").is_visible()
        assert not seen.page.get_by_role("searchbox").is_visible()
        seen.page.emulate_media(media="screen")
        seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert len(column(seen)) < 100

    def test_without_scripts_its_first_rows_stand(self, html):
        found = Page(html)
        assert found.problems == []
        assert sum(tag == "tr" for tag, _ in found.tags) == 101
        assert "the first 100 of 10,000 rows" in found.text
        assert "NOTE" in found.text


def test_numbers_are_written_as_python_writes_them(look):
    choice = random.Random(7)
    numbers = [0, -1, 3.0, 0.03125, 1e-9, float("inf"), float("nan"), 10**14, -(10**20), 10**400]
    numbers += [choice.uniform(-1, 1) * 10 ** choice.randint(-6, 17) for _ in range(400)]
    numbers += [choice.randint(-(10**18), 10**18) >> choice.randint(0, 60) for _ in range(400)]
    numbers += [choice.randint(0, 10**9) / 64 for _ in range(200)]
    seen = look(page(Table([[n] for n in numbers], ["x"])))
    found = []
    for start in range(0, len(numbers), 10):
        seen.page.evaluate(
            "n => { const s = document.querySelector('.scroll'); s.scrollTop ="
            " n * document.querySelector('tbody tr:not(.space)').offsetHeight;"
            " s.dispatchEvent(new Event('scroll')) }",
            start,
        )
        found.append(
            seen.page.evaluate(
                "n => [...document.querySelectorAll('tbody tr:not(.space)')]"
                ".filter(r => r.ariaRowIndex - 2 >= n && r.ariaRowIndex - 2 < n + 10)"
                ".map(r => r.textContent)",
                start,
            )
        )
    assert [len(one) for one in found] == [10] * 101
    assert [text for one in found for text in one] == [number_text(n) for n in numbers]
    sort(seen, "x")
    assert column(seen)[0] == number_text(min(n for n in numbers if n == n))


def test_numbers_of_a_column_have_as_many_decimals(look):
    numbers = [n / 8 for n in range(300)]
    seen = look(page(Table([[n, n] for n in numbers], ["x", "y"])))
    sort(seen, "y")
    sort(seen, "y")
    assert column(seen, 1)[:10] == [number_text(n, 3) for n in numbers[::-1][:10]]
    assert column(seen)[1] == "37.250"
    assert seen.problems == []


def test_a_log_is_seen_from_its_end(look):
    text = "\n".join(f"line {n}" for n in range(500))
    folded = Section("Logs", [Log(text, from_end=True)], folded=True)
    seen = look(page(Log(text, from_end=True), Log(text), folded))
    rest = (
        "n => { const e = document.querySelectorAll('pre')[n];"
        " return e.scrollHeight - e.clientHeight - e.scrollTop }"
    )
    assert seen.page.evaluate(rest, 0) < 2
    assert seen.page.evaluate(rest, 1) > 1000
    seen.page.get_by_text("Logs").click()
    seen.page.wait_for_function(f"({rest})(2) < 2")
    assert seen.problems == []


def test_hostile_texts_in_the_data_stay_text(look):
    rows = [[text, Markdown(text), n] for n, text in enumerate(HOSTILE * 12)]
    html = page(Section("S", [Table(rows, ["text", "markdown", "n"])]))
    assert Page(html).problems == []
    seen = look(html)
    sort(seen, "text")
    sort(seen, "markdown")
    seen.page.get_by_role("searchbox").fill(CANARY)
    seen.page.get_by_role("button", name="Copy").click()
    assert seen.dialogs == seen.requests == seen.problems == []
    assert seen.page.locator("table script, table iframe, table style").count() == 0

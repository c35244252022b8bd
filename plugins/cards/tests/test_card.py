"""@card from the outside: flows as processes, and what they leave behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FLOW = """
    from flow_core import FlowSpec, Parameter, card, current, step
    from flow_cards import Markdown, ProgressBar, Table

    class F(FlowSpec):
        mode = Parameter("mode", default="well")

        @card
        @card(type="blank", id="rows")
        @step
        def start(self):
            self.x = [1, 2]
            print("what it wrote")
            current.card.append(Markdown("The **report**"))
            current.card["rows"].append(ProgressBar(max=10, value=3, label="Rows"))
            if self.mode == "raise":
                raise ValueError("no <b>good</b>")
            if self.mode == "kill":
                import os
                os.kill(os.getpid(), 9)
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def tester(flowtester):
    flowtester.more_plugins = ["cards"]
    return flowtester


def cards(tester, run=1):
    """Name of each card → its page."""
    folder = tester.path / ".flow" / "runs" / "F" / str(run)
    return {
        f"{p.parts[-5]}/{p.name.rpartition('-')[0]}": p.read_text()
        for p in sorted(folder.glob("*/*/*/cards/*.html"))
    }


class TestRun:
    def test_each_card_of_a_step_is_made(self, tester):
        tester.python(tester.write(FLOW), "run").check()
        found = cards(tester)
        assert list(found) == ["start/0-default-", "start/1-blank-rows"]
        default, rows = found.values()
        assert "The <strong>report</strong>" in default
        assert "what it wrote" in default
        assert "[1, 2]" in default
        assert '<progress max="10" value="3">' in rows
        assert "report" not in rows

    def test_a_failed_task_leaves_its_card(self, tester):
        failed = tester.python(tester.write(FLOW), "run", "--mode", "raise")
        assert failed.returncode == 1
        page = cards(tester)["start/0-default-"]
        assert "ValueError: no &lt;b&gt;good&lt;/b&gt;" in page
        assert "The <strong>report</strong>" in page

    def test_a_task_that_was_killed_leaves_its_card(self, tester):
        tester.python(tester.write(FLOW), "run", "--mode", "kill")
        page = cards(tester)["start/0-default-"]
        assert "SIGKILL" in page
        assert "what it wrote" in page

    def test_with_card(self, tester):
        file = tester.write(
            """
            from flow_core import FlowSpec, step

            class F(FlowSpec):
                @step
                def start(self):
                    self.next(self.end)

                @step
                def end(self):
                    pass

            if __name__ == "__main__":
                F()
            """
        )
        tester.python(file, "--with", 'card:type=blank,options={"title": "T"}', "run").check()
        assert list(cards(tester)) == ["end/0-blank-", "start/0-blank-"]


class TestCommands:
    def test_list_get_and_view(self, tester):
        file = tester.write(FLOW)
        tester.python(file, "run").check()
        shown = tester.python(file, "card", "list").check().stdout.splitlines()
        assert shown[0].split() == ["TASK", "TYPE", "ID", "HASH", "BYTES", "MADE"]
        assert [line.split()[:2] for line in shown[1:]] == [
            ["F/1/start/1", "default"],
            ["F/1/start/1", "blank"],
        ]
        data = json.loads(tester.flow("card", "list", "F/start", "--json").check().stdout)
        assert [one["id"] for one in data] == [None, "rows"]
        page = tester.flow("card", "get", "F/1/start/1", "--id", "rows").check().stdout
        assert page == Path(data[1]["path"]).read_text()
        opened = tester.python(
            file, "card", "view", "start", "--type", "default", variables={"BROWSER": "true"}
        )
        assert opened.check().stdout.strip() == data[0]["path"]

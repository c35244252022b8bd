"""@card from the outside: flows as processes, what they leave behind, and the command."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from flow_core.testing import FlowTester

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
            current.card["rows"].refresh({"epoch": 1})
            if self.mode == "raise":
                raise ValueError("no <b>good</b>")
            if self.mode == "kill":
                import os
                os.kill(os.getpid(), 9)
            self.next(self.work, foreach="x")

        @card(type="html", options={"attribute": "page"})
        @step
        def work(self):
            self.page = f"<h1>{self.input}</h1>"
            self.next(self.join)

        @step
        def join(self, inputs):
            if self.mode == "join":
                raise ValueError("not yet")
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


class TestRun:
    def test_each_card_of_a_step_is_made(self, tester, pages):
        tester.python(tester.write(FLOW), "run").check()
        found = pages()
        assert (
            list(found)
            == [
                "start/0-default-",
                "start/1-blank-rows",
                "work/0-html-",
                "work/0-html-",
            ][: len(found)]
        )
        default, rows = found["start/0-default-"], found["start/1-blank-rows"]
        assert "The <strong>report</strong>" in default
        assert "what it wrote" in default
        assert "[1, 2]" in default
        assert '<progress max="10" value="3">' in rows
        assert "report" not in rows
        assert "&gt;&lt;h1&gt;" in found["work/0-html-"]

    def test_a_failed_task_leaves_its_card(self, tester, pages):
        failed = tester.python(tester.write(FLOW), "run", "--mode", "raise")
        assert failed.returncode == 1
        page = pages()["start/0-default-"]
        assert "ValueError: no &lt;b&gt;good&lt;/b&gt;" in page
        assert "The <strong>report</strong>" in page

    def test_a_task_that_was_killed_leaves_its_card(self, tester, pages):
        tester.python(tester.write(FLOW), "run", "--mode", "kill")
        found = pages()
        assert "SIGKILL" in found["start/0-default-"]
        assert "what it wrote" in found["start/0-default-"]
        assert "<progress" in found["start/1-blank-rows"]  # it was refreshed before

    def test_with_card(self, tester, pages):
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
        text = 'card:type=blank,options={"title": "T"}'
        tester.python(file, "--with", text, "run").check()
        assert list(pages()) == ["end/0-blank-", "start/0-blank-"]


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Return a laboratory with two runs: the second is a resume of the first."""
    tester = FlowTester(tmp_path_factory.mktemp("past"))
    tester.more_plugins = ["cards"]
    file = tester.write(FLOW)
    tester.python(file, "run", "--mode", "join")
    tester.python(file, "resume")
    return tester


class TestList:
    def test_what_it_prints(self, past):
        lines = past.flow("card", "list", "F/1").check().stdout.splitlines()
        assert lines[0].split() == ["TASK", "TYPE", "ID", "HASH", "BYTES", "MADE"]
        assert [line.split()[:2] for line in lines[1:]] == [
            ["F/1", "run"],
            ["F/1/start/1", "default"],
            ["F/1/start/1", "blank"],
            ["F/1/work/2", "html"],
            ["F/1/work/3", "html"],
        ]

    @pytest.mark.parametrize(
        ("arguments", "count"),
        [
            (["F/1/start"], 2),
            (["F/1/work/3"], 1),
            (["F/work"], 2),
            (["F"], 5),
            (["F/1", "--type", "html"], 2),
            (["F/1", "--id", "rows"], 1),
        ],
    )
    def test_of_what(self, past, arguments, count):
        data = json.loads(past.flow("card", "list", *arguments, "--json").check().stdout)
        assert len(data) == count
        assert all(Path(one["path"]).is_file() for one in data)

    def test_in_a_flow_file_without_the_name_of_the_flow(self, past):
        file = past.path / "flow.py"
        for words in ([], ["start"], ["2"], ["2/start"], ["2/start/1"], ["F/2/start/1"]):
            data = json.loads(past.python(file, "card", "list", *words, "--json").check().stdout)
            assert {one["pathspec"] for one in data} >= {"F/2/start/1"}

    def test_cards_of_reused_tasks_are_those_of_the_tasks_that_ran(self, past):
        lines = past.flow("card", "list", "F/2").check().stdout.splitlines()
        assert lines[0].endswith("REUSED FROM")
        assert lines[1].split()[:2] == ["F/2", "run"]
        assert [line.split()[-1] for line in lines[2:]] == [
            "F/1/start/1",
            "F/1/start/1",
            "F/1/work/2",
            "F/1/work/3",
        ]
        left = past.flow("card", "list", "F/2", "--no-follow-resumed", "--json").check().stdout
        assert [one["pathspec"] for one in json.loads(left)] == ["F/2"]
        left = past.flow("card", "list", "F/2/work", "--no-follow-resumed")
        assert left.error["error"] == "F/2/work has no cards"


class TestGetAndView:
    def test_get(self, past):
        (listed,) = json.loads(
            past.flow("card", "list", "F/1", "--id", "rows", "--json").check().stdout
        )
        page = Path(listed["path"]).read_text()
        assert past.flow("card", "get", "F/1/start/1", "--id", "rows").check().stdout == page
        saved = past.flow("card", "get", "F/1/start", "card.html", "--hash", listed["hash"][:5])
        assert saved.check().stdout == ""
        assert (past.path / "card.html").read_text() == page
        data = json.loads(past.flow("card", "get", "F/1/start", "--id", "rows", "--json").stdout)
        assert data == {**listed, "html": page}

    def test_view_opens_the_file_in_the_browser(self, past):
        (past.path / "browser").write_text('#!/bin/sh\necho "$1" > opened.txt\n')
        (past.path / "browser").chmod(0o755)
        variables = {"BROWSER": f"{past.path}/browser %s"}
        shown = past.flow("card", "view", "F/1/work/3", variables=variables).check().stdout.strip()
        assert (past.path / "opened.txt").read_text().strip() == f"file://{shown}"
        assert "&lt;h1&gt;2&lt;/h1&gt;" in Path(shown).read_text()

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (
                ["get", "F/1/start"],
                {
                    "error": "F/1/start/1 has 2 cards",
                    "why": "one card at a time is shown",
                    "try": "choose one: --type default, --id rows",
                },
            ),
            (
                ["view", "F/1/work"],
                {
                    "error": "F/1/work has cards of 2 tasks",
                    "why": "one card at a time is shown",
                    "try": "choose one of F/1/work/2, F/1/work/3",
                },
            ),
            (
                ["get", "F/1/work", "--id", "row"],
                {"error": "F/1/work has no card with the id 'row'", "where": "--id row", "try": "leave out --id"},
            ),
            (
                ["get", "F/1", "--type", "defualt"],
                {
                    "error": "F/1 has no card with the type 'defualt'",
                    "where": "--type defualt",
                    "try": "did you mean 'default'?",
                },
            ),
            (
                ["get", "F/1/start/1", "no/such/folder.html", "--id", "rows"],
                {
                    "error": "The card cannot be written to 'no/such/folder.html'",
                    "why": "No such file or directory",
                    "try": "card.html",
                },
            ),
        ],
    )  # fmt: skip
    def test_errors(self, past, words, error):
        assert past.flow("card", *words).error == error

    @pytest.mark.parametrize(
        ("pathspec", "what", "hint"),
        [
            ("F/9", "There is no run F/9", "latest runs: 2, 1"),
            ("G", "There is no run of a flow 'G'", "known names: F"),
            ("F/strat", "No run of F has started a step 'strat'", "did you mean 'start'?"),
            ("F/1/strat", "No task of step 'strat' has started in run F/1", "did you mean 'start'?"),
            ("F/1/start/9", "Step F/1/start has no task 9", "its first tasks: 1"),
            ("1/start", "'1/start' names no task", "MyFlow/train   MyFlow/3/train   MyFlow/3/train/7"),
            ("F/1/2/3", "'F/1/2/3' names no task", "MyFlow/train   MyFlow/3/train   MyFlow/3/train/7"),
            ("F/1/join", "F/1/join has no cards", "flow card create F/1/join"),
            ("F/1/join/4/0", "F/1/join/4/0 has no cards", "flow card create F/1/join/4/0"),
            ("F/1/join/4/3", "Task F/1/join/4 has no attempt 3", "F/1/join/4/0"),
            ("F/1/join/4/0/1", "'F/1/join/4/0/1' names no task", "MyFlow/train   MyFlow/3/train   MyFlow/3/train/7"),
        ],
    )  # fmt: skip
    def test_what_is_not_there(self, past, pathspec, what, hint):
        shown = past.flow("card", "list", pathspec).error
        assert (shown["error"], shown["try"]) == (what, hint)

    def test_of_an_attempt(self, past):
        last = past.flow("card", "list", "F/1/work/2", "--json").check().stdout
        assert past.flow("card", "list", "F/1/work/2/0", "--json").check().stdout == last
        page = past.flow("card", "get", "F/2/work/2/0").check().stdout
        assert page == past.flow("card", "get", "F/1/work/2").check().stdout

    def test_without_anything(self, past):
        shown = past.flow("card", "list").error
        assert shown["error"] == "It is not said which task"

    def test_a_subcommand_that_there_is_not(self, past):
        shown = past.flow("card", "lits").error
        assert "lits" in shown["error"]
        assert "list" in shown["try"]


class TestAfterGc:
    def test_cards_of_reused_tasks_stay(self, past, tmp_path):
        tester = FlowTester(tmp_path)
        tester.more_plugins = ["cards"]
        shutil.copytree(past.path / ".flow", tmp_path / ".flow")
        tester.flow("gc", "--keep-last", "1", "--margin", "0", "--yes").check()
        data = json.loads(tester.flow("card", "list", "F/2", "--json").check().stdout)
        assert [one["origin"] for one in data] == [None] * 5
        assert (
            "The <strong>report</strong>"
            in tester.flow("card", "get", "F/2/start", "--type", "default").check().stdout
        )
        tester.flow("reindex").check()
        assert len(json.loads(tester.flow("card", "list", "F/2", "--json").check().stdout)) == 5


class TestClient:
    def client(self, past, code):
        file = past.write(f"from flow_core import Task, get_cards\n{code}\n", "look.py")
        return past.python(file)

    def test_get_cards(self, past):
        shown = self.client(
            past,
            """
cards = get_cards("F/1/start/1")
print(len(cards), [c.type for c in cards], [c.id for c in cards], cards.from_resumed)
print(cards[1].get() == open(cards[1].path).read(), len(cards[1].hash), cards[1].get_data())
print(repr(cards), repr(cards[0]), repr(cards[1]))
print([c.id for c in get_cards(Task("F/1/start/1"), id="rows")], len(get_cards(Task("F/1/start/1"), type="x")))
print(cards._repr_html_().count("<iframe"), get_cards("F/1/join/4")._repr_html_())
""",
        )
        assert shown.check().stdout.splitlines() == [
            "2 ['default', 'blank'] [None, 'rows'] False",
            "True 20 {'epoch': 1}",
            "<2 cards> <Card default of F/1/start/1> <Card blank 'rows' of F/1/start/1>",
            "['rows'] 0",
            "2 <p>no cards</p>",
        ]

    def test_of_a_reused_task(self, past):
        shown = self.client(
            past,
            """
cards = get_cards("F/2/start/1")
print(len(cards), cards.from_resumed, cards.origin_pathspec, cards[0].pathspec)
print(len(get_cards("F/2/start/1", follow_resumed=False)))
""",
        )
        assert shown.check().stdout.splitlines() == ["2 True F/1/start/1 F/1/start/1", "0"]

    @pytest.mark.parametrize(
        ("what", "said"),
        [
            ("3", "Cards are those of a task, not of 3"),
            ("Task('F/1/start/1').parent", "Cards are those of a task, not of"),
            ("'F/1/start/9'", "F/1/start"),
        ],
    )
    def test_of_what_is_no_task(self, past, what, said):
        code = f"""
from flow_core import FlowError
try:
    get_cards({what})
except FlowError as error:
    print(error.what)
"""
        assert said in self.client(past, code).check().stdout

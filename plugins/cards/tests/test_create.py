"""``card create``: cards of tasks that have ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flow_core.testing import FlowTester

FLOW = """
    import os
    import time
    from flow_core import FlowSpec, card, current, step
    from flow_cards import Markdown

    class Own:
        def __repr__(self):
            return "one of a class of the flow's file"

    class Hangs:
        def __repr__(self):
            if os.path.exists(os.path.join(os.path.dirname(__file__), "hang")):
                time.sleep(600)
            return "it does not hang now"

    class F(FlowSpec):
        @card(type="blank", id="said")
        @step
        def start(self):
            current.card.append(Markdown("The **report**"))
            self.x = [1, 2, 3]
            self.own = Own()
            self.page = "<h1>Own page</h1>"
            self.next(self.work, foreach="x")

        @step
        def work(self):
            self.y = 10 * self.input
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            self.hangs = Hangs()

    if __name__ == "__main__":
        F()
"""


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    tester = FlowTester(tmp_path_factory.mktemp("created"))
    tester.more_plugins = ["cards"]
    file = tester.write(FLOW)
    tester.python(file, "run").check()
    tester.python(file, "resume", "work").check()
    return tester


def cards(tester, pathspec):
    listed = json.loads(tester.flow("card", "list", pathspec, "--json").check().stdout)
    return [(c["pathspec"], c["type"], c["id"]) for c in listed]


class TestCreate:
    def test_a_card_of_a_task_that_never_had_one(self, past):
        run = past.path / ".flow" / "runs" / "F" / "1"
        before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
        done = past.flow("card", "create", "F/1/join").check()
        path = Path(done.stdout.strip())
        assert path.name.startswith("0-default--")
        assert "F/1/join/5" in path.read_text()
        after = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
        assert {p for p in after if after[p] != before.get(p)} == {path}

    def test_another_type_shows_what_the_step_added_too(self, past):
        done = past.python(past.path / "flow.py", "card", "create", "1/start").check()
        html = Path(done.stdout.strip()).read_text()
        assert Path(done.stdout.strip()).name.startswith("1-default--")
        assert "The <strong>report</strong>" in html
        assert "one of a class of the flow" in html
        assert ("F/1/start/1", "blank", "said") in cards(past, "F/1/start")

    def test_json(self, past):
        done = past.flow("card", "create", "F/1/start/1", "--id", "outside", "--json").check()
        (made,) = json.loads(done.stdout)
        assert (made["pathspec"], made["type"], made["id"]) == ("F/1/start/1", "default", "outside")
        assert made["error"] is None
        assert made["path"].endswith(made["key"])
        assert "one of a class of the flow" in Path(made["path"]).read_text()

    def test_an_id_is_made_anew(self, past):
        options = ("--id", "page", "--type", "html", "--options")
        first = past.flow("card", "create", "F/1/start", *options, '{"attribute": "page"}').check()
        second = past.flow(
            "card", "create", "F/1/start", *options, '{"attribute": "page", "scripts": false}'
        ).check()
        old, new = Path(first.stdout.strip()), Path(second.stdout.strip())
        assert old.name.partition("-")[0] == new.name.partition("-")[0]
        assert not old.exists()
        assert "Own page" in new.read_text()

    def test_what_is_made_anew_keeps_what_the_step_added(self, past):
        done = past.flow(
            "card",
            "create",
            "F/1/start",
            "--id",
            "said",
            "--type",
            "blank",
            "--options",
            '{"title": "T"}',
        ).check()
        html = Path(done.stdout.strip()).read_text()
        assert "<h1>T</h1>" in html
        assert "The <strong>report</strong>" in html

    def test_each_task_of_a_step(self, past):
        done = past.flow("card", "create", "F/1/work", "--type", "blank", "--id", "all").check()
        assert len(done.stdout.splitlines()) == 3
        made = cards(past, "F/1/work")
        assert [(kind, name) for _, kind, name in made] == [("blank", "all")] * 3

    def test_without_an_id_the_one_of_the_type_is_made_anew(self, past):
        create = ("card", "create", "F/1/work/4", "--type", "blank")
        old = Path(past.flow(*create).check().stdout.strip())
        new = Path(past.flow(*create, "--options", '{"title": "T"}').check().stdout.strip())
        assert old.name.partition("-")[0] == new.name.partition("-")[0]
        assert not old.exists()
        assert cards(past, "F/1/work/4").count(("F/1/work/4", "blank", None)) == 1

    def test_those_with_one_content_count_as_one(self, past):
        for name in ("one", "two"):
            past.flow("card", "create", "F/1/join", "--type", "blank", "--id", name).check()
        found = json.loads(
            past.flow("card", "list", "F/1/join", "--type", "blank", "--json").check().stdout
        )
        assert len({one["hash"] for one in found}) == 1
        past.flow("card", "get", "F/1/join", "--type", "blank").check()

    def test_reused_tasks_are_left_out(self, past):
        before = cards(past, "F/1")
        done = past.flow("card", "create", "F/2", "--type", "blank", "--id", "x", "--json").check()
        assert {made["pathspec"].split("/")[1] for made in json.loads(done.stdout)} == {"2"}
        assert "1 of 6 tasks were reused, and get no card here: they ran in F/1" in done.stderr
        assert cards(past, "F/1") == before

    def test_an_attempt(self, past):
        done = past.flow("card", "create", "F/1/start/1/0", "--id", "tried", "--json").check()
        assert [made["pathspec"] for made in json.loads(done.stdout)] == ["F/1/start/1"]


class TestWhatCannotBe:
    def refused(self, past, *arguments, code=2):
        done = past.flow("card", "create", *arguments)
        assert done.returncode == code, done.stderr
        return done.stderr

    def test_an_unknown_type(self, past):
        said = self.refused(past, "F/1/start", "--type", "defualt", code=1)
        assert "No plugin offers the card type 'defualt'" in said
        assert "did you mean 'default'?" in said

    def test_options_that_are_none(self, past):
        assert "it is no JSON" in self.refused(past, "F/1/start", "--options", "{title")
        assert "names and values" in self.refused(past, "F/1/start", "--options", "[1]")

    def test_an_id_that_is_none(self, past):
        said = self.refused(past, "F/1/start", "--id", "a b")
        assert "try:   --id a_b" in said

    def test_no_time(self, past):
        assert "above 0" in self.refused(past, "F/1/start", "--timeout", "0")

    def test_no_such_task(self, past):
        assert "has no task 99" in self.refused(past, "F/1/start/99", code=1)

    def test_a_reused_task(self, past):
        for which in ("F/2/start", "F/2/start/1"):
            shown = past.flow("card", "create", which).error
            assert shown == {
                "error": f"{which} was reused: it ran as F/1/start/1",
                "why": "a card of it would lie in that run, not in this one",
                "try": "flow card create F/1/start/1",
            }

    def test_a_page_that_there_is_not(self, past):
        done = past.flow("card", "create", "F/1/start/1", "--type", "html", "--id", "none")
        assert done.returncode == 1
        assert "The task has no artifact 'html', which would be the page" in done.stderr
        assert "flow_cards" not in done.stderr
        assert ("F/1/start/1", "html", "none") not in cards(past, "F/1/start")

    def test_a_card_that_hangs(self, past):
        past_file = past.path / "flow.py"
        (past.path / "hang").touch()
        done = past.python(past_file, "card", "create", "1/end", "--timeout", "0.7", "--id", "slow")
        assert done.returncode == 1
        assert "The card 'slow' could not be made" in done.stderr
        assert "longer than 0.7 s" in done.stderr
        assert "--timeout 300" in done.stderr
        assert not [*(past.path / ".flow" / "runs" / "F" / "1" / "end").rglob("*-slow-*.html")]

    def test_a_type_that_raises(self, past):
        said = self.refused(
            past, "F/1/work", "--type", "html", "--options", '{"attribute": "y"}', code=1
        )
        assert "3 of 3 cards could not be made" in said
        assert "is int, and no HTML text" in said


def test_a_task_that_runs(tester):
    file = tester.write(
        """
        import subprocess, sys, time
        from flow_core import FlowSpec, current, step

        class F(FlowSpec):
            @step
            def start(self):
                time.sleep(1)  # by then the launcher has told the index of this task
                for name in ("create", "get"):
                    command = [sys.executable, "-m", "flow_core", "card", name, current.pathspec]
                    done = subprocess.run(command, capture_output=True, text=True)
                    print(done.returncode, done.stderr)
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
        """
    )
    said = tester.python(file, "run").check().stdout
    assert "F/1/start/1 is running" in said
    assert "card server" in said
    assert "F/1/start/1 has no cards yet" in said
    assert "F/1/start/1 still runs, and cards are stored when their task has ended" in said
    assert "card server F/1" in said

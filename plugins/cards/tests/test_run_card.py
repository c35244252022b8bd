"""The card of a whole run: what it shows, where it lies, who makes it."""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow_cards import CardLink, Markdown, render
from flow_cards.run_card import run as run_type
from flow_cards.run_card import steps_of
from flow_cards.storage import cards_below, run_cards, write_run_card
from flow_cards.testing import HOSTILE, Page, card_run
from flow_core.api import AttemptRecord, AttemptState, Failure
from flow_core.testing import FlowTester, MemoryStore

FLOW = """
    import os, time
    from flow_core import FlowSpec, Parameter, card, retry, step

    class F(FlowSpec):
        \"\"\"Sums numbers.

        More of it.\"\"\"

        mode = Parameter("mode", default="well")

        @card
        @step
        def start(self):
            self.numbers = [1, 2]
            self.next(self.work, foreach="numbers")

        @retry(times=1, minutes_between_retries=0)
        @card(id="first")
        @step
        def work(self):
            from flow_core import current
            if self.mode == "retry" and self.input == 1 and not current.retry_count:
                raise ValueError("not at once")
            self.next(self.join)

        @step
        def join(self, inputs):
            if self.mode == "fail":
                raise ValueError("no <b>good</b>")
            if self.mode == "wait":
                open("waits", "w").close()
                time.sleep(60)
            self.total = sum([1, 2])
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""
GRAPH = {
    "end": "end",
    "steps": {
        "start": {"kind": "foreach", "foreach": "x", "targets": ["work"], "doc": "Begin."},
        "work": {"kind": "linear", "targets": ["end"], "parents": ["start"]},
        "end": {"kind": "end", "joins": True, "targets": [], "parents": ["work"]},
    },
}


def attempt(step, task, number=0, state="succeeded", start=100.0, seconds=2.0, **facts):
    record = AttemptRecord("TrainFlow", "3", step, task, number, AttemptState(state))
    return record._replace(
        started_at=start,
        finished_at=start + seconds,
        cpu_seconds=seconds / 2,
        peak_memory=50_000_000,
        **facts,
    )


def drawn(**facts):
    return render(run_type, card_run(graph=GRAPH, **facts))


class TestContent:
    def test_of_a_run_that_went_well(self):
        html = render(
            run_type,
            card_run(
                {"model": "a tree"},
                {"alpha": 0.25},
                graph=GRAPH,
                flow_doc="Trains.\n\nMore.",
                attempts=(
                    attempt("start", 1),
                    attempt("work", 2, start=103),
                    attempt("end", 3, start=106),
                ),
                tags=("nightly",),
                origin="TrainFlow/2",
            ),
        )
        page = Page(html)
        assert page.problems == []
        titles = re.findall(r"<h2[^>]*>(.*?)</h2>", html)
        assert titles == [
            "Run",
            "Flow",
            "Timeline",
            "Parameters",
            "Artifacts of the end step",
            "Steps",
        ]
        for word in (
            "Trains.",
            "12.5 s",
            "nightly",
            "TrainFlow/2",
            "a tree",
            "0.25",
            "50 MB",
            "Begin.",
        ):
            assert word in page.text, word
        assert "More." not in page.text
        assert "<title>TrainFlow/3</title>" in html

    def test_of_a_failed_one_failures_stand_first_with_links(self):
        html = drawn(
            state="failed",
            failure=Failure("", "", "ValueError: no good"),
            attempts=(attempt("start", 1), attempt("work", 2, state="failed")),
            failures={
                "TrainFlow/3/work/2": Failure(
                    "error", "ValueError", "no <b>good</b>", "Traceback …"
                )
            },
            find=lambda one: (CardLink("default", "", f"../work/{one.task}/0/cards/x.html"),),
        )
        assert re.findall(r"<h2[^>]*>(.*?)</h2>", html)[0] == "Failure"
        assert "work/2: ValueError: no &lt;b&gt;good&lt;/b&gt;" in html
        assert 'href="../work/2/0/cards/x.html"' in html
        assert 'class="step failed"' in html
        assert 'class="step none"' in html

    def test_a_task_that_still_runs_reaches_to_the_last_sign_of_life(self):
        going = attempt("work", 2, state="running", start=104)._replace(finished_at=None)
        html = drawn(
            state="running", finished=0.0, seen=110.0, attempts=(attempt("start", 1), going)
        )
        assert "work/2, running, 6.0 s" in Page(html).text
        assert "Duration" not in Page(html).text

    def test_before_its_first_task(self):
        html = drawn(state="failed", failure=Failure("", "", "the disk is full"), finished=0.0)
        assert "the disk is full" in Page(html).text
        assert "Timeline" not in html

    def test_reused_tasks_are_counted_and_take_no_time(self):
        html = drawn(
            attempts=(
                attempt("start", 1, state="reused", origin="TrainFlow/2/start/1/0"),
                attempt("work", 2),
            )
        )
        assert 'class="step reused"' in html
        assert html.count('"><title>work/') == 1

    def test_steps(self):
        tries = (
            attempt("work", 2, state="failed"),
            attempt("work", 2, 1, seconds=4),
            attempt("work", 3),
        )
        work, *others = steps_of(card_run(graph=GRAPH, attempts=tries))
        assert (work.name, len(work.attempts), len(work.tasks)) == ("work", 3, 2)
        assert work.states == {"succeeded": 2}
        assert work.seconds == (2.0, 4.0)
        assert [(one.name, one.state) for one in others] == [("start", "none"), ("end", "none")]

    def test_ten_thousand_tasks_make_a_small_page_soon(self):
        looked = []

        def find(one):
            looked.append(one)
            return (CardLink("default", "", f"../work/{one.task}/0/cards/0-default--x.html"),)

        tasks = [attempt("work", 2 + n, start=n / 10, seconds=1 + n % 7) for n in range(10_000)]
        tasks[77] = tasks[77]._replace(state=AttemptState.FAILED, message="ValueError: no good")
        run = card_run(graph=GRAPH, attempts=(attempt("start", 1, start=0), *tasks), find=find)
        began = time.process_time()
        html = render(run_type, run)
        assert time.process_time() - began < 2
        assert len(html.encode()) < 300_000
        assert len(looked) < 100
        assert "1 of 10,000 failed" in html
        assert '<a href="../work/79/0/cards/0-default--x.html">work/79</a>' in html
        assert "flow card list TrainFlow/3/work" in Page(html).text

    @pytest.mark.parametrize(
        ("tasks", "listed"), [(3, False), (4, True), (500, True), (501, False)]
    )
    def test_the_cards_of_all_tasks_are_listed(self, tasks, listed):
        html = drawn(
            attempts=tuple(attempt("work", 2 + n) for n in range(tasks)),
            find=lambda one: (CardLink("default", "", f"../work/{one.task}.html"),),
        )
        text = Page(html).text
        assert (f"Cards of work ({tasks})" in text) == listed
        assert ("flow card list TrainFlow/3/work" in text) == (tasks > 500)
        if tasks <= 500:
            for number in range(2, 2 + tasks):
                assert f'<a href="../work/{number}.html"' in html

    def test_of_many_steps_no_more_cards_are_looked_up_than_a_far_store_can_bear(self):
        looked = []

        def find(one):
            looked.append(one)
            return (CardLink("default", "", f"../{one.task}.html"),)

        tasks = [attempt(step, n) for n, step in enumerate(["start", "work"] * 400)]
        text = Page(drawn(attempts=tuple(tasks), find=find)).text
        assert len(looked) <= 600
        assert "Cards of start (400)" in text
        assert "All cards of work, 400 tasks: flow card list TrainFlow/3/work" in text

    def test_no_list_where_there_are_no_cards(self):
        tasks = [attempt("work", n) for n in range(600)]
        for some in (tasks[:10], tasks):
            text = Page(drawn(attempts=tuple(some))).text
            assert "Cards of work" not in text
            assert "flow card list" not in text

    @pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
    def test_escapes_everything(self, text):
        graph = {"doc": text, "steps": {text: {"targets": [text], "doc": text}}}
        html = render(
            run_type,
            card_run(
                {text: text},
                {text: text},
                flow=text,
                run=text,
                state=text,
                user=text,
                host=text,
                tags=(text,),
                origin=text,
                graph=graph,
                flow_doc=text,
                failure=Failure("", text, text, text),
                failures={f"TrainFlow/3/{text}/1": Failure("error", text, text, text)},
                attempts=(attempt(text, 1, state="failed", message=text),),
                find=lambda one: (CardLink(text, text, text),),
            ),
        )
        assert Page(html).problems == []


@pytest.fixture(scope="module")
def past(tmp_path_factory):
    """Run 1 went well, one task at the second try; run 2 failed; run 3 resumed it."""
    tester = FlowTester(tmp_path_factory.mktemp("runs"))
    tester.more_plugins = ["cards", "retry"]
    file = tester.write(FLOW)
    tester.said = [
        tester.python(file, "run", "--mode", "retry").check().stdout,
        tester.python(file, "run", "--mode", "fail").stdout,
        tester.python(file, "resume", "--mode", "well").check().stdout,
    ]
    return tester


def card_of(tester, run):
    """Return the file of the card of a run."""
    (file,) = (tester.path / ".flow/runs/F" / str(run) / "run-cards").iterdir()
    return file


class TestAfterRuns:
    def test_the_run_says_where_it_lies(self, past):
        for number, said in enumerate(past.said, 1):
            (line,) = [line for line in said.splitlines() if "Card of the run: " in line]
            file = Path(line.partition("Card of the run: ")[2])
            assert file == card_of(past, number)
            assert re.fullmatch(r"run-[0-9a-f]{20}\.html", file.name)

    def test_shows_the_state_in_the_end_and_every_attempt(self, past):
        page = card_of(past, 1).read_text()
        assert '<span class="state good">succeeded</span>' in page
        bars = re.findall(r'class="bar (\w+)"><title>', page)
        assert sorted(bars) == ["failed", *["succeeded"] * 5]
        assert "not at once" in Page(page).text
        assert "Sums numbers." in page

    def test_a_failed_run_shows_why(self, past):
        page = card_of(past, 2).read_text()
        assert '<span class="state bad">failed</span>' in page
        assert "no &lt;b&gt;good&lt;/b&gt;" in page
        assert "Traceback" in page

    def test_a_resumed_one_shows_what_it_resumes_and_final_artifacts(self, past):
        page = Page(card_of(past, 3).read_text()).text
        assert "F/2" in page
        assert "total" in page

    @pytest.mark.parametrize("run", [1, 2, 3])
    def test_its_links_lead_to_cards_on_disk(self, past, run):
        file = card_of(past, run)
        links = set(re.findall(r'href="(\.\./[^"]+)"', file.read_text()))
        assert len(links) == (4 if run == 1 else 3)
        for link in links:
            assert (file.parent / link).is_file(), link
            assert "/cards/" in posixpath.normpath(link)

    def test_without_a_card_in_any_step_there_is_none(self, tester):
        file = tester.write(FLOW.replace('@card(id="first")', "").replace("@card\n", "\n"))
        said = tester.python(file, "run", "--with", "retry").check().stdout
        assert "Card of the run" not in said
        assert not (tester.path / ".flow/runs/F/1/run-cards").exists()

    def test_the_setting_turns_it_off(self, tester):
        tester.more_plugins = ["cards", "retry"]
        done = tester.python(
            tester.write(FLOW), "run", variables={"FLOW_CARDS_OF_RUNS": "false"}
        ).check()
        assert "Card of the run" not in done.stdout
        assert not (tester.path / ".flow/runs/F/1/run-cards").exists()

    def test_of_an_interrupted_run(self, tester):
        tester.more_plugins = ["cards", "retry"]
        process = subprocess.Popen(
            [sys.executable, str(tester.write(FLOW)), "run", "--mode", "wait"],
            cwd=tester.path,
            env=tester.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while not (tester.path / "waits").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        process.wait(60)
        assert '<span class="state bad">interrupted</span>' in card_of(tester, 1).read_text()


class TestCommand:
    def test_makes_one_of_any_run_and_prints_the_file(self, past, tmp_path):
        tester = FlowTester(tmp_path)
        tester.more_plugins = ["cards", "retry"]
        shutil.copytree(past.path / ".flow", tmp_path / ".flow")
        before = card_of(tester, 2).read_text()
        card_of(tester, 2).unlink()
        said = tester.flow("card", "run", "F/2").check().stdout.strip()
        assert said == str(card_of(tester, 2))
        assert card_of(tester, 2).read_text() == before
        data = json.loads(tester.flow("card", "run", "F/2", "--json").check().stdout)
        assert (data["path"], data["type"], data["pathspec"]) == (said, "run", "F/2")
        again = tester.python(tester.write(FLOW), "card", "run").check().stdout.strip()
        assert again == str(card_of(tester, 3))

    def test_of_a_run_without_cards(self, tester):
        file = tester.write(FLOW.replace('@card(id="first")', "").replace("@card\n", "\n"))
        tester.python(file, "run", "--with", "retry").check()
        said = tester.python(file, "card", "run", "1").check().stdout.strip()
        assert "Sums numbers." in Path(said).read_text()

    def test_a_pathspec_of_a_run_means_its_card(self, past):
        page = card_of(past, 1).read_text()
        assert past.flow("card", "get", "F/1").check().stdout == page
        assert past.flow("card", "get", "F/1", "--type", "run").check().stdout == page
        shown = past.flow("card", "get", "F/1", "--type", "default").error
        assert shown["error"] == "F/1 has cards of 3 tasks"

    def test_list_names_it_first(self, past):
        data = json.loads(past.flow("card", "list", "F/1", "--json").check().stdout)
        assert [(one["pathspec"], one["type"], one["attempt"]) for one in data] == [
            ("F/1", "run", None),
            ("F/1/start/1", "default", 0),
            ("F/1/work/2", "default", 1),
            ("F/1/work/3", "default", 0),
        ]
        assert data[0]["path"] == str(card_of(past, 1))

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (
                ["F/1/start"],
                {
                    "error": "'F/1/start' is no run",
                    "why": "this makes a card of a whole run",
                    "try": "flow card run F/1",
                },
            ),
            (
                ["F/1", "--type", "rum"],
                {
                    "error": "No plugin offers the type of cards of runs 'rum'",
                    "why": "installed are run",
                    "try": "did you mean 'run'?",
                },
            ),
        ],
    )
    def test_errors(self, past, words, error):
        assert past.flow("card", "run", *words).error == error


class TestClient:
    def test_get_cards_of_a_run(self, past):
        file = past.write(
            """
            from flow_core import Run, get_cards

            (card,) = get_cards(Run("F/1"))
            print(repr(card), card.get() == open(card.path).read(), card.get_data())
            print(len(get_cards("F/1", type="run")), len(get_cards("F/1", type="x")))
            """,
            "look.py",
        )
        assert past.python(file).check().stdout.splitlines() == [
            "<Card run of F/1> True None",
            "1 0",
        ]


class TestATypeOfSomebody:
    MODULE = """
        from flow_cards import Markdown

        __flow__ = {"flow.run_cards": {"short": "short", "broken": "broken"}}

        def short(run):
            '''How many tasks there were.'''
            return [Markdown(f"{len(run.attempts)} attempts of {run.pathspec}")]

        def broken(run):
            '''Nothing.'''
            raise ValueError("not this run")
    """

    def test_is_made_beside_the_other_one(self, past, tmp_path):
        tester = FlowTester(tmp_path)
        tester.more_plugins = ["cards", "retry"]
        shutil.copytree(past.path / ".flow", tmp_path / ".flow")
        tester.write(self.MODULE, "mine.py")
        said = tester.flow("-p", "mine", "card", "run", "F/1", "--type", "short").check().stdout
        assert "6 attempts of F/1" in Path(said.strip()).read_text()
        types = [one.name.partition("-")[0] for one in Path(said.strip()).parent.iterdir()]
        assert sorted(types) == ["run", "short"]


class TestStorage:
    def test_a_new_one_takes_the_place_of_the_earlier_and_of_an_error(self):
        memory_store = MemoryStore()
        write_run_card(memory_store, "F", "3", "error", "<p>no</p>")
        write_run_card(memory_store, "F", "3", "other", "<p>other</p>")
        write_run_card(memory_store, "F", "3", "run", "<p>1</p>")
        card = write_run_card(memory_store, "F", "3", "run", "<p>2</p>")
        found = run_cards(memory_store, "F", "3")
        assert [one.type for one in found] == ["other", "run"]
        assert (found[1].key, found[1].pathspec) == (card.key, "F/3")
        assert list(cards_below(memory_store, "F", "3")) == []

    def test_gc_removes_it_with_its_run_and_reindex_does_not_mind(self, past, tmp_path):
        tester = FlowTester(tmp_path)
        tester.more_plugins = ["cards", "retry"]
        shutil.copytree(past.path / ".flow", tmp_path / ".flow")
        tester.flow("gc", "--keep-last", "1", "--margin", "0", "--yes").check()
        assert not (tmp_path / ".flow/runs/F/1").exists() or not list(
            (tmp_path / ".flow/runs/F/1").rglob("*.html")
        )
        assert card_of(tester, 3).is_file()
        assert "1 run" in tester.flow("reindex").check().stdout
        said = tester.flow("tasks", "F/3").check().stdout
        assert "run-cards" not in said
        assert tester.flow("card", "get", "F/3").check().stdout == card_of(tester, 3).read_text()


class TestFailure:
    def test_one_that_cannot_be_made_is_told_and_leaves_an_error_card(self, tester):
        """What lies in the artifacts crashes when it is shown: the process dies, not the run."""
        tester.more_plugins = ["cards", "retry"]
        source = FLOW.replace("self.total = sum([1, 2])", "self.total = Crashes()").replace(
            "    class F(FlowSpec):",
            "    class Crashes:\n        def __repr__(self):\n            os._exit(66)\n\n    class F(FlowSpec):",
        )
        done = tester.python(tester.write(source), "run").check()
        assert "The card 'run' of the run F/1 could not be made: its process ended" in done.stdout
        assert card_of(tester, 1).name.startswith("error-")


def test_in_a_browser(look):
    html = drawn(
        attempts=(attempt("start", 1), attempt("work", 2, state="failed"), attempt("work", 2, 1)),
        find=lambda one: (CardLink("default", "", "../x.html"),),
    )
    seen = look(html, width=390)
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert seen.problems == []
    assert seen.requests == []


def test_a_type_may_return_one_component():
    assert "whole" in render(lambda run: Markdown("whole"), card_run())

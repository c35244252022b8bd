"""Cards of real runs that go wrong: one that fails, hangs or crashes harms nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

CARDS = """
    import ctypes, os, sys, threading, time
    from flow_core import FlowSpec, Parameter, card, current, step
    from flow_cards import Component, Markdown

    class Hangs:
        def __repr__(self):
            time.sleep(600)

    class Crashes:
        def __repr__(self):
            os.write(2, b"last words")
            os._exit(66)

    class Raises:
        def __repr__(self):
            raise SystemExit(3)

    class F(FlowSpec):
        kind = Parameter("kind", default="well")

        @card(timeout={timeout}{options})
        @step
        def start(self):
            self.thing = {{"hangs": Hangs, "crashes": Crashes, "raises": Raises}}.get(self.kind, int)()
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def flow(tester, timeout=20.0, options=""):
    return tester.write(CARDS.format(timeout=timeout, options=options))


class TestAFailingCard:
    def test_one_that_hangs(self, tester, pages):
        done = tester.python(flow(tester, timeout=0.7), "run", "--kind", "hangs").check()
        assert "longer than 0.7 s, and was ended" in done.stdout
        (page,) = pages().items()
        assert page[0] == "start/0-error-"
        assert "The card &#39;default&#39; could not be made: it took longer than 0.7 s" in page[1]

    def test_one_that_crashes(self, tester, pages):
        done = tester.python(flow(tester), "run", "--kind", "crashes").check()
        said = (
            "The card 'default' of F/1/start/1 could not be made: its process ended with status 66"
        )
        assert said in done.stdout
        assert "last words" in pages()["start/0-error-"]

    def test_one_that_wants_to_end_the_process(self, tester, pages):
        tester.python(flow(tester), "run", "--kind", "raises").check()
        assert "SystemExit: 3" in pages()["start/0-error-"]

    def test_no_error_card_where_none_is_wanted(self, tester, pages):
        file = flow(tester, options=", save_errors=False")
        done = tester.python(file, "run", "--kind", "crashes").check()
        assert "could not be made" in done.stdout
        assert pages() == {}

    def test_an_unknown_type_is_told_before_the_first_task(self, tester, pages):
        file = flow(tester, options=", type='defualt'")
        lines = tester.python(file, "run").check().stdout.splitlines()
        assert lines[1].endswith(
            "Step 'start': no plugin offers the card type 'defualt' (did you mean 'default'?)"
        )
        assert "No plugin offers the card type &#39;defualt&#39;" in pages()["start/0-error-"]

    def test_the_run_does_not_wait_for_ever(self, tester):
        began = time.monotonic()
        done = tester.python(
            flow(tester, timeout=300.0),
            "run",
            "--kind",
            "hangs",
            variables={"FLOW_CARDS_WAIT": "1"},
        ).check()
        assert time.monotonic() - began < 30
        assert "Some cards were not made within 1 s (setting cards_wait)" in done.stdout

    def test_a_flow_that_cannot_be_loaded_again(self, tester, pages):
        source = CARDS.format(timeout=5.0, options="").replace(
            "import ctypes",
            "import sys\n    if 'flow_cards.children' in sys.modules: raise OSError('not here')\n    import ctypes",
        )
        done = tester.python(tester.write(source), "run").check()
        assert "Cards could not be made: " in done.stdout
        assert "OSError: not here" in done.stdout
        assert pages() == {}


class TestTheProcess:
    def test_what_the_flow_prints_when_it_is_loaded_harms_nothing(self, tester, pages):
        source = CARDS.format(timeout=5.0, options="").replace(
            "    class Hangs", "    print('loaded'); print('{\"made\": 1}')\n\n    class Hangs"
        )
        done = tester.python(tester.write(source), "run").check()
        assert "could not be made" not in done.stdout
        assert list(pages()) == ["start/0-default-"]

    def test_a_flow_with_threads_gets_a_fresh_interpreter_for_each_card(self, tester, pages):
        source = CARDS.format(timeout=30.0, options="").replace(
            "    class Hangs",
            "    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n\n    class Hangs",
        )
        done = tester.python(tester.write(source), "run", "--kind", "crashes").check()
        assert "its process ended with status 66" in done.stdout
        assert list(pages()) == ["start/0-error-"]
        tester.python(tester.write(source), "run").check()
        assert list(pages(2)) == ["start/0-default-"]

    def test_a_card_for_each_item_of_a_foreach(self, tester, pages):
        file = tester.write(
            """
            from flow_core import FlowSpec, card, current, step

            class F(FlowSpec):
                @step
                def start(self):
                    self.items = list(range(40))
                    self.next(self.work, foreach="items")

                @card
                @step
                def work(self):
                    current.card.append(f"item {self.input}")
                    self.next(self.join)

                @step
                def join(self, inputs):
                    self.next(self.end)

                @step
                def end(self):
                    pass

            if __name__ == "__main__":
                F()
            """
        )
        tester.python(file, "run").check()
        folder = tester.path / ".flow" / "runs" / "F" / "1" / "work"
        found = sorted(p.read_text() for p in folder.glob("*/0/cards/*.html"))
        assert len(found) == 40
        assert {text.partition("<p>item ")[2].partition("<")[0] for text in found} == {
            str(n) for n in range(40)
        }

    def test_it_does_not_outlive_its_launcher(self, tester):
        file = flow(tester, timeout=300.0)
        variables = tester.environment(variables={"FLOW_TEST_MARK": str(tester.path)})
        process = subprocess.Popen(
            [sys.executable, str(file), "run", "--kind", "hangs"],
            cwd=tester.path,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(lambda: len(marked(tester)) >= 3)  # the launcher, the renderer, and its child
        wait_for((tester.path / ".flow/runs/F/1/finished.json").exists)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        wait_for(lambda: not marked(tester))

    def test_ctrl_c_ends_the_waiting_for_cards(self, tester):
        process = subprocess.Popen(
            [sys.executable, str(flow(tester, timeout=300.0)), "run", "--kind", "hangs"],
            cwd=tester.path,
            env=tester.environment(variables={"FLOW_TEST_MARK": str(tester.path)}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_for((tester.path / ".flow/runs/F/1/finished.json").exists)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
        assert "Some cards were not made: Ctrl-C ended the waiting for them" in said
        assert "Done: F/1" in said
        assert process.returncode == 0
        wait_for(lambda: not marked(tester))


def marked(tester):
    """Return the processes that were started for this test, with their commands."""
    needle = f"FLOW_TEST_MARK={tester.path}".encode()
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if needle in file.read():
                    found.append(entry)
        except OSError:
            continue
    return found


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.02)


class TestAttempts:
    def test_each_attempt_leaves_its_own(self, tester):
        file = tester.write(
            """
            from flow_core import FlowSpec, card, current, retry, step

            class F(FlowSpec):
                @retry(times=1)
                @card(type="blank")
                @step
                def start(self):
                    current.card.append(f"attempt {current.retry_count}")
                    if not current.retry_count:
                        raise ValueError("once")
                    self.next(self.end)

                @step
                def end(self):
                    pass

            if __name__ == "__main__":
                F()
            """
        )
        tester.python(file, "run").check()
        folder = tester.path / ".flow" / "runs" / "F" / "1" / "start" / "1"
        for attempt in (0, 1):
            (page,) = (folder / str(attempt) / "cards").glob("*.html")
            assert f"attempt {attempt}</p>" in page.read_text()
        listed = tester.flow("card", "list", "F/1/start").check().stdout.splitlines()
        assert len(listed) == 2

    def test_what_a_process_added_before_it_died_is_in_the_card_of_what_stands_for_it(
        self, tester, pages
    ):
        file = tester.write(
            """
            import os
            from flow_core import FlowSpec, card, catch, current, step

            class F(FlowSpec):
                @catch(var="why")
                @card
                @step
                def start(self):
                    current.card.append("**so far**")
                    current.card.refresh(force=True)
                    os.kill(os.getpid(), 9)
                    self.next(self.end)

                @step
                def end(self):
                    pass

            if __name__ == "__main__":
                F()
            """
        )
        tester.python(file, "run").check()
        folder = tester.path / ".flow" / "runs" / "F" / "1" / "start" / "1"
        found = [p.read_text() for p in sorted(folder.glob("*/cards/*.html"))]
        assert len(found) == 2
        assert all("<strong>so far</strong>" in page for page in found)
        assert "caught" in found[1]


@pytest.mark.parametrize("fork", ["auto", "never"])
def test_in_tasks_of_any_kind(tester, pages, fork):
    tester.python(flow(tester), "run", variables={"FLOW_FORK": fork}).check()
    assert list(pages()) == ["start/0-default-"]


def test_in_the_launchers_own_process(tester, pages):
    tester.more_plugins.append("inprocess")
    tester.python(flow(tester), "--compute", "in-process", "run").check()
    assert list(pages()) == ["start/0-default-"]

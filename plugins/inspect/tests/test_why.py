"""``why``: whether past tasks were reused or ran, and the reason that was noted."""

import json

import pytest

from flow_inspect.reasons import in_words, without_place

FLOW = """
    from flow_core import FlowSpec, Parameter, step

    class F(FlowSpec):
        alpha = Parameter("alpha", default=1)

        @step
        def start(self):
            self.items = [self.alpha, *range(10, 30)]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.y = self.input
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.y for i in inputs)
            self.next(self.end)

        @step
        def end(self):
            self.last = self.total

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def flow(flowtester):
    file = flowtester.write(FLOW)
    flowtester.python(file, "run").check()
    flowtester.python(file, "resume", "--alpha", "4").check()
    return file


def test_in_groups_and_task_by_task(flowtester, flow):
    shown = flowtester.python(flow, "why", "2").check().stdout
    assert shown == (
        "F/2 resumes F/1\n"
        "\n"
        "start\n"
        "  1 task ran (1)\n"
        "    it reads parameter 'alpha', which was 1 and is 4\n"
        "\n"
        "work\n"
        "  1 task ran (2)\n"
        "    it reads its item of 'items', which F/2/start/1 made: it is another now\n"
        "  20 tasks reused (3, 4, 5, …)\n"
        "    its input was made anew, but all that it has read of it is the same\n"
        "\n"
        "join\n"
        "  1 task ran (23)\n"
        "    it reads the artifact 'y', which F/2/work/2 made: it is another now\n"
        "\n"
        "end\n"
        "  1 task ran (24)\n"
        "    it reads the artifact 'total', which F/2/join/23 made: it is another now\n"
    )
    one = flowtester.flow("why", "F/2/work/2").check().stdout
    assert one == (
        "F/2/work/2 ran:\n  it reads item 0 of 'items', which F/2/start/1 made: it is another now\n"
    )
    assert (
        flowtester.flow("why", "F/2/work/7")
        .check()
        .stdout.startswith("F/2/work/7 was reused from F/1/work/7/0:\n")
    )
    data = json.loads(flowtester.flow("why", "F/2/work", "--json").check().stdout)
    assert len(data) == 21
    assert [(d["reused"], d["indices"]) for d in data if d["task"] in (2, 3)] == [
        (False, [0]),
        (True, [1]),
    ]
    assert data[0]["reasons"][0]["kind"] in ("item", "same")


def test_a_run_that_reuses_nothing(flowtester, flow):
    shown = flowtester.python(flow, "why", "1/end").check().stdout
    assert "1 task ran (24)\n    nothing was to be reused: the run resumes no other" in shown


def test_a_failed_task_and_a_named_step(flowtester):
    file = flowtester.write(FLOW.replace("self.last =", "1 / 0; self.last ="))
    assert flowtester.python(file, "run").returncode == 1
    assert flowtester.python(file, "resume", "join").returncode == 1
    shown = flowtester.python(file, "why", "2").check().stdout
    assert (
        "  21 tasks reused (2, 3, 4, …)\n    it was finished, and so was all that it reads" in shown
    )
    assert "  1 task ran (23)\n    its step was named on the command line" in shown
    assert "  1 task ran (24)\n    it follows step 'join', which was to run again" in shown
    assert flowtester.python(file, "resume").returncode == 1
    shown = flowtester.python(file, "why", "3/end").check().stdout
    assert (
        "it did not end well in the run that is resumed, as F/2/end/24: division by zero" in shown
    )


def test_more_items_and_more_branches(flowtester):
    source = FLOW.replace("[self.alpha, *range(10, 30)]", "list(range(self.alpha))")
    file = flowtester.write(
        source.replace("self.y = self.input", "self.y = self.foreach_stack()[0][2]")
    )
    flowtester.python(file, "run", "--alpha", "2").check()
    flowtester.python(file, "resume", "--alpha", "3").check()
    assert flowtester.python(file, "why", "2").check().stdout.split("\n\n")[2:4] == [
        (
            "work\n"
            "  2 tasks ran (2, 3)\n"
            "    its foreach over 'items' has 3 items now, and had 2\n"
            "  1 task ran (4)\n"
            "    F/1 has no finished task of it"
        ),
        "join\n  1 task ran (5)\n    it joins 3 of work now, and joined 2 of work",
    ]


def test_who_made_an_artifact_that_others_have_read_or_whose_reads_nobody_noted(flowtester):
    file = flowtester.write(
        """
        import os
        from flow_core import FlowSpec, Parameter, step

        class F(FlowSpec):
            alpha = Parameter("alpha", default=1)

            @step
            def start(self):
                self.x = self.alpha
                self.next(self.reads)

            @step
            def reads(self):
                self.x
                self.next(self.forks)

            @step
            def forks(self):
                if os.fork() == 0:
                    self.x
                    os._exit(0)
                os.wait()
                self.next(self.end)

            @step
            def end(self):
                self.y = self.x

        if __name__ == "__main__":
            F()
        """
    )
    flowtester.python(file, "run").check()
    flowtester.python(file, "resume", "--alpha", "4").check()
    shown = flowtester.python(file, "why", "2/end").check().stdout
    assert "it reads the artifact 'x', which F/2/start/1 made: it is another now" in shown
    assert "nobody noted what it read" in flowtester.python(file, "why", "2/forks").check().stdout


def test_what_is_not_there(flowtester, flow):
    done = flowtester.flow("why", "F/9")
    assert done.error["error"] == "There is no run F/9"
    done = flowtester.flow("why", "nothing")
    assert done.error["error"] == "'nothing' names no run, step or task"


# --- words --------------------------------------------------------------------------------------


def test_reasons_of_other_plugins_are_shown_as_they_are():
    assert in_words([{"by": "mine", "kind": "moon", "phase": "full"}], False) == (
        "mine: moon {'phase': 'full'}",
    )
    assert in_words([{"by": "mine", "kind": "parameter"}], False) == ("mine: parameter",)
    assert in_words([{}], True) == ("?: ?",)


def test_of_a_reused_task_the_last_reason_counts():
    noted = [{"by": "resume", "kind": "missing", "origin": "F/1"}, {"by": "cache", "kind": "hit"}]
    assert in_words(noted, True) == ("cache: code, what it has read, and environment are the same",)
    assert len(in_words(noted, False)) == 2


def test_long_lists_of_changes_are_cut():
    change = {"name": "f", "file": "a.py", "line": 1, "change": "changed", "is_step": False}
    lines = in_words([{"by": "resume", "kind": "code", "changes": [change] * 9}], False)
    assert lines[0] == "its code has changed:"
    assert lines[1] == "  f was changed, which it uses (a.py:1)"
    assert lines[-1] == "  and 3 more"


def test_items_of_a_foreach_are_one_group():
    line = "it reads item 12 of 'items', which F/1/a/1 made"
    assert without_place(line) == "it reads its item of 'items', which F/1/a/1 made"

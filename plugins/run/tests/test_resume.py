"""``resume``: what was finished is reused by reference, the rest runs with today's code."""

import os
import signal
import subprocess
import sys
import time

import pytest

from flow_core.api import AttemptState, RunState

LINE = """
    import os
    from flow_core import FlowSpec, Parameter, current, step

    class F(FlowSpec):
        alpha = Parameter("alpha", default=1)

        @step
        def start(self):
            self.big = b"x" * 100_000
            self.origin = current.origin_run_id
            self.next(self.middle)

        @step
        def middle(self):
            self.seen = ("MIDDLE", len(self.big), self.alpha)
            BODY
            self.next(self.end)

        @step
        def end(self):
            self.last = (self.seen, current.origin_run_id)

    if __name__ == "__main__":
        F()
"""

FOREACH = """
    from flow_core import FlowSpec, catch, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = list(range(20))
            self.next(self.work, foreach="items")

        DECORATOR
        @step
        def work(self):
            self.square = self.input**2
            BODY
            self.next(self.after)

        @step
        def after(self):
            self.squared = self.square
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.squared for i in inputs)
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def line(body="pass", middle="one"):
    return LINE.replace("BODY", body).replace("MIDDLE", middle)


def foreach(body="pass", decorator=""):
    return FOREACH.replace("BODY", body).replace("DECORATOR", decorator)


def states(run, step):
    """Return the states of a step's tasks by foreach index, of the last attempt each."""
    last = {m.task: m for m in run.manifests(step)}
    by_index = sorted(last.values(), key=lambda m: [f.index for f in m.foreach])
    return [m.state.value for m in by_index]


def blobs(run):
    return {entry.key: entry.modified for entry in run.store.list("blobs/")}


@pytest.fixture
def failed(flowtester):
    """A run whose second step failed, in the meantime repaired."""
    file = flowtester.write(line(body="1 / 0"))
    assert flowtester.python(file, "run", "--alpha", "5").returncode == 1
    flowtester.write(line(middle="repaired"))
    return file


def test_goes_on_with_todays_code_and_the_old_parameters(flowtester, failed):
    done = flowtester.python(failed, "resume").check()
    assert "[2/start/1] Task is reused from F/1/start/1/0" in done.stdout
    run = flowtester.left(2)
    assert run.state is RunState.SUCCEEDED
    assert run.artifact("end", "last") == (("repaired", 100_000, 5), "1")


def test_reused_tasks_point_at_the_same_data(flowtester, failed):
    before = blobs(flowtester.left(1))
    flowtester.python(failed, "resume").check()
    (old,), (new,) = flowtester.left(1).manifests("start"), flowtester.left(2).manifests("start")
    assert new.state is AttemptState.REUSED
    assert new.origin == "F/1/start/1/0"
    assert new.artifacts == old.artifacts
    assert {key: at for key, at in blobs(flowtester.left(2)).items() if key in before} == before
    assert flowtester.left(2).output("start") == ""  # logs stay where they were written


def test_the_record_of_the_run_names_its_origin(flowtester, failed):
    flowtester.python(failed, "resume", "--tag", "again").check()
    record = flowtester.left(2).metadata.run("F", "2")
    assert record.origin == "F/1"
    assert record.tags == ("again",)
    attempts = flowtester.left(2).metadata.attempts("F", "2")
    assert [(a.step, a.origin) for a in attempts] == [
        ("start", "F/1/start/1/0"),
        ("middle", None),
        ("end", None),
    ]


def test_by_either_way_to_call(flowtester, failed):
    flowtester.flow("resume", str(failed), "--run-id-file", "id.txt").check()
    assert (flowtester.path / "id.txt").read_text() == "2"
    assert states(flowtester.left(2), "start") == ["reused"]


def test_of_another_run_than_the_latest(flowtester, failed):
    flowtester.python(failed, "run", "--alpha", "6").check()
    for name in ("1", "F/1"):
        flowtester.python(failed, "resume", "--origin-run-id", name).check()
    for run in (3, 4):
        assert flowtester.left(run).artifact("end", "last") == (("repaired", 100_000, 5), "1")


def test_when_all_succeeded_nothing_runs(flowtester):
    file = flowtester.write(line())
    flowtester.python(file, "run").check()
    done = flowtester.python(file, "resume").check()
    assert "(pid" not in done.stdout
    assert [states(flowtester.left(2), s) for s in ("start", "middle", "end")] == [["reused"]] * 3
    assert flowtester.left(2).state is RunState.SUCCEEDED


def test_from_a_step_on(flowtester):
    file = flowtester.write(line())
    flowtester.python(file, "run").check()
    flowtester.write(line(middle="another"))
    flowtester.python(file, "resume", "middle").check()
    run = flowtester.left(2)
    assert [states(run, s) for s in ("start", "middle", "end")] == [
        ["reused"],
        ["succeeded"],
        ["succeeded"],
    ]
    assert run.artifact("end", "last") == (("another", 100_000, 1), "1")


def test_of_a_resumed_run(flowtester, failed):
    flowtester.write(line(body="1 / 0"))
    assert flowtester.python(failed, "resume").returncode == 1
    flowtester.write(line(middle="third"))
    flowtester.python(failed, "resume").check()
    run = flowtester.left(3)
    assert run.metadata.run("F", "3").origin == "F/2"
    assert run.manifests("start")[0].origin == "F/2/start/1/0"
    assert run.artifact("end", "last") == (("third", 100_000, 5), "2")
    assert run.artifact("start", "big") == b"x" * 100_000


def test_a_parameter_that_is_new_gets_its_default(flowtester, failed):
    source = line(body="self.beta_was = self.beta").replace(
        'alpha = Parameter("alpha", default=1)',
        'alpha = Parameter("alpha", default=2)\n        beta = Parameter("beta", default="b")',
    )
    flowtester.write(source)
    flowtester.python(failed, "resume").check()
    assert flowtester.left(2).artifact("middle", "beta_was") == "b"
    assert flowtester.left(2).artifact("end", "last")[0][2] == 5


# --- foreach ------------------------------------------------------------------------------------


def test_one_failed_item_of_twenty(flowtester):
    file = flowtester.write(foreach("assert self.input != 7"))
    assert flowtester.python(file, "run", "--max-workers", "1").returncode == 1
    finished = [
        n for n, state in enumerate(states(flowtester.left(1), "work")) if state == "succeeded"
    ]
    assert finished == list(range(7))

    # This time all others are finished before the one fails.
    flowtester.write(
        foreach(
            "import glob, time\n"
            "            others = '.flow/runs/F/2/after/*/0/manifest'\n"
            "            while self.input == 7 and len(glob.glob(others)) < 19: time.sleep(0.01)\n"
            "            assert self.input != 7"
        )
    )
    assert flowtester.python(file, "run", "--max-workers", "4").returncode == 1
    assert states(flowtester.left(2), "work").count("succeeded") == 19

    flowtester.write(foreach())
    flowtester.python(file, "resume").check()
    run = flowtester.left(3)
    expected = ["reused"] * 20
    expected[7] = "succeeded"
    assert states(run, "work") == expected
    assert states(run, "after") == expected
    assert states(run, "join") == states(run, "end") == ["succeeded"]
    assert run.artifact("end", "total") == sum(n**2 for n in range(20))


def test_caught_tasks_are_reused_unless_the_step_is_named(flowtester):
    file = flowtester.write(
        foreach("assert self.input != 7", "@catch(var='failure')").replace("pass", "1 / 0")
    )
    assert flowtester.python(file, "run").returncode == 1
    flowtester.write(foreach("self.new = True", "@catch(var='failure')"))
    flowtester.python(file, "resume").check()
    run = flowtester.left(2)
    assert states(run, "work") == ["reused"] * 20
    caught = run.artifacts("work")[7]
    assert "AssertionError" in str(caught["failure"])
    assert caught["square"] == 49

    flowtester.python(file, "resume", "work").check()
    assert states(flowtester.left(3), "work") == ["succeeded"] * 20
    assert flowtester.left(3).artifacts("work")[7]["new"] is True


def test_a_list_of_another_length_runs_what_follows(flowtester):
    file = flowtester.write(foreach("assert self.input != 7"))
    flowtester.python(file, "run")
    flowtester.write(foreach().replace("range(20)", "range(5)"))
    flowtester.python(file, "resume", "start").check()
    run = flowtester.left(2)
    assert states(run, "work") == ["succeeded"] * 5  # their input may be another one
    assert run.artifact("end", "total") == 30


# --- another graph ------------------------------------------------------------------------------


def test_a_finished_task_that_goes_elsewhere_today_runs_again(flowtester, failed):
    source = line(middle="ignored").replace("self.next(self.middle)", "self.next(self.extra)")
    extra = """
        @step
        def extra(self):
            self.passed = True
            self.next(self.middle)

        @step
        def middle"""
    flowtester.write(source.replace("\n        @step\n        def middle", extra))
    flowtester.python(failed, "resume").check()
    run = flowtester.left(2)
    assert states(run, "start") == states(run, "extra") == ["succeeded"]
    assert run.artifact("end", "passed") is True


def test_a_step_that_is_gone(flowtester):
    file = flowtester.write(line().replace("self.last =", "1 / 0; self.last ="))
    assert flowtester.python(file, "run").returncode == 1
    source = line().replace("self.next(self.middle)", "self.seen = 0; self.next(self.end)")
    start, end = (
        source.index("        @step\n        def middle"),
        source.index("        @step\n        def end"),
    )
    flowtester.write(source[:start] + source[end:])
    flowtester.python(file, "resume").check()
    assert flowtester.left(2).artifact("end", "last") == (0, "1")


BRANCHES = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.a, self.b)

        @step
        def a(self):
            self.x = 1
            self.next(self.join)

        @step
        def b(self):
            self.x = 2
            BODY
            self.next(self.join)

        @step
        def join(self, inputs):
            self.xs = [i.x for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def test_the_other_branch_is_reused(flowtester):
    file = flowtester.write(BRANCHES.replace("BODY", "pass"))
    flowtester.python(file, "run").check()
    flowtester.write(BRANCHES.replace("BODY", "self.x = 3"))
    flowtester.python(file, "resume", "b").check()
    run = flowtester.left(2)
    assert states(run, "a") == ["reused"]
    assert states(run, "b") == states(run, "join") == ["succeeded"]
    assert run.artifact("end", "xs") == [1, 3]


# --- a run whose launcher is gone ---------------------------------------------------------------


def test_of_a_run_that_goes_on(flowtester):
    source = LINE.replace(
        "BODY", "import time\n            if current.run_id == '1': time.sleep(60)"
    )
    file = flowtester.write(source)
    process = subprocess.Popen(
        [sys.executable, str(file), "run"],
        cwd=flowtester.path,
        env=flowtester.environment(),
        stdout=subprocess.DEVNULL,
    )
    text = "F/1 still goes on: what it has not finished yet runs twice"
    try:
        wait_for(lambda: list((flowtester.path / ".flow/runs/F/1").glob("start/*/0/manifest")))
        assert text in flowtester.python(file, "resume").check().stdout
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert text not in flowtester.python(file, "resume", "--origin-run-id", "1").check().stdout


def test_of_a_run_that_was_never_finished(flowtester):
    """The launcher is killed so early that its index knows nothing of what was finished."""
    file = flowtester.write(
        foreach("import time; time.sleep(60 * (self.input == 2)); open('slow', 'a')")
    )
    process = subprocess.Popen(
        [sys.executable, str(file), "run", "--max-workers", "2"],
        cwd=flowtester.path,
        env=flowtester.environment(),
        stdout=subprocess.DEVNULL,
    )
    folder = flowtester.path / ".flow/runs/F/1/work"
    wait_for(lambda: len(list(folder.glob("*/0/manifest"))) == 19)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert flowtester.left(1).state is RunState.RUNNING

    flowtester.write(foreach())
    flowtester.python(file, "resume").check()
    expected = ["reused"] * 20
    expected[2] = "succeeded"
    assert states(flowtester.left(2), "work") == expected
    assert flowtester.left(2).artifact("end", "total") == sum(n**2 for n in range(20))


def wait_for(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


# --- wrong calls --------------------------------------------------------------------------------


def runs(flowtester):
    return sorted(f.name for f in (flowtester.path / ".flow" / "runs" / "F").glob("*"))


def test_nothing_to_resume(flowtester):
    done = flowtester.python(flowtester.write(line()), "resume")
    assert done.returncode == 1
    assert done.error == {
        "error": "There is no run of F to resume",
        "where": f"local://{flowtester.path}/.flow",
        "try": "start one with: run",
    }
    assert runs(flowtester) == []


def test_an_unknown_run(flowtester, failed):
    done = flowtester.python(failed, "resume", "--origin-run-id", "99", "--run-id-file", "id.txt")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.error == {
        "error": "There is no run F/99",
        "where": f"local://{flowtester.path}/.flow",
        "try": "the latest are: 1",
    }
    assert runs(flowtester) == ["1"]
    assert not (flowtester.path / "id.txt").exists()


def test_a_damaged_origin_is_found_before_a_run_is_announced(flowtester, failed):
    document = flowtester.path / ".flow/runs/F/1/run.json"
    document.write_bytes(document.read_bytes().replace(b'"user":"tester"', b'"user":"nobody"'))
    done = flowtester.python(failed, "resume", "--run-id-file", "id.txt")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.error == {
        "error": "The run record is damaged",
        "where": "runs/F/1/run.json",
        "why": "its bytes do not have the hash that it carries",
        "try": "restore the file from a copy, or run the flow again",
    }
    assert runs(flowtester) == ["1"]
    assert not (flowtester.path / "id.txt").exists()


def test_a_lost_index_is_told_from_a_flow_that_never_ran(flowtester, failed):
    index = flowtester.path / ".flow/metadata.db"
    for file in flowtester.path.glob(".flow/metadata.db*"):
        file.unlink()
    for arguments in ((), ("--origin-run-id", "1")):
        done = flowtester.python(failed, "resume", *arguments)
        assert done.error["error"].startswith("The index does not know the run")
        assert done.error["try"] == f"python {failed} reindex"
    assert flowtester.python(failed, "reindex").stdout.startswith("The index ")
    assert index.exists()
    assert "resumes F/1" in flowtester.python(failed, "resume").stdout


REPEAT = """
    from flow_core import FlowSpec, current, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = [2, 4]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.epochs = [*getattr(self, "epochs", []), current.iteration]
            BODY
            self.way = "again" if len(self.epochs) < self.input else "MIDDLE"
            self.next({"again": self.work, "small": self.small, "big": self.join}, condition="way")

        @step
        def small(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.all = [i.epochs for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def repeat(body="pass", way="big"):
    return REPEAT.replace("BODY", body).replace("MIDDLE", way)


def iterations(run):
    """Return (index, iteration) → state of the tasks of ``work``."""
    return {(m.foreach[0].index, m.iteration): m.state.value for m in run.manifests("work")}


class TestRepeatedSteps:
    def test_finished_iterations_are_reused(self, flowtester):
        file = flowtester.write(repeat("if self.input == 4 and current.iteration == 2: 1 / 0"))
        # One worker: the tasks begin in the order they are due, and all but one ended before it fails.
        assert flowtester.python(file, "run", "--max-workers", "1").returncode == 1
        assert iterations(flowtester.left(1))[1, 2] == "failed"
        flowtester.write(repeat())
        flowtester.python(file, "resume").check()
        run = flowtester.left(2)
        assert iterations(run) == {
            (0, 0): "reused",
            (0, 1): "reused",
            (1, 0): "reused",
            (1, 1): "reused",
            (1, 2): "succeeded",
            (1, 3): "succeeded",
        }
        assert run.artifact("join", "all") == [[0, 1], [0, 1, 2, 3]]

    def test_of_a_run_that_was_resumed_and_whole(self, flowtester):
        file = flowtester.write(repeat())
        flowtester.python(file, "run").check()
        for _ in range(2):
            flowtester.python(file, "resume").check()
        assert set(iterations(flowtester.left(3)).values()) == {"reused"}
        assert len(iterations(flowtester.left(3))) == 6

    def test_from_the_repeated_step_on_all_iterations_run(self, flowtester):
        file = flowtester.write(repeat())
        flowtester.python(file, "run").check()
        flowtester.python(file, "resume", "work").check()
        assert set(iterations(flowtester.left(2)).values()) == {"succeeded"}

    def test_a_way_that_is_no_longer_there_runs_again(self, flowtester):
        file = flowtester.write(repeat())
        flowtester.python(file, "run").check()
        flowtester.write(repeat(way="small").replace(', "big": self.join', ""))
        flowtester.python(file, "resume").check()
        run = flowtester.left(2)
        assert iterations(run) == {
            (0, 0): "reused",
            (0, 1): "succeeded",
            (1, 0): "reused",
            (1, 1): "reused",
            (1, 2): "reused",
            (1, 3): "succeeded",
        }
        assert len(run.manifests("small")) == 2

    def test_a_step_that_no_longer_repeats_runs_again(self, flowtester):
        file = flowtester.write(repeat())
        flowtester.python(file, "run").check()
        source = repeat(way="small").replace('"again": self.work, ', "").replace('"again"', '"big"')
        flowtester.write(source)
        flowtester.python(file, "resume").check()
        assert iterations(flowtester.left(2)) == {(0, 0): "succeeded", (1, 0): "succeeded"}

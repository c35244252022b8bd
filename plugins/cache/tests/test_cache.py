"""``@cache``: a task is reused across runs when nothing that it depends on has changed."""

import json
import threading

import pytest

from flow_cache import CacheOptions, cache
from flow_cache.keys import StepKey
from flow_cache.leftovers import leftovers
from flow_core.api import AttemptState, DefinitionError, RunState

FLOW = """
    import helpers
    from flow_core import FlowSpec, Parameter, cache, current, step

    class F(FlowSpec):
        alpha = Parameter("alpha", default=1)
        beta = Parameter("beta", default=1)
        RATE = 2

        @step
        def start(self):
            self.unread = self.beta
            self.items = [self.alpha, 10, 20]
            self.next(self.work, foreach="items")

        @cache(OPTIONS)
        @step
        def work(self):
            '''Work.'''
            self.y = helpers.double(self.input)
            BODY
            self.next(self.join)

        @cache
        @step
        def join(self, inputs):
            self.total = sum(i.y for i in inputs) * self.RATE
            self.unread = inputs[0].unread
            self.next(self.end)

        @step
        def end(self):
            self.last = self.total

    if __name__ == "__main__":
        F()
"""
HELPERS = """
    import os
    import deeper

    FROM_OUTSIDE = os.environ.get("OUTSIDE", "0")

    def double(x):
        return deeper.times(x, 2)

    def other():
        return FROM_OUTSIDE
"""
DEEPER = """
    def times(x, y):
        return x * y
"""


def source(body="pass", options=""):
    return FLOW.replace("BODY", body).replace("OPTIONS", options)


@pytest.fixture
def write(flowtester):
    def write(body="pass", options="", deeper=DEEPER, helpers=HELPERS):
        flowtester.write(deeper, "deeper.py")
        flowtester.write(helpers, "helpers.py")
        return flowtester.write(source(body, options))

    return write


@pytest.fixture
def run(flowtester):
    """Run the flow; return how many tasks of ``work`` and ``join`` ran, and what it printed."""
    numbers = iter(range(1, 100))

    def run(*arguments, **options):
        file = flowtester.path / "flow.py"
        done = flowtester.python(file, "run", *arguments, **options).check()
        left = flowtester.left(next(numbers))
        assert left.state is RunState.SUCCEEDED
        ran = tuple(
            sum(m.state is not AttemptState.REUSED for m in left.manifests(step))
            for step in ("work", "join")
        )
        return ran, done, left

    return run


def kinds(left, step):
    return sorted({m.notes["reuse"][-1]["kind"] for m in left.manifests(step)})


def test_what_is_the_same_is_reused(write, run):
    write()
    assert run()[0] == (3, 1)
    ran, done, left = run()
    assert ran == (0, 0)
    assert left.artifact("end", "last") == 124
    assert "[2/work/2] Task is reused from F/1/work/2/0" in done.stdout
    assert "Cache: 4 of 4 tasks found" in done.stdout
    assert kinds(left, "work") == ["hit"]
    assert len(left.manifests("start")) == 1
    assert left.manifests("start")[0].state is AttemptState.SUCCEEDED


def test_each_item_by_itself_and_what_was_not_read_does_not_count(write, run):
    write()
    run()
    ran, _, left = run("--alpha", "4", "--beta", "9")
    assert ran == (1, 1)
    assert left.artifact("end", "last") == 136
    assert left.artifact("end", "unread") == 9
    assert [a["unread"] for a in left.artifacts("work")] == [9, 9, 9]
    assert kinds(left, "work") == ["hit", "item"]
    assert run("--alpha", "1", "--beta", "1")[0] == (0, 0)  # a run further back has it
    assert run("--alpha", "1", "--beta", "9")[0] == (0, 1)  # the join reads it


def test_how_code_is_written_does_not_count_what_it_does_does(write, run):
    write()
    run()
    write(deeper=DEEPER.replace("x * y", "(x\n            * y)  # times"))
    assert run()[0] == (0, 0)
    write(deeper=DEEPER.replace("x * y", "y * x + 1"))
    ran, _, left = run()
    assert ran == (3, 1)
    assert left.artifact("end", "last") == 130
    (change,) = left.manifests("work")[0].notes["reuse"][0]["changes"]
    assert (change["name"], change["file"]) == ("times", "deeper.py")
    assert kinds(left, "join") == ["artifact"]
    write()
    assert run()[0] == (0, 0)


def test_other_code_does_not_count(write, run):
    write()
    run()
    write(helpers=HELPERS.replace("return FROM_OUTSIDE", "return 5"))
    assert run(variables={"OUTSIDE": "1"})[0] == (0, 0)


def test_the_values_of_constants_count(write, run):
    write(body="helpers.other()")
    run()
    assert run()[0] == (0, 0)
    ran, _, left = run(variables={"OUTSIDE": "1"})
    assert ran == (3, 0)
    assert kinds(left, "work") == ["value"]


def test_a_constant_of_the_class(write, run, flowtester):
    write()
    run()
    file = flowtester.path / "flow.py"
    file.write_text(file.read_text().replace("RATE = 2", "RATE = 3"))
    ran, _, left = run()
    assert ran == (0, 1)
    assert kinds(left, "join") == ["value"]


def test_salt_and_no_cache(write, run):
    write()
    run()
    assert run("--no-cache")[0] == (3, 1)
    ran, done, left = run()
    assert ran == (0, 0)
    assert "F/2/work/2" in done.stdout  # those of --no-cache have replaced the older ones
    write(options="salt='second'")
    ran, _, left = run()
    assert ran == (3, 0)
    assert kinds(left, "work") == ["salt"]


def test_age(write, run):
    write(options="max_age='1h'")
    run()
    assert run()[0] == (0, 0)
    write(options="max_age='0.001s'")
    ran, _, left = run()
    assert ran == (3, 0)
    assert kinds(left, "work") == ["expired"]


def test_what_is_ignored(write, run):
    body = "self.loud = self.beta"
    write(body=body)
    run()
    assert run("--beta", "2")[0] == (3, 1)
    write(body=body, options="ignore=['beta']")
    run()
    ran, _, left = run("--beta", "3")
    assert ran[0] == 0
    (reason,) = {json.dumps(m.notes["reuse"]) for m in left.manifests("join")}
    assert '"unread"' in reason


def test_the_environment_of_the_step(write, run):
    write()
    run()
    arguments = ("--with", 'environment:vars={"COLOUR": "red"}')
    assert run(*arguments)[0] == (3, 1)
    assert run(*arguments)[0] == (0, 0)


def test_with(flowtester, run):
    flowtester.write(DEEPER, "deeper.py")
    flowtester.write(HELPERS, "helpers.py")
    flowtester.write(
        source().replace("@cache(OPTIONS)\n", "").replace("@cache()", "").replace("@cache", "")
    )
    assert run("--with", "cache")[0] == (3, 1)
    _, _, left = run("--with", "cache")
    assert {m.state for s in ("start", "work", "join", "end") for m in left.manifests(s)} == {
        AttemptState.REUSED
    }


def test_a_result_that_is_gone_is_a_miss(write, run, flowtester):
    write()
    run()
    for file in (flowtester.path / ".flow/runs/F/1/work").glob("*/0/manifest"):
        file.unlink()
    ran, _, left = run()
    assert ran == (3, 0)
    assert kinds(left, "work") == ["gone"]
    assert run()[0] == (0, 0)  # the new one stands in its place


def test_data_that_is_gone_is_a_miss(write, run, flowtester):
    write(body="self.big = bytes(100_000) + bytes([self.y % 256])")
    run()
    for blob in (flowtester.path / ".flow/blobs").glob("*/*"):
        if blob.stat().st_size > 100_000:
            blob.unlink()
    assert run()[0] == (3, 0)


def test_damaged_entries_are_misses(write, run, flowtester):
    write()
    run()
    for file in (flowtester.path / ".flow/cache").rglob("*"):
        if file.is_file():
            file.write_bytes(b'{"half')
    assert run()[0] == (3, 1)


def test_what_leads_to_runs_that_are_gone_is_left_to_gc(write, run, flowtester):
    write()
    for alpha in ("1", "2"):
        run("--alpha", alpha)
    store = flowtester.left(1).store
    assert list(leftovers(store, lambda flow, run: False)) == []
    every = [o.key for o in store.list("cache/") if not o.key.startswith("cache/steps/")]
    found = [o.key for o in leftovers(store, lambda flow, run: run == "1")]
    # Items 10 and 20, and the join's sum, of run 1; what was read is known by run 2, too.
    assert 0 < len(found) < len(every)
    assert not any("/reads/" in key for key in found)
    assert [o.key for o in leftovers(store, lambda flow, run: True)] == every
    flowtester.flow("gc", "--keep-last", "0", "--margin", "0", "--yes").check()
    assert [o.key.split("/")[1] for o in store.list("cache/")] == ["steps", "steps"]
    assert run()[0] == (3, 1)


def test_failures_and_caught_failures_are_not_remembered(write, run, flowtester):
    file = write(body="1 / 0")
    assert flowtester.python(file, "run").returncode == 1
    assert flowtester.python(file, "run").returncode == 1
    manifests = flowtester.left(2).manifests("work")
    assert AttemptState.FAILED in {m.state for m in manifests}
    file = write(body="1 / 0")
    text = file.read_text().replace("@cache()\n", "@cache()\n    @catch(var='failure')\n")
    file.write_text(text.replace("import FlowSpec,", "import FlowSpec, catch,"))
    flowtester.python(file, "run").check()
    flowtester.python(file, "run").check()
    states = {m.state for m in flowtester.left(4).manifests("work")}
    assert states == {AttemptState.CAUGHT}


def test_together_with_resume(write, run, flowtester):
    file = write()
    run()
    text = file.read_text()
    file.write_text(text.replace("self.last = self.total", "1 / 0"))
    assert flowtester.python(file, "run").returncode == 1
    file.write_text(text)
    flowtester.python(file, "resume", "work", "--origin-run-id", "2").check()
    third = flowtester.left(3)
    assert kinds(third, "work") == ["step"], "a step that is named runs, whatever is cached"
    flowtester.python(file, "resume", "--alpha", "4", "--origin-run-id", "1").check()
    assert kinds(flowtester.left(4), "work") == ["item", "same"]
    flowtester.python(file, "resume", "--alpha", "1", "--origin-run-id", "4").check()
    assert kinds(flowtester.left(5), "work") == ["hit", "same"]


def test_runs_that_race(write, flowtester):
    file = write()
    codes = []
    threads = [
        threading.Thread(target=lambda: codes.append(flowtester.python(file, "run").returncode))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0]
    flowtester.python(file, "run").check()
    left = flowtester.left(4)
    assert kinds(left, "work") == ["hit"]
    assert left.artifact("end", "last") == 124


def test_why(write, run, flowtester):
    write()
    run()
    write(deeper=DEEPER.replace("x * y", "x * y * 1"))
    run()
    shown = flowtester.flow("why", "F/2/work").check().stdout
    assert "3 tasks ran (2, 3, 4)" in shown
    assert "cache: its code has changed:" in shown
    assert "times was changed, which it uses (deeper.py:1)" in shown


def test_no_option_where_nothing_is_cached(flowtester):
    flowtester.write(
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
    done = flowtester.python(flowtester.path / "flow.py", "run", "--no-cache")
    assert done.error["error"] == "There is no option --no-cache"


# --- options and keys -----------------------------------------------------------------------------


def test_wrong_options():
    with pytest.raises(DefinitionError, match="'max_age' is no time: 'soon'"):
        cache.make(max_age="soon")
    with pytest.raises(DefinitionError, match="'ignore' takes names"):
        cache.make(ignore=[""])
    with pytest.raises(DefinitionError, match="no option 'sult'"):
        cache.make(sult="x")


@pytest.mark.parametrize(
    ("text", "seconds"), [("", None), ("90s", 90), ("1.5h", 5400), ("2 d", 172800), ("1w", 604800)]
)
def test_ages(text, seconds):
    assert CacheOptions(max_age=text).seconds == seconds


def test_from_the_command_line():
    options = cache.parse('max_age=7d,ignore=["a", "b"]')
    assert (options.seconds, options.ignored) == (604800, ("a", "b"))
    assert cache.parse("ignore=verbose").ignored == ("verbose",)
    assert cache.parse(cache.to_text(options).partition(":")[2]) == options


def test_a_key_comes_back_and_lines_do_not_count():
    key = StepKey(
        {"f.py:F.work": ("F.work", "f.py", 3, "abc")},
        ("f.py:F.work",),
        {"F.RATE": "1"},
        {"Python": "3.11"},
        {},
        "",
    )
    found = StepKey.from_json(json.loads(json.dumps(key._asdict())))
    assert found.digest("F", "work") == key.digest("F", "work")
    assert found.differences(key) == []
    moved = key._replace(code={"f.py:F.work": ("F.work", "f.py", 30, "abc")})
    assert moved.digest("F", "work") == key.digest("F", "work")
    newer = key._replace(environment={"Python": "3.12", "numpy": "2.0"})
    assert newer.differences(key) == [
        {"kind": "environment", "name": "Python", "old": "3.11", "new": "3.12"},
        {"kind": "environment", "name": "numpy", "old": "(none)", "new": "2.0"},
    ]

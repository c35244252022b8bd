"""``logs``."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from flow_core.api import Failure, NotFound, RunState, UsageError, encode_times, times_key
from flow_inspect import logs
from flow_inspect.logs import command


@pytest.fixture
def past(here: Any) -> Any:
    here.run()
    here.attempt("start", 1, stdout="hello\nyou", stderr="careful\n")
    here.attempt("work", 2, "failed", stdout="first try\n")
    here.attempt("work", 2, attempt=1, stdout="second try\n")
    return here


def test_one_task_is_shown_as_it_wrote(past: Any) -> None:
    assert past.call(command, "F/1/start/1").out == ["hello", "you", "careful"]
    assert past.call(command, "F/1/start/1", "--stdout").out == ["hello", "you"]
    assert past.call(command, "F/1/start/1", "--stderr").out == ["careful"]
    assert past.call(command, "F/1/start/1", "--both").out == ["hello", "you", "careful"]


def test_lines_of_many_tasks_say_whose_they_are(past: Any) -> None:
    assert past.call(command, "F/1").out == [
        "[1/start/1] hello",
        "[1/start/1] you",
        "[1/start/1] careful",
        "[1/work/2] second try",
    ]
    assert past.call(command, "F/1/work").out == ["[1/work/2] second try"]


def test_an_earlier_attempt_can_be_shown(past: Any) -> None:
    assert past.call(command, "F/1/work/2", "--attempt", "0").out == ["first try"]
    with pytest.raises(NotFound) as caught:
        past.call(command, "F/1/work/2", "--attempt", "5")
    assert (caught.value.what, caught.value.where) == ("There is no attempt 5", "F/1/work/2")
    with pytest.raises(NotFound):
        past.call(command, "F/1/work/2", "--attempt", "5", "--follow")


def test_a_reused_task_shows_what_the_original_wrote_and_says_so(past: Any) -> None:
    past.run("2")
    past.attempt("start", 1, "reused", run="2", origin="F/1/start/1/0")
    past.run("3")
    past.attempt("start", 7, "reused", run="3", origin="F/2/start/1/0")
    context = past.call(command, "F/3/start/7", "--stdout")
    assert context.out == ["hello", "you"]
    assert context.err == ["[3/start/7] reused: this is what F/1/start/1/0 wrote"]


def test_characters_survive_being_read_in_pieces(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_CHUNK", 3)
    here.run()
    here.attempt(stdout="grün\n\nläuft")
    assert here.call(command, "F/1/start/1").out == ["grün", "", "läuft"]


def test_follow_shows_what_comes_and_ends_with_the_run(
    here: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    metadata = here.session.metadata
    here.run("1", "running", heartbeat_at=time.time())
    here.attempt("start", 1, "running", stdout="one\ntw")
    ticks = iter(
        [
            lambda: here.attempt("start", 1, "running", stdout="one\ntwo\n"),
            lambda: here.attempt("start", 1, stdout="one\ntwo\nthree"),
            lambda: here.attempt("end", 2, stdout="the end\n"),
            lambda: metadata.update_run("F", "1", state=RunState.SUCCEEDED),
        ]
    )
    monkeypatch.setattr(logs.time, "sleep", lambda seconds: next(ticks)())
    assert here.call(command, "F/1", "--follow").out == [
        "[1/start/1] one",
        "[1/start/1] two",
        "[1/start/1] three",
        "[1/end/2] the end",
    ]


def test_follow_leaves_a_lost_run(here: Any) -> None:
    here.run("1", "running", heartbeat_at=time.time() - 100)
    here.attempt("start", 1, "running", stdout="one\n")
    context = here.call(command, "F/1/start/1", "--follow")
    assert context.out == ["one"]
    assert context.err == ["Run F/1 has given no sign of life for a minute: it seems to be lost."]


def test_logs_that_were_copied_when_the_origin_was_removed(here: Any) -> None:
    here.run("2")
    here.attempt(run="2", state="reused", origin="F/1/start/1/0", stdout="as it was\n")
    assert here.call(command, "F/2").out == ["[2/start/1] as it was"]


def test_why_an_attempt_ended_that_could_not_tell_it_itself(here: Any) -> None:
    here.run("1", "failed")
    gone = Failure("evicted", "", "The node was low on memory", hint="@resources(memory=8000)")
    here.attempt(state="failed", stdout="epoch 1\n", failure=gone)
    context = here.call(command, "F/1")
    assert context.out == ["[1/start/1] epoch 1"]
    assert context.err == [
        "[1/start/1] The node was low on memory",
        "[1/start/1] try: @resources(memory=8000)",
    ]
    (row,) = json.loads(here.call(command, "F/1", "--json").out[0])
    assert row["failure"] == {
        "cause": "evicted",
        "message": "The node was low on memory",
        "hint": "@resources(memory=8000)",
    }


def test_what_the_log_tells_already_is_not_told_again(here: Any) -> None:
    here.run("1", "failed")
    late = Failure("timeout", "T", "too late", "Traceback …")
    here.attempt(state="failed", stderr="Traceback …\n", failure=late)
    assert here.call(command, "F/1").err == []


# --- as JSON, and scrubbed ----------------------------------------------------------------------


def test_json_has_what_each_task_wrote(past: Any) -> None:
    first, second = json.loads(past.call(command, "F/1", "--json").out[0])
    assert first == {
        "pathspec": "F/1/start/1",
        "attempt": 0,
        "state": "succeeded",
        "origin": None,
        "failure": None,
        "stdout": "hello\nyou",
        "stderr": "careful\n",
    }
    assert (second["attempt"], second["stdout"], second["stderr"]) == (1, "second try\n", "")
    (only,) = json.loads(past.call(command, "F/1/start/1", "--json", "--stderr").out[0])
    assert "stdout" not in only
    with pytest.raises(NotFound):
        past.call(command, "F/1/work/2", "--attempt", "5", "--json")


def test_timestamps_tell_when_a_line_came(past: Any) -> None:
    """As closely as the run has looked; what came after its last look came before the end."""
    key = "runs/F/1/start/1/0/stdout"
    past.session.store.write([(times_key(key), encode_times([(6, 1000.0), (8, 2000.5)]))])
    end = past.session.metadata.attempts("F", "1", step="start")[0].finished_at
    told = past.call(command, "F/1/start/1", "--timestamps").out
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1000))
    assert told[0] == f"{moment}.000 hello"
    assert told[1].endswith(" you")  # it ends at byte 9, after the last look
    assert len(told) == 3
    assert told[2].endswith(" careful")
    (row,) = json.loads("".join(past.call(command, "F/1/start/1", "--timestamps", "--json").out))
    assert (row["stdout_times"], row["stderr_times"]) == ([1000.0, end], [end])
    (label,) = past.call(command, "F/1/work", "--timestamps").out
    assert label.endswith(" [1/work/2] second try")


def test_timestamps_of_a_run(flowtester: Any) -> None:
    file = flowtester.write(
        """
        import time
        from flow_core import FlowSpec, step
        class F(FlowSpec):
            @step
            def start(self):
                print("one", flush=True)
                time.sleep(1.5)
                print("two", flush=True)
                self.next(self.end)
            @step
            def end(self):
                print("three")
        if __name__ == "__main__":
            F()
        """
    )
    began = time.time()
    flowtester.python(file, "run").check()
    done = flowtester.python(file, "logs", "1", "--timestamps", "--json").check()
    start, end = json.loads(done.stdout)
    one, two = start["stdout_times"]
    assert began < one < two - 0.3
    assert two <= end["stdout_times"][0] <= time.time()
    flowtester.python(file, "logs", "scrub", "1").check()
    assert not list(flowtester.path.rglob("*.times"))


def test_json_does_not_follow(past: Any) -> None:
    with pytest.raises(UsageError, match="--follow and --json"):
        past.call(command, "F/1", "--json", "--follow")


def test_show_is_the_command_itself(past: Any) -> None:
    assert past.call(command, "show", "F/1/work").out == ["[1/work/2] second try"]


class TestScrub:
    def test_what_was_written_goes_and_a_line_says_so(self, past: Any) -> None:
        out = past.call(command, "scrub", "F/1/start/1").out
        assert out == [
            "removed 9 B of stdout of F/1/start/1/0",
            "removed 8 B of stderr of F/1/start/1/0",
        ]
        (line, _) = past.call(command, "F/1/start/1").out
        assert line.startswith("[flow: removed by ada, ")
        assert past.call(command, "F/1/work").out == ["[1/work/2] second try"]

    def test_one_stream_or_attempt(self, past: Any) -> None:
        past.call(command, "scrub", "F/1/start/1", "--stderr")
        assert past.call(command, "F/1/start/1", "--stdout").out == ["hello", "you"]
        data = json.loads(
            past.call(command, "scrub", "F/1/work", "--attempt", "0", "--json").out[0]
        )
        assert data == {"removed": [{"attempt": "F/1/work/2/0", "stream": "stdout", "bytes": 10}]}
        assert past.call(command, "F/1/work/2").out == ["second try"]

    def test_all_attempts(self, past: Any) -> None:
        past.call(command, "scrub", "F/1", "--all")
        for attempt in ("0", "1"):
            (line,) = past.call(command, "F/1/work/2", "--attempt", attempt).out
            assert "removed by" in line

    def test_of_a_reused_task_where_it_really_ran(self, past: Any) -> None:
        past.run("2")
        past.attempt("start", 1, "reused", run="2", origin="F/1/start/1/0")
        out = past.call(command, "scrub", "F/2/start", "--stdout").out
        assert out == ["removed 9 B of stdout of F/1/start/1/0"]

    def test_not_while_it_may_write_more(self, past: Any) -> None:
        past.attempt("late", 3, "running", stdout="so far\n")
        with pytest.raises(UsageError, match="F/1/late/3 has not ended"):
            past.call(command, "scrub", "F/1")
        past.call(command, "scrub", "F/1", "--include-not-done")
        assert "removed by" in past.call(command, "F/1/late/3").out[0]

    def test_nothing_there_and_contradictions(self, past: Any) -> None:
        out = past.call(command, "scrub", "F/1/work", "--stderr").out
        assert out == ["There was nothing to remove."]
        with pytest.raises(UsageError, match="--all and --attempt"):
            past.call(command, "scrub", "F/1", "--all", "--attempt", "1")
        with pytest.raises(NotFound):
            past.call(command, "scrub", "F/7")

    def test_help(self, past: Any) -> None:
        assert past.call(command, "scrub", "--help").status == 0

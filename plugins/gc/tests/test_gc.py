"""The command ``gc`` on real runs in memory: what goes, what stays, what it says."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest

from flow_core.api import (
    Manifest,
    RunResult,
    RunState,
    UsageError,
    attempt_prefix,
    blob_key,
    change_tags,
    result_key,
    run_key,
)
from flow_gc.command import size
from flow_gc.plan import make_plan
from flow_gc.policy import Policy
from flow_gc.sweep import carry_out

BIG = "x" * 10_000
NOISE = "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))  # it cannot be made shorter


class TestPolicies:
    @pytest.fixture
    def five(self, past: Any) -> Any:
        """Five runs of F, the second and the fourth tagged; one of G."""
        for number in range(1, 6):
            past.run(str(number), tags=("a",) if number == 2 else ("b",) if number == 4 else ())
        past.run("1", flow="G", created_at=time.time())
        return past

    @pytest.mark.parametrize(
        ("arguments", "left"),
        [
            ([], "54321"),
            (["--keep-last", "2"], "54"),
            (["--keep-last", "1", "--keep-tagged"], "542"),
            (["--keep-last", "1", "--keep-tagged", "a"], "52"),
            (["--keep-last", "0", "--keep-tagged", "a", "--keep-tagged", "b"], "42"),
            (["--older-than", "1d"], ""),
            (["--older-than", "1d", "--keep-last", "3"], "543"),
            (["--keep-last", "0", "--flow", "G"], "54321"),
        ],
    )
    def test_what_stays(self, five: Any, arguments: list[str], left: str) -> None:
        five.gc(*arguments, "--yes")
        assert five.runs() == left
        assert five.store.folders("runs/F/") == sorted(left)
        assert five.runs("G") == ("" if "0" in arguments else "1")

    def test_a_tag_of_the_meantime_counts(self, five: Any) -> None:
        plan = make_plan(five.store, five.metadata, Policy(keep_last=0, keep_tagged=True))
        change_tags(five.metadata, five.store, "F", "1", add=["precious"])
        carry_out(five.store, five.metadata, plan)
        assert five.runs() == "421"

    @pytest.mark.parametrize(
        ("arguments", "what", "hint"),
        [
            (["--keep-tagged"], "It is not said which of the other runs go", "--older-than 30d"),
            (["--older-than", "old"], "'old' is no duration", "30m, 12h, 7d, 2w"),
            (["--flow", "FF"], "There is no run of a flow 'FF'", "did you mean 'F'?"),
            (["--keep-last", "1"], "Nobody can be asked whether all that may go", "--yes"),
            (
                ["--keep-last", "1", "--json"],
                "Nobody can be asked whether all that may go",
                "--yes",
            ),
        ],
    )
    def test_what_is_refused(self, five: Any, arguments: list[str], what: str, hint: str) -> None:
        with pytest.raises(UsageError) as caught:
            five.gc(*arguments)
        assert caught.value.what == what
        assert hint in str(caught.value.hint)
        assert five.runs() == "54321"


class TestBlobs:
    def test_only_what_nothing_reaches_goes(self, past: Any) -> None:
        past.run("1", BIG + "1", BIG + "both")
        past.run("2", BIG + "2", BIG + "both")
        assert past.blobs() == 3
        past.gc("--keep-last", "1", "--margin", "0", "--yes")
        assert past.blobs() == 2
        assert [past.session.artifacts.load(m, "x") for m in refs(past, "2")] == [
            BIG + "2",
            BIG + "both",
        ]

    def test_what_is_young_stays(self, past: Any) -> None:
        past.run("1", BIG)
        *_, note, last = past.gc("--keep-last", "0", "--yes")
        assert note.endswith("more are reached by nothing, and stay for now: they are young.")
        assert last.startswith("Removed 1 run: ")
        assert past.blobs() == 1
        past.gc("--margin", "0", "--yes")
        assert past.blobs() == 0

    def test_what_plugins_note_is_reached(self, past: Any) -> None:
        past.run("1")
        digest = past.session.artifacts.put_bytes(b"a card" * 100)
        past.store.write(
            [(attempt_prefix("F", "1", "work", 1, 0) + "cards/a.html", digest.encode())]
        )
        other = past.session.artifacts.put_bytes(b"a plugin's own" * 100)
        past.store.write([("lists/mine", f'{{"blob": "{other}"}}'.encode())])
        past.gc("--margin", "0", "--yes")
        assert past.store.exists([blob_key(digest), blob_key(other)]) == [True, True]

    def test_what_plugins_keep_of_runs_that_are_gone(self, past: Any) -> None:
        def finder(store: Any, gone: Any) -> Iterator[Any]:
            return (o for o in store.list("notes/") if gone("F", o.key.rpartition("/")[2]))

        past.run("2")
        past.run("3")
        past.store.write([(f"notes/{run}", b"12345") for run in "123"])
        policy = Policy(keep_last=1, margin=0.0)
        plan = make_plan(past.store, past.metadata, policy, [finder])
        assert [entry.key for entry in plan.useless] == ["notes/1", "notes/2"]
        assert plan.shares()[""].size == 10
        before = sum(o.size for o in past.store.list())
        done = carry_out(past.store, past.metadata, plan)
        assert done.size == plan.size == before - sum(o.size for o in past.store.list())
        assert past.store.folders("notes/") == ["3"]
        assert make_plan(past.store, past.metadata, policy, [finder]).empty

    def test_files_go_with_their_run(self, past: Any) -> None:
        past.run("1", "old")
        past.run("2", "new")
        digest = past.session.artifacts.save("x", NOISE).hash
        content = f"{digest} " * 1000
        for run in ("1", "2", "3"):  # the third one is not there
            past.store.write([(f"files/F/{run}/a/report", content.encode())])
        blobs = past.blobs()
        shown = "\n".join(past.gc("--keep-last", "1", "--yes", "--margin", "0"))
        assert [o.key for o in past.store.list("files/")] == [
            "files/F/2/a/report",
            "files/F/3/a/report",
        ]
        assert "1 run and" in shown
        assert "66 kB" in shown  # the file counts
        assert past.blobs() < blobs, "what a file says keeps no blob"

    def test_a_large_record_is_read_in_pieces(self, past: Any, monkeypatch: Any) -> None:
        past.run("1")
        digests = [past.session.artifacts.put_bytes(bytes([n]) * 100) for n in range(40)]
        text = "-".join(digests).encode()
        past.store.write([(attempt_prefix("F", "1", "work", 1, 0) + "notes", text)])
        monkeypatch.setattr("flow_gc.reach._LARGE", 1000)
        past.gc("--margin", "0", "--yes")
        assert past.blobs() == 40

    def test_leftovers_of_a_run_go_and_its_number_is_not_given_again(self, past: Any) -> None:
        past.run("7", BIG)
        past.store.delete([run_key("F", "7")])
        past.metadata.remove_run("F", "7")
        past.gc("--yes")
        assert past.store.folders("runs/F/") == ["7"], "it is young"
        past.gc("--margin", "0", "--yes")
        assert past.store.folders("runs/") == []
        assert past.blobs() == 0


class TestRunsGoingOn:
    def alive(self, past: Any, **record: Any) -> None:
        past.run("9", state="running", heartbeat_at=time.time(), **record)

    def test_it_stays_and_so_does_what_it_resumes(self, past: Any) -> None:
        past.run("1", BIG)
        past.run("2", BIG + "2", origin="F/1")
        past.run("3", BIG + "3")
        self.alive(past, origin="F/2", created_at=time.time())
        past.gc("--keep-last", "0", "--margin", "0", "--yes")
        assert past.runs() == "921"

    def test_what_it_may_be_taking_over_stays_until_it_has_ended(self, past: Any) -> None:
        past.run("1", BIG)
        self.alive(past, created_at=time.time())
        for _ in range(2):
            past.gc("--keep-last", "0", "--margin", "0", "--yes")
            assert (past.runs(), past.blobs()) == ("9", 1)
        assert len(list(past.store.list("gc/"))) == 1, "it is remembered"
        past.metadata.update_run("F", "9", state=RunState.FAILED)
        past.store.write(
            [(result_key("F", "9"), RunResult("F", "9", RunState.FAILED, 1.0).encode())]
        )
        past.gc("--margin", "0", "--yes")
        assert past.blobs() == 0
        assert list(past.store.list("gc/")) == []

    def test_what_was_written_since_it_started_stays(self, past: Any) -> None:
        self.alive(past, created_at=time.time() - 3600)
        past.session.artifacts.put_bytes(b"not named yet" * 100)
        past.gc("--margin", "0", "--yes")
        assert past.blobs() == 1

    def test_one_that_was_lost_goes_after_the_margin(self, past: Any) -> None:
        past.run("1", state="running", heartbeat_at=time.time() - 600)
        past.gc("--keep-last", "0", "--yes")
        assert past.runs() == "1"
        past.gc("--keep-last", "0", "--margin", "5m", "--yes")
        assert past.runs() == ""

    def test_one_that_the_index_does_not_know_counts_as_going_on(self, past: Any) -> None:
        past.run("1", BIG)
        past.run("2", state="running")
        past.metadata.remove_run("F", "2")
        past.session.artifacts.put_bytes(b"not named yet" * 100)
        out = past.gc("--keep-last", "0", "--margin", "0", "--yes")
        assert "The index does not know 1 run of the store, which stay: flow reindex." in out
        assert (past.runs(), past.store.folders("runs/F/"), past.blobs()) == ("", ["2"], 2)


class TestLogs:
    def test_logs_of_a_reused_task_are_kept(self, past: Any) -> None:
        past.run("1", BIG)
        past.run("2")
        past.attempt("2", 1, BIG, origin="F/1/work/1/0")
        past.run("3")
        past.attempt("3", 1, BIG, origin="F/2/work/1/0")
        past.gc("--keep-last", "1", "--margin", "0", "--yes")
        key = attempt_prefix("F", "3", "work", 1, 0) + "stdout"
        assert list(past.store.read([key])) == [b"1/1"]

    def test_when_only_the_one_between_goes(self, past: Any) -> None:
        past.run("1", BIG, tags=("keep",))
        past.run("2")
        past.attempt("2", 1, BIG, origin="F/1/work/1/0")
        past.run("3")
        past.attempt("3", 1, BIG, origin="F/2/work/1/0")
        past.gc("--keep-last", "1", "--keep-tagged", "--margin", "0", "--yes")
        key = attempt_prefix("F", "3", "work", 1, 0) + "stdout"
        assert (past.runs(), list(past.store.read([key]))) == ("31", [b"1/1"])


class TestOutput:
    def test_bytes_are_shown_first(self, past: Any) -> None:
        past.run("1", NOISE)
        past.run("2", NOISE * 2)
        past.run("3", flow="Other")
        past.session.artifacts.put_bytes(b"reached by nothing" * 100)
        arguments = ("--keep-last", "1", "--margin", "0")
        shown = past.gc(*arguments, "--dry-run")
        assert [re.sub(r"[\d.]+ kB", "N kB", line) for line in shown] == [
            "FLOW      RUNS TO GO  STAY   FREED",
            "F                  1     1   N kB",
            "Other              0     1     0 B",
            "(no run)                    N kB",
            "1 run and 2 blobs go: N kB.",
        ]
        assert past.runs() == "21", "it only says so"
        before = sum(o.size for o in past.store.list())
        done = json.loads("\n".join(past.gc(*arguments, "--yes", "--json")))
        assert done["bytes"] == before - sum(o.size for o in past.store.list())
        assert f"go: {size(done['bytes'])}." in shown[-1]

    def test_json(self, past: Any) -> None:
        past.run("1", BIG)
        past.run("2")
        shown = json.loads(
            "\n".join(past.gc("--keep-last", "1", "--margin", "0", "--dry-run", "--json"))
        )
        done = json.loads(
            "\n".join(past.gc("--keep-last", "1", "--margin", "0", "--yes", "--json"))
        )
        assert {**shown, "removed": True} == done
        assert done["runs"] == ["F/1"]
        assert done["flows"] == {"F": {"runs": 1, "kept": 1, "bytes": done["bytes"]}}

    def test_nothing_goes(self, past: Any) -> None:
        assert past.gc() == ["Nothing goes."]


def refs(past: Any, run: str) -> Iterator[Any]:
    for record in past.metadata.attempts("F", run):
        key = Manifest(*record[:6]).key
        for raw in past.store.read([key]):
            yield Manifest.decode(raw or b"", key).artifacts["x"]

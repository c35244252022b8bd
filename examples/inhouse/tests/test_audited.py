"""``@audited``: the suite that all decorators pass, and what this one writes."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from flow_acme import audited
from flow_acme.audit_log import AuditLog
from flow_core.api import DefinitionError, RunState, SettingsError
from flow_core.testing import DecoratorSuite, FlowTester, in_children

FLOW = """
    import os, signal
    from flow_core import FlowSpec, Parameter, audited, step

    class F(FlowSpec):
        week = Parameter("week", default=47)
        token = Parameter("token", default="abc")

        @step
        def start(self):
            self.items = [1, 2, 3]
            self.next(self.work, foreach="items")

        @audited(purpose="orders of customers"{more})
        @step
        def work(self):
            {body}
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


class TestConformance(DecoratorSuite):
    decorator = audited
    examples = ({}, {"purpose": "orders: of customers, all"}, {"values": True})


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def laboratory(flowtester: FlowTester) -> FlowTester:
    flowtester.more_plugins = ["acme"]
    return flowtester


def flow(body: str = "pass", more: str = "") -> str:
    return FLOW.format(body=body, more=more)


class TestLines:
    def test_two_for_each_attempt_of_the_step(self, laboratory: FlowTester) -> None:
        outcome = laboratory.run(flow(), plugins=["acme"])
        assert outcome.state is RunState.SUCCEEDED
        found = lines(laboratory.path / "audit.jsonl")
        assert sorted((line["event"], line["task"]) for line in found) == [
            *(("end", task) for task in (2, 3, 4)),
            *(("start", task) for task in (2, 3, 4)),
        ]
        assert {line["step"] for line in found} == {"work"}

    def test_what_they_say(self, laboratory: FlowTester) -> None:
        laboratory.python(laboratory.write(flow()), "run").check()
        found = lines(laboratory.path / "audit.jsonl")
        start = next(line for line in found if line["event"] == "start" and line["task"] == 2)
        assert start["at"] <= next(line["at"] for line in found if line["event"] == "end")
        assert {**start, "at": "", "code": ""} == {
            "event": "start",
            "at": "",
            "user": "tester",
            "host": os.uname().nodename,
            "flow": "F",
            "run": "1",
            "step": "work",
            "task": 2,
            "attempt": 0,
            "purpose": "orders of customers",
            "parameters": ["week", "token"],
            "commit": None,
            "code": "",
        }
        end = next(line for line in found if line["event"] == "end" and line["task"] == 2)
        assert end["started"] <= end["at"]
        assert (end["outcome"], end["cause"], end["error"]) == ("succeeded", None, None)
        assert len(end["code"]) == 64  # the hash of the code that ran: flow code F/1

    def test_the_commit_is_that_of_the_flow(self, laboratory: FlowTester) -> None:
        commit = "0123456789abcdef0123456789abcdef01234567"
        (laboratory.path / ".git").mkdir()
        (laboratory.path / ".git/HEAD").write_text(f"{commit}\n")
        laboratory.python(laboratory.write(flow()), "run").check()
        assert {line["commit"] for line in lines(laboratory.path / "audit.jsonl")} == {commit}

    def test_values_are_written_where_that_is_asked_for(self, laboratory: FlowTester) -> None:
        laboratory.run(flow(more=", values=True"), plugins=["acme"], parameters={"week": 3})
        (found, *_) = lines(laboratory.path / "audit.jsonl")
        assert found["parameters"] == {"week": 3, "token": "abc"}

    def test_a_killed_task_has_its_end(self, laboratory: FlowTester) -> None:
        body = "self.input == 2 and os.kill(os.getpid(), signal.SIGKILL)"
        assert laboratory.python(laboratory.write(flow(body)), "run").returncode == 1
        ends = [n for n in lines(laboratory.path / "audit.jsonl") if n["event"] == "end"]
        (killed,) = (line for line in ends if line["cause"] == "killed")
        assert (killed["outcome"], killed["error"]) == ("failed", "SIGKILL")

    def test_messages_of_errors_are_left_out(self, laboratory: FlowTester) -> None:
        laboratory.run(flow('raise ValueError("ada@example.org")'), plugins=["acme"])
        text = (laboratory.path / "audit.jsonl").read_text(encoding="utf-8")
        assert '"error":"ValueError"' in text
        assert "ada@example.org" not in text

    def test_every_step_with_with(self, laboratory: FlowTester) -> None:
        plain = flow().replace('@audited(purpose="orders of customers")', "")
        laboratory.run(plain, plugins=["acme"], decorators=["audited:purpose=a test"])
        steps = {line["step"] for line in lines(laboratory.path / "audit.jsonl")}
        assert steps == {"start", "work", "join", "end"}


class TestFile:
    def test_the_setting_names_it(self, laboratory: FlowTester) -> None:
        file = laboratory.path / "elsewhere.jsonl"
        laboratory.run(flow(), plugins=["acme"], settings={"acme_audit_file": str(file)})
        assert len(lines(file)) == 6

    def test_nothing_runs_that_cannot_be_audited(self, laboratory: FlowTester) -> None:
        place = str(laboratory.path / "no" / "audit.jsonl")
        outcome = laboratory.run(flow(), plugins=["acme"], settings={"acme_audit_file": place})
        assert outcome.run == ""  # there is no run
        assert isinstance(outcome.error, SettingsError)
        assert str(outcome.error).splitlines() == [
            f"Nothing can be written to the audit file '{place}'",
            "  where: setting 'acme_audit_file'",
            "  why:   No such file or directory",
            "  try:   name a file in a folder that exists and is yours: FLOW_ACME_AUDIT_FILE=…",
        ]

    def test_a_file_that_goes_away_ends_the_run(self, laboratory: FlowTester) -> None:
        (laboratory.path / "logs").mkdir()
        source = flow().replace(
            "self.items = [1, 2, 3]",
            "import shutil; shutil.rmtree('logs'); self.items = [1, 2, 3]",
        )
        variables = {"FLOW_ACME_AUDIT_FILE": "logs/audit.jsonl"}
        done = laboratory.python(laboratory.write(source), "run", variables=variables)
        assert done.returncode == 1
        assert "Nothing can be written to the audit file" in done.stderr
        assert laboratory.left(1).manifests("work") == []

    def test_threads_and_processes_append_whole_lines(self, tmp_path: Path) -> None:
        path = str(tmp_path / "audit.jsonl")
        long = "x" * 20_000

        def work(number: int) -> None:
            threads = [
                threading.Thread(
                    target=lambda n=n: [
                        AuditLog(path).append({"who": [number, n, i], "long": long})
                        for i in range(10)
                    ]
                )
                for n in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        in_children(4, work)
        found = sorted(line["who"] for line in lines(Path(path)))
        assert found == [[n, t, i] for n in range(4) for t in range(4) for i in range(10)]

    def test_a_torn_line_stays_the_only_one(self, tmp_path: Path) -> None:
        path = tmp_path / "audit.jsonl"
        path.write_text('{"event":"sta', encoding="utf-8")
        AuditLog(str(path)).append({"event": "end"})
        assert path.read_text(encoding="utf-8") == '{"event":"sta\n{"event":"end"}\n'

    def test_others_cannot_read_it(self, tmp_path: Path) -> None:
        AuditLog(str(tmp_path / "audit.jsonl")).append({})
        assert (tmp_path / "audit.jsonl").stat().st_mode & 0o007 == 0


def test_a_purpose_is_one_line() -> None:
    with pytest.raises(DefinitionError, match="one line of text") as caught:
        audited(purpose="two\nlines")
    assert caught.value.hint == '@audited(purpose="forecast of orders")'

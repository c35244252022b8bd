"""Inside a task, the client reads the task's own run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import flow_client
from flow_client import Flow, Run, plugin
from flow_core.api import TaskSpec, current, run_key

FLOW = """
from flow_core import FlowSpec, current, step


class SelfFlow(FlowSpec):
    @step
    def start(self):
        self.run_name, self.task_name = current.run.pathspec, current.task.pathspec
        self.mine = current.run.tags
        self.state = current.task.state
        self.next(self.end)

    @step
    def end(self):
        from flow_core import Task

        self.first = Task(f"SelfFlow/{current.run_id}/start/1").data.task_name
        self.run_object = current.run
        print("the end")


if __name__ == "__main__":
    SelfFlow()
"""


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A run of the flow above, made by the command line, in a folder of its own."""
    (tmp_path / "self_flow.py").write_text(FLOW)
    (tmp_path / ".flow").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLOW_USER", "ada")
    command = [sys.executable, "self_flow.py", "run", "--tag", "red"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    flow_client.default_namespace()
    run = Flow("SelfFlow").latest_successful_run
    assert run is not None
    return run


def test_a_real_run_is_read_back(finished: Run) -> None:
    start = finished["start"].task
    assert start is not None
    assert start.data.run_name == finished.pathspec
    assert start.data.task_name == start.pathspec
    assert {"red", "user:ada"} <= start.data.mine == finished.tags
    assert start.data.state == "running"
    end = finished.end_task
    assert end is not None
    assert end.data.first == start.pathspec
    assert end.data.run_object == finished
    assert end.stdout == "the end\n"
    assert finished.code is not None
    assert finished.code.flowspec == FLOW
    assert [t.pathspec for t in end.parent_tasks] == [start.pathspec]
    assert [t.pathspec for t in start.child_tasks] == [end.pathspec]
    finished._reader.session.metadata.close()


def test_in_a_task_without_index_the_run_is_known_all_the_same(past: Any) -> None:
    past.run("1", created_at=1000.0, parameters={"alpha": 1})
    document = past.session.run_document("F", "1")
    elsewhere = document._replace(run="7")
    past.session.store.write([(run_key("F", "7"), elsewhere.encode())])
    facts = type(current)()
    spec = TaskSpec("F", "7", "work", 3)
    task: Any = SimpleNamespace(session=past.session, run=elsewhere, spec=spec, current=facts)
    facts.begin({"namespace": "user:ada"})
    plugin.flow_task_setup(task)
    try:
        assert (facts.run.pathspec, facts.run.state) == ("F/7", "running")
        assert facts.run.parameters["alpha"] == 1
        assert (facts.task.pathspec, facts.task.state) == ("F/7/work/3", "running")
    finally:
        plugin.flow_task_teardown()

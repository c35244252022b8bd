"""A team: several machines, which share a bucket and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flow_core.testing import FlowTester, ProcessResult

FLOW = """
    from flow_core import FlowSpec, Parameter, step

    class F(FlowSpec):
        n = Parameter("n", default=3)

        @step
        def start(self):
            print("hello")
            self.items = list(range(self.n))
            self.big = "x" * 100_000
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.y = self.input * 2
            self.next(self.join)

        @step
        def join(self, inputs):
            import os
            if os.path.exists("broken"):
                raise ValueError("a broken machine")
            self.total = sum(i.y for i in inputs)
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


class Machine:
    """A machine of the team: a home and a working folder of its own."""

    def __init__(self, folder: Path, user: str, site: Path, url: str) -> None:
        folder.mkdir()
        self.tester = FlowTester(folder)
        self.tester.more_plugins.append("far")
        self.file = self.tester.write(FLOW)
        self.url = url
        self.variables = {"PYTHONPATH": str(site), "FLOW_USER": user, "FLOW_DATASTORE": url}

    def flow(self, *arguments: str) -> ProcessResult:
        return self.tester.flow(*arguments, variables=self.variables)

    def python(self, code: str) -> str:
        """Run some Python code that has no settings but the plugins; return what it prints."""
        kept = {k: v for k, v in self.variables.items() if k != "FLOW_DATASTORE"}
        command = [sys.executable, "-c", f"URL = {self.url!r}\n{code}"]
        return self.tester.command(command, variables=kept).check().stdout

    def run(self, *arguments: str) -> ProcessResult:
        return self.flow("run", str(self.file), *arguments)


@pytest.fixture
def team(tmp_path: Path, far_site: Path) -> tuple[Machine, Machine]:
    url = f"far://{tmp_path}/bucket"
    return Machine(tmp_path / "a", "ada", far_site, url), Machine(
        tmp_path / "b", "bob", far_site, url
    )


def test_what_one_has_run_the_other_reads(team: tuple[Machine, Machine]) -> None:
    ada, bob = team
    ada.run("--n", "4").check()
    # By the command line, on a machine that has never seen the store.
    assert "hello" in bob.flow("logs", "F/1/start").check().stdout
    assert "12" in bob.flow("dump", "F/1/end").check().stdout
    (listed,) = json.loads(bob.flow("runs", "--namespace", "", "--json").check().stdout)
    assert (listed["run"], listed["state"], listed["user"]) == ("F/1", "succeeded", "ada")
    assert not (bob.tester.path / ".flow").exists()
    # By Python, with nothing but the URL.
    ada.run().check()
    assert bob.python(
        """if True:
        import pickle
        from flow_core import DataArtifact, Flow, Run, Step, Task, flows, namespace
        namespace(None)
        run = Run("F/1", store=URL)
        print(run.data.total, run.parameters["n"], run["start"].task.stdout.strip())
        print(len(list(Step("F/1/work", store=URL))), Task("F/2/join/5", store=URL).data.total)
        print(DataArtifact("F/1/end/7/total", store=URL).data)
        print(Flow("F", store=URL).latest_run, [f.id for f in flows(store=URL)])
        again = pickle.loads(pickle.dumps(run))
        print(again.data.total, again.stored_in == run.stored_in)
        """
    ).splitlines() == ["12 4 hello", "4 6", "12", "Run('F/2') ['F']", "12 True"]


def test_each_numbers_its_runs_behind_those_of_all(team: tuple[Machine, Machine]) -> None:
    commands = [
        subprocess.Popen(
            [sys.executable, str(machine.file), "--quiet", "run"],
            cwd=machine.tester.path,
            env=machine.tester.environment(None, machine.variables),
        )
        for machine in team * 2
    ]
    assert [command.wait(60) for command in commands] == [0, 0, 0, 0]
    for machine in team:
        listed = json.loads(machine.flow("runs", "--namespace", "", "--json").check().stdout)
        assert {run["run"] for run in listed} == {"F/1", "F/2", "F/3", "F/4"}
        assert {run["state"] for run in listed} == {"succeeded"}


def test_one_goes_on_where_the_other_failed(team: tuple[Machine, Machine]) -> None:
    ada, bob = team
    (ada.tester.path / "broken").touch()
    assert ada.run().returncode == 1
    done = bob.flow("resume", str(bob.file), "--origin-run-id", "1").check()
    assert "4 reused" in done.stdout or "3 reused" in done.stdout
    assert "6" in ada.flow("dump", "F/2/end").check().stdout
    # The logs of what was reused are those of the other machine.
    assert "hello" in bob.flow("logs", "F/2/start").check().stdout


def test_tags_are_seen_by_all(team: tuple[Machine, Machine]) -> None:
    ada, bob = team
    ada.run().check()
    assert "F/1" in ada.flow("runs").check().stdout
    bob.flow("tag", "add", "--run-id", "F/1", "production").check()
    assert "production" in ada.flow("runs", "--tag", "production").check().stdout


def test_reindex(team: tuple[Machine, Machine]) -> None:
    ada, bob = team
    ada.run().check()
    ada.run().check()
    first = bob.flow("reindex").check().stdout
    assert first == (
        "The index is up to date: 2 runs found in the store, 2 of them new or changed.\n"
    )
    ada.run().check()
    assert json.loads(bob.flow("reindex", "--json").check().stdout) == {
        "runs": 3,
        "changed": 1,
        "problems": [],
    }
    anew = bob.flow("reindex", "--anew").check().stdout
    assert anew == "The index was made anew: 3 runs found in the store.\n"

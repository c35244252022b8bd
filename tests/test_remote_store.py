"""The main commands and decorators, on stores whose objects are no files of this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from servers.s3 import Bucket

from flow_core.api import Metadata, Session, Settings, Store
from flow_core.store_index import StoreIndex
from flow_core.testing import FlowTester, ProcessResult

FLOW = """
    import os
    from flow_core import FlowSpec, IncludeFile, Parameter, cache, card, catch, current, exit_hook, retry, step

    def ended(run):
        print("hook of", run.pathspec, run.data.total)

    @exit_hook(on_success=[ended])
    class F(FlowSpec):
        n = Parameter("n", default=2)
        text = IncludeFile("text", default="note.txt")

        @card
        @step
        def start(self):
            print("read", self.text.strip())
            self.items = list(range(self.n))
            self.large = os.urandom(1000) * 10_000
            self.next(self.work, foreach="items")

        @cache
        @retry(times=1, minutes_between_retries=0)
        @step
        def work(self):
            if current.retry_count == 0 and self.input == 1:
                raise OSError("once")
            self.y = 10 * self.input
            self.next(self.join)

        @catch(var="caught")
        @step
        def join(self, inputs):
            self.total = sum(i.y for i in inputs)
            self.size = len(inputs[0].large)
            self.next(self.end)

        @step
        def end(self):
            if os.path.exists("broken"):
                raise ValueError("a broken machine")

    if __name__ == "__main__":
        F()
"""


class Lab:
    """A folder from which commands reach a store."""

    def __init__(self, tester: FlowTester, variables: dict[str, str]) -> None:
        self.tester = tester
        self.variables = variables
        self.file = str(tester.write(FLOW))
        tester.write("a note\n", "note.txt")

    def flow(self, *arguments: str) -> ProcessResult:
        return self.tester.flow(*arguments, variables=self.variables)

    def shown(self, *arguments: str) -> str:
        return self.flow(*arguments).check().stdout

    def json(self, *arguments: str) -> Any:
        return json.loads(self.shown(*arguments, "--json"))


@pytest.fixture
def lab(tmp_path: Path, bucket: Bucket) -> Lab:
    """A folder from which commands reach a bucket of a real S3 server."""
    folder = tmp_path / "work"
    folder.mkdir()
    tester = FlowTester(folder)
    tester.more_plugins += ["s3", "cards"]
    return Lab(tester, {**bucket.environment(), "FLOW_DATASTORE": bucket.url})


def test_the_life_of_a_run(lab: Lab) -> None:
    (lab.tester.path / "broken").touch()
    assert lab.flow("run", lab.file).returncode == 1
    (lab.tester.path / "broken").unlink()
    resumed = lab.shown("resume", lab.file, "--origin-run-id", "1")
    assert "hook of F/2 10" in resumed
    cached = lab.shown("run", lab.file, "--tag", "third")
    assert "2 of 2 tasks found" in cached
    # What it left is found and read.
    assert [run["state"] for run in lab.json("runs")] == ["succeeded", "succeeded", "failed"]
    assert "read a note" in lab.shown("logs", "F/2/start")
    assert "10000000" in lab.shown("dump", "F/3/join").replace(",", "").replace("_", "")
    assert {task["state"] for task in lab.json("tasks", "F/2")} == {"reused", "succeeded"}
    assert lab.json("card", "list", "F/2/start")[0]["type"] == "default"
    page = str(lab.tester.path / "page.html")
    lab.shown("card", "get", "F/2/start", page)
    assert Path(page).read_text().startswith("<!")
    assert "flow.py" in lab.shown("code", "list", "F/1")
    assert "class F(FlowSpec)" in lab.shown("code", "show", "F/1")
    assert "reused" in lab.shown("why", "F/2")
    assert "F/1" in lab.shown("diff", "F/1", "F/3")
    lab.shown("tag", "add", "--run-id", "F/3", "good")
    assert [run["run"] for run in lab.json("runs", "--tag", "good")] == ["F/3"]
    assert "succeeded" in lab.shown("spin", lab.file, "join")
    # It moves to this machine, where the store is one of files, and goes.
    assert lab.json("store", "migrate", lab.variables["FLOW_DATASTORE"], "local")["failed"] == []
    assert "a note" in lab.shown("--datastore", "local", "logs", "F/2/start")
    assert "10" in lab.shown("--datastore", "local", "dump", "F/3/end")
    gone = lab.json("gc", "--keep-last", "1", "--yes", "--margin", "0")
    assert gone["runs"] == ["F/2", "F/1"]
    assert [run["run"] for run in lab.json("runs")] == ["F/3"]
    assert lab.json("doctor")["status"] in ("ok", "warn")
    assert {one["status"] for one in lab.json("store", "check")["findings"]} == {"ok"}


def test_a_store_that_cannot_be_used_ends_a_run_at_its_start(
    tmp_path: Path, far_site: Path
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "file").write_text("in the way")
    tester = FlowTester(folder)
    tester.more_plugins.append("far")
    lab = Lab(tester, {"PYTHONPATH": str(far_site), "FLOW_DATASTORE": f"far://{tmp_path}/file/x"})
    done = lab.flow("run", lab.file)
    assert done.returncode == 1
    assert done.error["error"] == "No task was started: the store cannot be used"
    assert done.error["where"] == f"far://{tmp_path}/file/x"
    assert done.error["why"]
    assert "starts" not in done.stdout


def test_each_command_says_what_is_wrong_with_the_store(lab: Lab) -> None:
    lab.variables["AWS_SECRET_ACCESS_KEY"] = "wrong"
    for command in (["run", lab.file], ["ls", "F/1"], ["cp", "note.txt", "F/1/note.txt"]):
        done = lab.flow(*command)
        assert done.returncode == 1
        assert done.error["why"].startswith("the secret key does not belong to the access key")
        assert done.error["try"] == "check AWS_SECRET_ACCESS_KEY, or the profile"
    assert "why: the secret key does not belong" in lab.flow("doctor").stdout


def test_one_url_on_two_services_has_two_indexes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = set()
    begin = StoreIndex.__init__

    def noted(index: StoreIndex, behind: Metadata, store: Store) -> None:
        places.add(behind.url)
        begin(index, behind, store)

    monkeypatch.setattr(StoreIndex, "__init__", noted)
    for endpoint in ("http://127.0.0.1:1", "http://127.0.0.1:2", ""):
        variables = {"HOME": str(tmp_path), "FLOW_DATASTORE": "s3://team/flows"}
        monkeypatch.setenv("FLOW_S3_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("FLOW_S3_ANONYMOUS", "1")
        with Session(settings=Settings({**variables})) as session:
            _ = session.metadata
    assert len(places) == 3


APART = """
    from flow_core import FlowSpec, step

    class Apart(FlowSpec):
        @step
        def start(self):
            self.content = bytes(range(256)) * 2**15
            self.next(self.end)

        @step
        def end(self):
            import obstore, sys
            print("from", obstore.__file__.startswith(sys.prefix), sum(self.content[::2]))
            assert "pytest" not in sys.modules
            try:
                import hypothesis
            except ImportError:
                print("on its own")
"""

BARE = """
    from flow_core.api import hookimpl

    __flow__ = {"flow.environments": {"bare": "flow_core.testing:BareEnvironment"}}

    @hookimpl
    def flow_plan_step(step, draft):
        if step.name == "end":
            draft.use_environment("bare", by="the test")
"""


def test_a_step_in_an_environment_that_knows_nothing_of_the_store(lab: Lab, tmp_path: Path) -> None:
    """What the plugin in use needs compiled is put into it, and no list says so."""
    lab.tester.write(BARE, "bare_environment.py")
    file = str(lab.tester.write(APART, "apart.py"))
    lab.variables["FLOW_ENVIRONMENTS"] = str(tmp_path / "environments")
    shown = lab.shown("-p", "bare_environment", "run", file)
    assert f"from True {sum(range(0, 256, 2)) * 2**15}" in shown
    assert "on its own" in shown

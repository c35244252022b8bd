"""Objects of the client in another process, another folder, and after a move."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flow_client
from flow_client import NamespaceMismatch, ObjectNotFound, Run
from flow_core.api import UsageError

READ = """
import pickle, sys
run, task, artifact, step, flow, data, code, parameters = pickle.load(open(sys.argv[1], "rb"))
print(run.data.x, task.data.x, artifact.data, step.task.id, flow.latest_run.id, data.x)
assert "OneFlow" in code.flowspec and parameters["y"] == 4
"""


def written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Run a flow in ``folder``; return a file with pickled objects of it."""
    (folder / "one.py").write_text(
        "from flow_core import FlowSpec, Parameter, step\n\n\n"
        "class OneFlow(FlowSpec):\n"
        "    y = Parameter('y', default=4)\n\n"
        "    @step(start=True, end=True)\n"
        "    def only(self):\n"
        "        self.x = 3\n\n\n"
        'if __name__ == "__main__":\n    OneFlow()\n'
    )
    (folder / ".flow").mkdir()
    command = [sys.executable, "one.py", "run"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    monkeypatch.chdir(folder)
    flow_client.namespace(None)
    run = Run("OneFlow/1")
    task = run["only"].task
    assert task is not None
    objects = (run, task, task["x"], run["only"], run.parent, task.data, run.code, run.parameters)
    file = folder / "objects.pickle"
    file.write_bytes(pickle.dumps(objects))
    return file


@pytest.fixture(autouse=True)
def _default(tmp_path: Path) -> Iterator[None]:
    yield
    flow_client.default_metadata()
    flow_client.default_namespace()


def read(file: Path, folder: Path) -> str:
    """Read pickled objects in a process of its own, whose folder is another."""
    command = [sys.executable, "-c", READ, str(file)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_in_another_process_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    file = written(tmp_path / "here", monkeypatch)
    assert read(file, tmp_path / "there") == "3 3 3 1 1 3\n"


def test_after_the_folder_was_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    written(tmp_path / "here", monkeypatch)
    shutil.move(tmp_path / "here", tmp_path / "there")
    file = tmp_path / "there" / "objects.pickle"
    assert read(file, tmp_path / "there") == "3 3 3 1 1 3\n"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ObjectNotFound, match="There is no flow 'OneFlow'"):
        pickle.loads(file.read_bytes())


def test_metadata_says_what_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    written(tmp_path / "here", monkeypatch)
    monkeypatch.chdir(tmp_path)
    flow_client.namespace(None)
    with pytest.raises(ObjectNotFound):
        Run("OneFlow/1")
    url = f"local://{tmp_path / 'here' / '.flow'}"
    for place in (str(tmp_path / "here"), "here", url):
        assert flow_client.metadata(place) == flow_client.get_metadata() == url
        assert Run("OneFlow/1").data.x == 3
        assert flow_client.default_metadata() != url
    assert flow_client.metadata(url, datastore=url) == url
    with pytest.raises(
        UsageError, match=r"no plugin provides the (metadata provider|store) 'nowhere'"
    ):
        flow_client.metadata("nowhere://x")
    assert flow_client.get_metadata() == url, "the choice before stands"


def test_the_namespace_of_the_reader_does_not_hide_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, monkeypatch)
    flow_client.namespace("user:nobody")
    with pytest.raises(NamespaceMismatch):
        Run("OneFlow/1")
    assert pickle.loads(file.read_bytes())[0].data.x == 3


def test_a_store_that_is_no_url() -> None:
    with pytest.raises(UsageError, match="The URL of a store is text, not int"):
        Run("F/1", store=5)  # type: ignore[arg-type]

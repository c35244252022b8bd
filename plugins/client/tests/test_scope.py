"""Which runs are shown, and from where they are read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flow_client import (
    Flow,
    NamespaceMismatch,
    Run,
    default_namespace,
    flows,
    get_namespace,
    namespace,
    scope,
    using,
)
from flow_client.source import SettingsSource
from flow_core.api import NotFound, RunRecord, RunState, Session, Settings, TaskSpec


def test_the_default_namespace_is_that_of_the_user(past: Any) -> None:
    assert default_namespace() == get_namespace() == "user:ada"


def test_a_namespace_filters_what_is_listed(past: Any) -> None:
    past.run("1", user="ada")
    past.run("2", user="bob", tags=["shared"])
    assert [r.id for r in Flow("F")] == ["1"]
    assert namespace("shared") == "shared"
    assert [r.id for r in Flow("F")] == ["2"]
    assert namespace(None) is None
    assert [r.id for r in Flow("F")] == ["2", "1"]


def test_what_is_outside_of_the_namespace_says_how_to_see_it(past: Any) -> None:
    past.run("1", user="bob")
    with pytest.raises(NamespaceMismatch) as caught:
        Run("F/1")
    assert str(caught.value) == (
        "Run 'F/1' is not in the namespace 'user:ada'\n"
        "  where: memory://here\n"
        "  why:   its tags are: user:bob\n"
        "  try:   namespace(None) shows the runs of everybody"
    )
    with pytest.raises(NamespaceMismatch, match="Flow 'F' has no run in the namespace"):
        Flow("F")
    assert isinstance(caught.value, NotFound)
    namespace(None)
    assert Run("F/1").user == "bob"


def test_flows_lists_those_with_runs_in_the_namespace(past: Any) -> None:
    past.run("1", flow="B")
    past.run("1", flow="A")
    past.run("1", flow="C", user="bob")
    assert [f.id for f in flows()] == ["A", "B"]
    namespace(None)
    assert [f.id for f in flows()] == ["A", "B", "C"]


def test_using_ends_with_its_block(past: Any, tmp_path: Path) -> None:
    past.run("1")
    before = scope.reader()
    with using(past.session):
        run = Run("F/1")
        assert scope.reader() is not before
    assert scope.reader() is before
    assert run.state == "succeeded"  # it keeps the session it was made with


def test_inside_a_task_threads_read_from_the_task_too(past: Any) -> None:
    seen: list[Any] = []
    spec = TaskSpec("F", "1", "start", 1, 0)
    scope.enter_task(cast(Any, SimpleNamespace(session=past.session, spec=spec)))
    try:
        thread = threading.Thread(target=lambda: seen.append(scope.reader().session))
        thread.start()
        thread.join()
    finally:
        scope.leave_task()
    assert seen == [past.session]


def test_the_settings_of_the_folder_say_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    first = scope.reader()
    assert scope.reader() is first
    monkeypatch.setenv("FLOW_USER", "eve")
    assert scope.reader() is not first
    assert default_namespace() == "user:eve"
    monkeypatch.chdir(tmp_path)
    assert scope.reader().session.metadata.url.endswith(os.path.join(str(tmp_path), ".flow"))


def test_a_run_that_the_store_has_lost_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".flow").mkdir()
    monkeypatch.chdir(tmp_path)
    session = scope.reader().session
    session.metadata.register_run(RunRecord("F", "1", RunState.SUCCEEDED, 1000.0))
    namespace(None)
    try:
        with pytest.raises(NotFound, match="The record of run F/1 is missing") as caught:
            Run("F/1").parameters
    finally:
        default_namespace()
        session.metadata.close()
    assert caught.value.why == "the index knows the run, but the store has lost it"


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, flow_client; print([m for m in sys.modules if m.startswith('flow_')])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert found.strip() == "['flow_client']"


def test_reading_starts_no_plugin_machinery_at_import() -> None:
    code = "import sys; from flow_client import Flow, Task; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"pluggy", "click", "blake3", "sqlite3", "flow_core.session"} & set(found)


def test_the_index_is_the_one_that_runs_write(tmp_path: Path) -> None:
    variables = {"FLOW_DATASTORE": f"local://{tmp_path}/state", "HOME": str(tmp_path)}
    settings = Settings(variables, str(tmp_path))
    session = Session(settings=settings)
    assert SettingsSource(settings).metadata.url == session.metadata.url
    assert f"{tmp_path}/state" in session.metadata.url


def test_root_is_a_user_like_others() -> None:
    assert Settings({"USER": "root"}).user() == "root"
    assert Settings({"USER": "root", "SUDO_USER": "ada"}).user() == "ada"
    assert Settings({"USER": "ada", "FLOW_USER": "ci"}).user() == "ci"


def test_whether_it_is_in_the_namespace(past: Any) -> None:
    past.run("1", tags=["a"])
    past.attempt("start", 1, artifacts={"x": 1})
    run = Run("F/1")
    everything = (run.parent, run, run["start"], run["start"][1], run["start"][1]["x"])
    for name, inside in (("a", True), ("b", False), (None, True), ("user:ada", True)):
        namespace(name)
        assert [thing.is_in_namespace() for thing in everything] == [inside] * 5
    assert everything[-1].tags == run.tags == {"a", "user:ada"}
    assert (everything[-1].user_tags, everything[-1].system_tags) == ({"a"}, {"user:ada"})

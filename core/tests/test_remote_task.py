"""``python -m flow_core.task``: an attempt by its specification in the store, and nothing else."""

import json
import os
import subprocess
import sys

import pytest

from flow_core.api import (
    TaskOrder,
    TaskSpec,
    describe_task,
    open_task_store,
    task_spec_key,
    task_url,
)
from flow_core.errors import IntegrityError, NotFound, UsageError
from flow_core.testing.compute_steps import StepsRuntime
from flow_store_local.store import LocalStore


@pytest.fixture
def store(tmp_path):
    return LocalStore(str(tmp_path / "store"))


def _task(step, **more):
    return TaskSpec("SuiteFlow", "1", step, 7, **more)


def _put(store, task, **options):
    spec = describe_task(StepsRuntime(), task, **options)
    store.write([(task_spec_key(task), json.dumps(spec).encode())])
    return task_url(store, task)


def _start(*words, given=None, cwd=None, **options):
    return subprocess.run(
        [sys.executable, "-m", "flow_core.task", *words],
        input=given,
        capture_output=True,
        check=False,
        cwd=cwd,
        **options,
    )


def test_an_attempt_is_found_by_its_url(store, tmp_path):
    done = _start(_put(store, _task("write_both")), cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"to stdout\n", b"to stderr\n")
    assert _start(_put(store, _task("fail")), cwd=tmp_path).returncode == 1


def test_the_task_arrives_whole(store, tmp_path):
    task = _task("tell_task", attempt=2, iteration=3, notes={"ü": [1]})
    assert _start(_put(store, task), cwd=tmp_path).stdout.decode() == f"{task.to_json()}\n"


def test_it_works_where_and_with_what_it_is_told(store, tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    url = _put(
        store,
        _task("tell_surroundings"),
        folder=str(folder),
        variables={"SUITE_VARIABLE": "ü = 1"},
    )
    assert _start(url).stdout.decode() == f"{folder}\nü = 1\n"


def test_without_a_folder_it_works_in_one_of_its_own(store, tmp_path):
    told = _start(_put(store, _task("tell_surroundings")), cwd=tmp_path).stdout.decode()
    place = told.splitlines()[0]
    assert place != str(tmp_path)
    assert not os.path.exists(place)


def test_a_specification_may_be_given(store, tmp_path):
    task = _task("write_both")
    spec = describe_task(StepsRuntime(), task)
    reader, writer = os.pipe()
    done = _start(
        task_url(store, task),
        "--given",
        "--begin",
        str(writer),
        given=json.dumps(spec).encode(),
        cwd=tmp_path,
        pass_fds=[writer],
    )
    os.close(writer)
    assert done.stdout == b"to stdout\n"
    assert os.read(reader, 10) == b"."
    os.close(reader)


def test_settings_of_the_launcher_count_unless_there_are_own_ones(monkeypatch, store):
    monkeypatch.setenv("FLOW_USER", "grace")
    monkeypatch.setenv("FLOW_CODE_LIMIT", "1")  # so that it is put back
    monkeypatch.delenv("FLOW_CODE_LIMIT")
    task = _task("nothing")
    spec = {
        **describe_task(StepsRuntime(), task),
        "settings": {"user": "ada", "code_limit": "7.0"},
    }
    TaskOrder(task_url(store, task), json.dumps(spec))
    assert os.environ["FLOW_USER"] == "grace"
    assert os.environ["FLOW_CODE_LIMIT"] == "7.0"


def test_the_store_and_the_specification_by_their_url(store):
    url = _put(store, _task("nothing"))
    assert open_task_store(url).url == store.url
    assert TaskOrder(url).spec["task"]["step"] == "nothing"


def test_what_is_wrong_is_told(store, tmp_path):
    with pytest.raises(UsageError, match="names no task"):
        TaskOrder("local:///somewhere")
    missing = task_url(store, _task("nothing"))
    with pytest.raises(NotFound, match="no specification") as raised:
        TaskOrder(missing)
    assert "removed" in str(raised.value)
    store.write([(task_spec_key(_task("nothing")), b"{")])
    with pytest.raises(IntegrityError, match="damaged"):
        TaskOrder(missing)
    done = _start(missing, cwd=tmp_path)
    assert done.returncode == 1
    assert b"could not begin" in done.stderr
    assert b"Traceback" not in done.stderr


def test_it_says_how_it_is_called(tmp_path):
    for words in ([], ["--given"], ["url", "more"]):
        done = _start(*words, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith(b"usage: python -m flow_core.task")

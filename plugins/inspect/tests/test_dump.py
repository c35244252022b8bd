"""``dump``."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from flow_core.api import IntegrityError, UsageError, blob_key
from flow_inspect.dump import command


@pytest.fixture
def past(here: Any) -> Any:
    here.run(parameters={"learning-rate": 0.5})
    here.attempt("start", 1, artifacts={"x": [1, 2], "_hidden": 1, "big": list(range(3000))})
    here.attempt("work", 2, "failed")
    here.attempt("work", 2, attempt=1, artifacts={"y": "a\nb"})
    return here


def test_a_run_shows_all_its_tasks(past: Any) -> None:
    out = past.call(command, "F/1").out
    assert out[0] == "F/1/start/1  succeeded"
    assert [line.split()[0] for line in out[1:4]] == ["big", "learning_rate", "x"]
    size = out[1].split()[2].replace(",", "")
    assert out[1].endswith(f"B  (larger than 1,000 B: --max-value-size {size} shows it)")
    assert past.call(command, "F/1", "--max-value-size", size).out[1].endswith("2998, 2999]")
    assert out[2].split()[1:] == ["float", "14", "B", "0.5"]
    assert out[3].endswith("B  [1, 2]")
    assert out[5] == "F/1/work/2  succeeded, attempt 1"
    assert out[-1].endswith(r"'a\nb'")


def test_sizes_and_names_can_be_chosen(past: Any) -> None:
    shown = past.call(command, "F/1/start", "--max-value-size", "1000000").out
    assert shown[1].endswith("2998, 2999]")
    names = past.call(command, "F/1/start", "--max-value-size", "0").out
    assert names[1].endswith(" B")
    assert any(
        line.startswith("  _hidden") for line in past.call(command, "F/1/start", "--private").out
    )
    only = past.call(command, "F/1/start/1", "--include", "x, _hidden").out
    assert [line.split()[0] for line in only[1:]] == ["_hidden", "x"]


def test_values_that_are_not_shown_are_not_read(past: Any) -> None:
    manifest = past.attempt("end", 9, artifacts={"big": list(range(4000))})
    past.session.store.write([(blob_key(manifest.artifacts["big"].hash), b"damaged")])
    assert "(larger than 1,000 B" in past.call(command, "F/1/end").out[1]
    with pytest.raises(IntegrityError):
        past.call(command, "F/1/end", "--max-value-size", "1000000")


def test_json(past: Any) -> None:
    data = json.loads("\n".join(past.call(command, "F/1/start", "--json").out))
    (task,) = data
    assert (task["pathspec"], task["attempt"], task["state"]) == ("F/1/start/1", 0, "succeeded")
    assert task["artifacts"]["x"]["type"] == "list"
    assert task["artifacts"]["x"]["repr"] == "[1, 2]"
    assert task["artifacts"]["big"]["repr"] is None


def test_a_file_holds_a_pickled_dict(past: Any, tmp_path: Path) -> None:
    file = tmp_path / "out.pickle"
    out = past.call(command, "F/1", "--file", str(file)).out
    assert out == [f"The artifacts of 2 tasks are in {file}."]
    assert pickle.loads(file.read_bytes()) == {
        "F/1/start/1": {"big": list(range(3000)), "learning_rate": 0.5, "x": [1, 2]},
        "F/1/work/2": {"learning_rate": 0.5, "y": "a\nb"},
    }


def test_a_file_that_cannot_be_written_is_an_error(past: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be written"):
        past.call(command, "F/1", "--file", str(tmp_path / "no" / "such" / "folder"))


def test_a_task_without_artifacts_says_so(here: Any) -> None:
    here.run()
    here.attempt("start", 1, "running")
    assert here.call(command, "F/1").out == ["F/1/start/1  running", "  (no artifacts)"]

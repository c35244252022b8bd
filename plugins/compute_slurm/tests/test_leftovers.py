"""What a killed launcher has left, and who removes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_slurm.leftovers import UNUSED, old_folders, remove_gone
from flow_slurm.scripts import Folder, write_folder
from flow_slurm.states import JobState

from .conftest import Bench, job


def grow_old(root: Path, by: float = UNUSED + 60) -> None:
    """Let all that is in a folder be as if it was last changed some time ago."""
    then = time.time() - by
    for path in root.rglob("*"):
        os.utime(path, (then, then))


@pytest.fixture
def folders(tmp_path: Path) -> list[Folder]:
    """Two folders of one run."""
    root = str(tmp_path / "F-1")
    jobs = [job("true", name=f"f-1-{step}-1-0") for step in "ab"]
    return [write_folder(root, "F/1", [one], [], (), 1, "here") for one in jobs]


def test_folders_that_nobody_writes_to_any_more(tmp_path: Path, folders: list[Folder]) -> None:
    assert old_folders(str(tmp_path), "here") == []
    grow_old(tmp_path, UNUSED - 60)
    assert old_folders(str(tmp_path), "here") == []
    grow_old(tmp_path)
    assert sorted(old_folders(str(tmp_path), "here")) == folders
    assert old_folders(str(tmp_path), "elsewhere") == []
    Path(folders[0].path, "0.log").write_text("it runs")
    os.utime(folders[0].path, (0, 0))
    assert old_folders(str(tmp_path), "here") == folders[1:]
    assert old_folders(f"{tmp_path}/none", "here") == []


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine" / "data").mkdir(parents=True)
    (tmp_path / "mine" / "data" / "job.sh").touch()
    (tmp_path / "file").touch()
    grow_old(tmp_path)
    assert old_folders(str(tmp_path), "here") == []


def test_jobs_that_are_gone(tmp_path: Path, folders: list[Folder]) -> None:
    first, second = folders
    by_another_path = first.script.replace(str(tmp_path), "/shared/home")
    states = [
        JobState("5", "PENDING", command=by_another_path),
        JobState("6", "COMPLETED", command=second.script),
    ]
    remove_gone(folders, states)
    assert [os.path.exists(folder.path) for folder in folders] == [True, False]
    remove_gone([first], [])
    assert list(tmp_path.iterdir()) == []


def test_the_next_launcher_removes_them(new_bench: Callable[..., Bench], tmp_path: Path) -> None:
    killed = new_bench()
    over, goes_on = killed.start("true"), killed.start("sleep 1000")
    killed.end(over)
    killed.begin(goes_on)
    grow_old(tmp_path)
    new_bench()
    (left,) = (tmp_path / "jobs").glob("*/*")
    killed.backend.cancel([goes_on], 1)
    assert killed.end(goes_on).cause == "cancelled"
    assert left.exists()
    grow_old(tmp_path)
    new_bench()
    assert list((tmp_path / "jobs").iterdir()) == []

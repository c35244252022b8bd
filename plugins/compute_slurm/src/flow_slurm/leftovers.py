"""Folders of jobs whose launcher was killed, and which nobody took over."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress

from flow_slurm.scripts import Folder, read_folder, script_in
from flow_slurm.states import JobState

UNUSED = 7 * 86400.0
"""Seconds after the last change from which on a folder may be removed, once its jobs are gone."""


def old_folders(root: str, cluster: str) -> list[Folder]:
    """Return the folders of jobs that nobody has written to for a week.

    Args:
        root: the folder with a folder for each run. What cannot be read there is somebody else's.
        cluster: only those of jobs that were given to this one; others may still know theirs.
    """
    bound = time.time() - UNUSED
    found = []
    for run in _below(root):
        for path in _below(run):
            folder = read_folder(script_in(path)) if _is_older(path, bound) else None
            if folder is not None and folder.cluster == cluster:
                found.append(folder)
    return found


def remove_gone(folders: Collection[Folder], states: Sequence[JobState]) -> None:
    """Remove those folders of whose jobs none waits or runs.

    Args:
        folders: as from `old_folders`.
        states: all jobs that the cluster knows.
    """
    going = {_place(state.command) for state in states if not state.has_ended}
    for folder in folders:
        if _place(folder.script) not in going:
            folder.remove()
            with suppress(OSError):  # there are others of its run
                os.rmdir(os.path.dirname(folder.path))


def _below(folder: str) -> Iterator[str]:
    """Yield the folders in a folder; none where it cannot be read."""
    with suppress(OSError), os.scandir(folder) as entries:
        yield from [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]


def _is_older(path: str, bound: float) -> bool:
    """Whether nothing in a folder was changed after a time, neither by us nor by a task or Slurm."""
    try:
        if os.stat(path).st_mtime >= bound:  # so that those of runs that go on cost one question
            return False
        with os.scandir(path) as entries:
            return all(entry.stat().st_mtime < bound for entry in entries)
    except OSError:
        return False


def _place(script: str) -> tuple[str, ...]:
    """Return what is the same of a script by whatever path a machine reaches it: run, folder, name."""
    return tuple(script.split("/")[-3:])

"""Slurm as a `flow_remote.backend.Backend`: attempts that come together are one job array."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from flow_core.api import FlowError, RunRecord, Runtime, state_folder
from flow_remote.backend import Job, News, Refused
from flow_slurm import scripts
from flow_slurm.choices import Choices, choose, read_defaults, words_for_sbatch
from flow_slurm.client import Client, Cluster, SlurmAway, SlurmError, unreachable
from flow_slurm.leftovers import old_folders, remove_gone
from flow_slurm.programs import need_program
from flow_slurm.refusals import refused, too_many
from flow_slurm.scripts import Folder
from flow_slurm.states import JobState
from flow_slurm.watching import Watcher

_FAREWELL = 30.0  # seconds until jobs must be gone when all of them were ended by force


class SlurmBackend:
    """The cluster that this machine belongs to, for one run.

    Args:
        folder: for the files of jobs, on a file system that all nodes see; None = ``slurm`` in the
            nearest ``.flow``. The setting ``slurm_folder`` comes before both.
    """

    def __init__(self, folder: str | None = None) -> None:
        self._client = Client()
        self._given = folder
        self._folder = ""
        self._cluster = Cluster("", 1)
        self._run = ""
        self._defaults: Mapping[str, Any] = {}
        self._watcher: Watcher | None = None
        self._unsure: list[Folder] = []  # submissions of which no answer came
        self._folders: dict[str, Folder] = {}

    def use_folder(self, folder: str) -> None:
        """Put the files of jobs there, unless the setting ``slurm_folder`` says else; before `open`."""
        self._given = folder

    def open(self, run: RunRecord, runtime: Runtime, wake: Callable[[], object]) -> None:
        """Begin to serve a run.

        Raises:
            FlowError: Slurm is not on this machine, does not answer, or a setting cannot be.
        """
        need_program("sbatch")
        self._defaults = read_defaults(runtime.setting)
        try:
            self._cluster = self._client.cluster()
        except SlurmError as error:
            raise unreachable(error) from None
        root = runtime.setting("slurm_folder") or self._given or f"{state_folder()}/slurm"
        self._folder = os.path.join(os.path.abspath(root), f"{run.flow}-{run.run}")
        self._run = f"{run.flow}/{run.run}"
        self._remove_leftovers(os.path.dirname(self._folder))
        self._watcher = Watcher(self._client, runtime.setting("slurm_poll"), wake)

    def _remove_leftovers(self, root: str) -> None:
        """Remove what killed launchers have left, when its jobs are gone."""
        old = old_folders(root, self._cluster.name)
        if old:
            with suppress(SlurmError):  # the next launcher does it
                remove_gone(old, self._client.jobs())

    @property
    def watcher(self) -> Watcher:
        """What looks at the cluster, after `open`."""
        assert self._watcher is not None, "open comes first"
        return self._watcher

    # --- submitting -----------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> Sequence[str | Refused]:
        """Start jobs: those that ask for the same are one array."""
        known = self._found_again([job.name for job in jobs])
        answers: dict[str, str | Refused] = dict(known)
        groups: dict[Any, list[Job]] = {}
        for job in jobs:
            if job.name in answers:
                continue
            choices = choose(self._defaults, job.options, job.resources, job.timeout)
            alone = job.name if job.is_gang else None
            groups.setdefault((choices, job.folder, alone), []).append(job)
        for (choices, _, _), group in groups.items():
            given = self._submit_group(group, choices)
            answers |= dict(zip((job.name for job in group), given, strict=True))
        self.watcher.look_soon()
        return [answers[job.name] for job in jobs]

    def _submit_group(self, jobs: Sequence[Job], choices: Choices) -> list[str | Refused]:
        """Submit jobs with equal choices, as few arrays."""
        missing = [name for name in choices.environment if name not in os.environ]
        if missing:
            text = f"the environment variable {missing[0]}, which the step asks for, is not set"
            return [Refused(text, f"export {missing[0]}=…")] * len(jobs)
        answers: list[str | Refused] = []
        longest = self._cluster.longest_array
        for start in range(0, len(jobs), longest):
            answers += self._submit_array(jobs[start : start + longest], choices)
        return answers

    def _submit_array(self, jobs: Sequence[Job], choices: Choices) -> list[str | Refused]:
        members = len(jobs[0].tasks) if jobs[0].is_gang else None
        options = words_for_sbatch(choices, members)
        options += [f"--job-name={scripts.shown_name([j.name for j in jobs])}"]
        options += [f"--comment=flow {self._run}"]
        if len(jobs) > 1:
            throttle = f"%{choices.throttle}" if choices.throttle else ""
            options.append(f"--array=0-{len(jobs) - 1}{throttle}")
        folder = self._write(jobs, options, choices)
        words = [*options, f"--output={scripts.output_of(folder)}", "--open-mode=append"]
        try:
            number = self._client.submit(words, folder.script, choices.environment)
        except SlurmAway as error:
            return self._submitted_perhaps(folder, jobs, refused(error, choices, self._client))
        except SlurmError as error:
            folder.remove()
            if too_many(error) and len(jobs) > 1:  # some of them may find room
                half = len(jobs) // 2
                first = self._submit_array(jobs[:half], choices)
                if isinstance(first[-1], Refused):
                    return [*first, *[first[-1]] * (len(jobs) - half)]
                return [*first, *self._submit_array(jobs[half:], choices)]
            return [refused(error, choices, self._client)] * len(jobs)
        return list(self._track(folder, number))

    def _write(self, jobs: Sequence[Job], options: Sequence[str], choices: Choices) -> Folder:
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            return scripts.write_folder(
                self._folder,
                self._run,
                jobs,
                options,
                choices.setup,
                choices.cpus,
                self._cluster.name,
            )
        except OSError as error:
            raise FlowError(
                "The scripts of a job cannot be written",
                where=self._folder,
                why=error.strerror,
                hint="choose a folder that all nodes see: FLOW_SLURM_FOLDER=/shared/folder",
            ) from None

    def _track(self, folder: Folder, number: str) -> list[str]:
        """Track the jobs of a submission; return their ids."""
        self._folders[folder.path] = folder
        count = len(folder.names)
        ids = [number] if count == 1 else [f"{number}_{index}" for index in range(count)]
        with self.watcher.lock:
            for index, id in enumerate(ids):
                self.watcher.table.add(id, folder, index)
        return ids

    def _submitted_perhaps(
        self, folder: Folder, jobs: Sequence[Job], answer: Refused
    ) -> list[str | Refused]:
        """Return the answers where nobody knows whether the cluster has taken the jobs."""
        try:
            number = _array_of(folder, self._client.jobs())
        except SlurmError:
            self._unsure.append(folder)  # who submits them again looks for them first
            return [answer] * len(jobs)
        if number is not None:
            return list(self._track(folder, number))
        folder.remove()
        return [answer] * len(jobs)

    def _found_again(self, names: Sequence[str]) -> dict[str, str]:
        """Return the ids of those jobs that were submitted already."""
        for folder in [f for f in self._unsure if not {*names}.isdisjoint(f.names)]:
            try:
                number = _array_of(folder, self._client.jobs())
            except SlurmError:
                break  # it still does not answer, and will not take jobs either
            self._unsure.remove(folder)
            if number is not None:
                self._track(folder, number)
            else:
                folder.remove()
        with self.watcher.lock:
            known = {name: self.watcher.table.id_of(name) for name in names}
        return {name: id for name, id in known.items() if id is not None}

    # --- looking and ending ---------------------------------------------------------------------

    def news(self) -> Sequence[News]:
        """Return what has become of jobs since the last call."""
        return self.watcher.news()

    def find(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return the ids of jobs by their names that wait or run, also of another launcher.

        Raises:
            FlowError: Slurm does not answer.
        """
        wanted = {*names}
        try:
            states = [state for state in self._client.jobs() if not state.has_ended]
        except SlurmError as error:
            raise unreachable(error) from None
        folders = {s: scripts.read_folder(s) for s in {state.command for state in states}}
        found: dict[str, str] = {}
        for state in states:
            folder = folders[state.command]
            index = None if folder is None else folder.index_of(state.id)
            if folder is None or index is None:
                continue
            if folder.names[index] in wanted:
                found[folder.names[index]] = state.id
                self._folders[folder.path] = folder
                with self.watcher.lock:
                    self.watcher.table.add(state.id, folder, index)
        self.watcher.look_soon()
        return found

    def cancel(self, ids: Sequence[str], grace: float) -> None:
        """End jobs: by SIGTERM, and by force after ``grace`` seconds."""
        with self.watcher.lock:
            jobs = self.watcher.table.get(ids)
            for job in jobs:
                job.cancelled = True
        for folder in {job.folder.path: job.folder for job in jobs}.values():
            folder.grant(grace)
        self.watcher.cancel([job.id for job in jobs])

    def close(self) -> None:
        """End all jobs that still wait or run, and remove their files.

        Raises:
            FlowError: Slurm does not answer, or does not end them.
        """
        if self._watcher is None:
            return
        watcher, self._watcher = self._watcher, None
        watcher.stop()
        left = watcher.table.all()
        if left:
            for folder in {job.folder.path: job.folder for job in left}.values():
                folder.grant(0)
            self._end([job.id for job in left])
        for folder in (*self._folders.values(), *self._unsure):
            folder.remove()
        folders = {os.path.dirname(path) for path in self._folders}
        for path in {*folders, self._folder}:
            with suppress(OSError):  # another launcher may have jobs of the same run
                os.rmdir(path)

    def _end(self, ids: Sequence[str]) -> None:
        """Cancel jobs, and wait until nothing of them runs."""
        deadline = time.monotonic() + _FAREWELL
        left, why = {*ids}, "they do not end"
        while left and time.monotonic() < deadline:
            try:
                self._client.cancel(left)
                alive = {state.id for state in self._client.jobs() if not state.has_ended}
                left &= alive
            except SlurmError as error:
                why = str(error)
            if left:
                time.sleep(0.2)
        if left:
            jobs = " ".join(sorted({id.partition("_")[0] for id in left}))
            raise FlowError(
                f"{len(left)} jobs of this run may still be in Slurm",
                where=f"jobs {jobs}",
                why=why,
                hint=f"scancel {jobs}",
            )


def _array_of(folder: Folder, states: Sequence[JobState]) -> str | None:
    """Return the number of the job, or the array, whose script lies in a folder."""
    ids = (state.id for state in states if state.command == folder.script)
    return next((id.partition("_")[0] for id in ids), None)

"""Backends that are opened on a real Slurm, and what they told."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flow_core.api import GangMember, RunRecord, RunState, TaskSpec
from flow_core.testing.compute_steps import StepsRuntime
from flow_remote.backend import Ended, Job, News, Refused, Running
from flow_slurm.backend import SlurmBackend
from flow_slurm.daemons import lives
from flow_slurm.settings import DEFAULTS

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox

SETTINGS = {
    **{f"slurm_{name}": value for name, value in DEFAULTS.items()},
    "slurm_folder": "",
    "slurm_poll": 1.0,
    "slurm_memory": 50.0,
}


def eventually(
    holds: Callable[[], Any], seconds: float = 60, said: Callable[[], object] = lambda: None
) -> Any:
    """Wait until something holds; return it.

    Args:
        holds: is asked again and again.
        seconds: after which the test fails.
        said: returns what that tells of it.
    """
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.02)
    return found


@contextmanager
def controller_away(cluster: Sandbox) -> Iterator[None]:
    """Let a cluster have no controller in a block. Slurm's programs give up at once, instead of after
    ten seconds."""
    file = Path(cluster.configuration)
    usual = file.read_text()
    cluster.stop_controller()
    file.write_text(f"{usual}MessageTimeout=1\n")
    try:
        yield
    finally:
        file.write_text(usual)
        cluster.start_controller()


def job(*scripts: str, name: str = "", **more: Any) -> Job:
    """Return a job whose tasks run scripts of the shell: several are a gang."""
    size = len(scripts)
    places = [GangMember(size, n, 1) if size > 1 else None for n in range(size)]
    tasks = tuple(TaskSpec("F", "1", "a", n + 1, gang=place) for n, place in enumerate(places))
    commands = tuple(("/bin/sh", "-c", script) for script in scripts)
    variables = more.pop("variables", {})
    name = name or f"f-1-a-{uuid.uuid4().hex[:8]}-0"
    return Job(name, tasks, commands, (variables,) * size, **more)


def held(folder: Path, then: str) -> str:
    """Return a script of the shell that does something once there is a file ``go`` in a folder."""
    return f"while [ ! -e {folder}/go ]; do sleep 0.05; done; {then}"


class Bench:
    """A backend at work, and all that it told."""

    job = staticmethod(job)

    def __init__(self, folder: Path, settings: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self.backend = SlurmBackend(str(folder))
        self.told: list[News] = []
        self.woken = 0
        self.run = uuid.uuid4().hex[:8]  # other workers use the same cluster
        run = RunRecord("F", self.run, RunState.RUNNING, time.time())
        self.backend.open(run, StepsRuntime(settings={**SETTINGS, **(settings or {})}), self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def submit(self, *jobs: Job) -> list[str]:
        """Start jobs; return their ids."""
        ids = self.backend.submit(jobs)
        assert all(isinstance(id, str) for id in ids), ids
        return [str(id) for id in ids]

    def start(self, *scripts: str, **more: Any) -> str:
        """Start one job; return its id."""
        return self.submit(job(*scripts, **more))[0]

    def refused(self, script: str = "true", **more: Any) -> Refused:
        """Return why a job is not taken."""
        (answer,) = self.backend.submit([job(script, **more)])
        assert isinstance(answer, Refused), answer
        return answer

    def until(self, holds: Callable[[], Any], seconds: float = 60) -> Any:
        """Wait until something holds; return it."""

        def looked() -> Any:
            self.told += self.backend.news()
            return holds()

        return eventually(looked, seconds, lambda: self.told)

    def of(self, id: str, kind: type[News]) -> list[Any]:
        """Return the news of a kind that were told of a job."""
        return [each for each in self.told if isinstance(each, kind) and each.id == id]

    def end(self, id: str, seconds: float = 60, member: int = 0) -> Ended:
        """Wait for the end of a task; return it."""
        ends = self.until(
            lambda: [each for each in self.of(id, Ended) if each.member == member], seconds
        )
        assert len(ends) == 1
        return ends[0]

    def begin(self, id: str) -> Running:
        """Wait until a job runs."""
        return self.until(lambda: self.of(id, Running))[0]


@pytest.fixture
def new_bench(slurm: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    """Return a function that opens a backend on the shared cluster, with settings."""
    made: list[Bench] = []

    def make(**settings: Any) -> Bench:
        made.append(Bench(tmp_path / "jobs", settings))
        return made[-1]

    yield make
    for each in made:
        each.backend.close()


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    """A backend on the shared cluster."""
    return new_bench()


@pytest.fixture
def own_bench(
    new_slurm: Callable[..., Sandbox], tmp_path: Path
) -> Iterator[Callable[..., tuple[Bench, Sandbox]]]:
    """Return a function that starts a cluster of one node, which the test may disturb, and opens a
    backend there. Its arguments are lines of ``slurm.conf``."""
    made: list[Bench] = []

    def make(**configuration: str) -> tuple[Bench, Sandbox]:
        cluster = new_slurm(1, **configuration)
        made.append(Bench(tmp_path / "jobs"))
        return made[-1], cluster

    yield make
    for each in made:
        each.backend.close()


def processes_with(mark: str) -> list[int]:
    """Return the processes whose environment or command line holds a text."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            seen = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in seen and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return [process for process in found if lives(process)]

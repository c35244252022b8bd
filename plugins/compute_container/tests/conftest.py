"""podman as the only runtime of a test, and backends that are opened on it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from servers.podman import Podman

from flow_container.backend import ContainerBackend
from flow_core.api import GangMember, RunRecord, RunState, TaskSpec
from flow_core.testing import FlowTester
from flow_core.testing.compute_steps import StepsRuntime
from flow_remote.backend import Ended, Job, News, Refused

_OWN = uuid.uuid4().hex[:6]  # other workers use the same podman at the same time


def job(
    *scripts: str,
    name: str = "f-1-a-1-0",
    variables: Mapping[str, str] | None = None,
    **more: Any,
) -> Job:
    """Return a job whose tasks run scripts of the shell: several are a gang."""
    size = len(scripts)
    places = [GangMember(size, n, 1) if size > 1 else None for n in range(size)]
    tasks = tuple(TaskSpec("F", "1", "a", n + 1, gang=place) for n, place in enumerate(places))
    commands = tuple(("/bin/sh", "-c", script) for script in scripts)
    return Job(f"{name}-{_OWN}", tasks, commands, (variables or {},) * size, **more)


class Bench:
    """A backend at work, and all that it told."""

    def __init__(
        self, backend: ContainerBackend, settings: Mapping[str, Any], run: str = "1"
    ) -> None:
        self.backend = backend
        self.told: list[News] = []
        self.woken = 0
        runtime = StepsRuntime(settings=settings)
        backend.open(RunRecord("F", run, RunState.RUNNING, time.time()), runtime, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    job = staticmethod(job)

    def submit(self, script: str, **more: Any) -> str:
        """Start a job of one task, which runs a script of the shell; return its id."""
        (id,) = self.backend.submit([job(script, **more)])
        assert isinstance(id, str), id
        return id

    def refused(self, script: str, **more: Any) -> Refused:
        """Return why a job is not taken."""
        (answer,) = self.backend.submit([job(script, **more)])
        assert isinstance(answer, Refused)
        return answer

    def until(self, done: Callable[[], object], patience: float = 30.0) -> None:
        """Collect news until ``done()`` holds."""
        deadline = time.monotonic() + patience
        while True:
            self.told += self.backend.news()
            if done():
                return
            assert time.monotonic() < deadline, f"told so far: {self.told}"
            time.sleep(0.01)

    def news(self, kind: type, id: str) -> list[Any]:
        """Return the news of a kind that a job has had."""
        return [each for each in self.told if isinstance(each, kind) and each.id == id]

    def ends(self, id: str, members: int = 1) -> list[Ended]:
        """Wait for the ends of a job; return them by member."""
        self.until(lambda: len(self.news(Ended, id)) == members)
        return sorted(self.news(Ended, id), key=lambda ended: ended.member)

    def end(self, id: str) -> Ended:
        """Wait for the end of a job of one task."""
        return self.ends(id)[0]


def variables_of(podman: Podman) -> dict[str, str]:
    """Return the variables by which a launcher finds podman, and keeps what it makes for tasks."""
    return {**podman.environment(), "XDG_CACHE_HOME": str(podman.folder / "cache")}


@pytest.fixture
def here(podman: Podman, monkeypatch: pytest.MonkeyPatch) -> Podman:
    """podman of the tests, as what this process finds."""
    for name, value in variables_of(podman).items():
        monkeypatch.setenv(name, value)
    return podman


@pytest.fixture
def new_bench(here: Podman) -> Iterator[Callable[..., Bench]]:
    """Return a function that makes a `Bench`; at the end nothing of any may be left."""
    made: list[Bench] = []
    test = uuid.uuid4().hex  # other tests use the same podman at the same time

    def make(place: str = "", run: str = "1", mounts: Any = (), **settings: Any) -> Bench:
        backend = ContainerBackend(f"{test}-{place or len(made)}", mounts)
        chosen = {"container_image": here.shell_image, "container_pull": "never", **settings}
        made.append(Bench(backend, chosen, run))
        return made[-1]

    yield make
    for bench in made:
        bench.backend.close()
        assert here.containers(f"label=flow.place={bench.backend.place}") == []


@pytest.fixture
def bench(new_bench: Callable[..., Bench]) -> Bench:
    """A backend at work."""
    return new_bench()


class ContainerTester(FlowTester):
    """A laboratory whose processes find podman of the tests, and run steps in its image of Python."""

    def __init__(self, path: Path, podman: Podman) -> None:
        super().__init__(path)
        self.more_plugins += ["remote", "container"]
        self._own = {
            **variables_of(podman),
            "FLOW_CONTAINER_IMAGE": podman.python_image,
            "FLOW_CONTAINER_PULL": "never",
        }

    def environment(
        self, plugins: Sequence[str] | None = None, variables: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the variables of a process."""
        return super().environment(plugins, {**self._own, **(variables or {})})


@pytest.fixture
def lab(tmp_path: Path, here: Podman) -> Iterator[FlowTester]:
    """A folder for flows, whose processes find podman of the tests; nothing may be left there."""
    lab = ContainerTester(tmp_path, here)
    yield lab
    assert not [c["Names"] for c in here.containers() if f"{tmp_path}/.flow" in (c["Mounts"] or [])]

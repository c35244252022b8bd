"""The program docker, unmodified, whose daemon is podman here: what differs is how it is called."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.podman import Podman
from watching import wait_for

from flow_remote.backend import Running


@pytest.fixture
def on_docker(new_bench: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """Return a function that makes a backend at work, on the docker that a test has chosen."""
    if shutil.which("docker") is None:
        pytest.skip("no program docker here")
    made: list[Any] = []

    def make(place: str = "") -> Any:
        made.append(new_bench(place, container_runtime="docker", container_network="host"))
        return made[-1]

    yield make
    for bench in made:
        bench.backend.close()  # as long as docker finds its daemon


@pytest.fixture
def bench(on_docker: Callable[..., Any], here: Podman, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A backend at work, on docker."""
    monkeypatch.setenv("DOCKER_HOST", here.docker_host())
    return on_docker("place")


def test_jobs_run_and_end(bench: Any) -> None:
    ids = [bench.submit(f"echo {n}; exit {n}", name=f"f-1-a-{n}-0") for n in range(3)]
    ends = [bench.end(id) for id in ids]
    assert [end.code for end in ends] == [0, 1, 2]
    assert [end.log for end in ends] == ["", "1\n", "2\n"]


def test_an_image_that_is_not_there(bench: Any) -> None:
    end = bench.end(bench.submit("true", options={"image": "localhost/none:1"}))
    assert end.cause == "launch"
    assert end.message.startswith("docker has no image 'localhost/none:1'")


def test_ended_by_request(bench: Any) -> None:
    id = bench.submit("trap 'exit 5' TERM; while :; do sleep 0.1; done")
    bench.until(lambda: bench.news(Running, id))
    bench.backend.cancel([id], 3)
    end = bench.end(id)
    assert (end.code, end.cause) == (5, "cancelled")


def test_it_is_found_by_another_launcher(
    bench: Any, on_docker: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.backend, "_look", lambda *_: None)  # as one that was killed
    id = bench.submit("trap 'exit 6' TERM; while :; do sleep 0.1; done")
    bench.until(lambda: bench.news(Running, id))
    other = on_docker("place")
    assert other.backend.find([id]) == {id: id}
    other.backend.cancel([id], 20)
    end = other.end(id)
    assert (end.code, end.cause) == (6, "cancelled")


@pytest.mark.chaos
def test_a_daemon_that_is_started_anew(
    on_docker: Callable[..., Any], here: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    command = ["podman", "system", "service", "--time", "0", f"unix://{socket}"]
    with subprocess.Popen(command) as daemon:
        wait_for(socket.exists)
        bench = on_docker()
        id = bench.submit(
            f"until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 4",
            options={"volumes": [str(tmp_path)]},
        )
        bench.until(lambda: bench.news(Running, id))
        daemon.kill()
    (tmp_path / "go").touch()
    assert here.said("wait", id) == "4"
    assert bench.backend.news() == [], "nobody can tell it"
    socket.unlink(missing_ok=True)
    with subprocess.Popen(command) as daemon:
        assert bench.end(id).code == 4
        bench.backend.close()
        daemon.kill()


def test_removed_by_somebody(bench: Any, here: Podman) -> None:
    id = bench.submit("sleep 100")
    bench.until(lambda: bench.news(Running, id))
    here.run("rm", "--force", "--time", "0", id)
    assert bench.end(id).cause in ("lost", "")

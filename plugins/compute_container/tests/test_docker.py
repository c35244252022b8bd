"""The program docker, unmodified, whose daemon is podman here: what differs is how it is called."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers.podman import Podman

from flow_remote.backend import Running


@pytest.fixture
def bench(
    new_bench: Callable[..., Any], here: Podman, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """A backend at work, on docker."""
    if shutil.which("docker") is None:
        pytest.skip("no program docker here")
    monkeypatch.setenv("DOCKER_HOST", here.docker_host())
    bench = new_bench(container_runtime="docker", container_network="host")
    yield bench
    bench.backend.close()  # as long as docker finds its daemon


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


def test_it_is_found_by_another_launcher(bench: Any, new_bench: Callable[..., Any]) -> None:
    id = bench.submit("sleep 2; exit 6")
    bench.until(lambda: bench.news(Running, id))
    assert id in bench.backend.find([id])
    assert bench.end(id).code == 6


@pytest.mark.chaos
def test_a_daemon_that_is_started_anew(
    new_bench: Callable[..., Any], here: Podman, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("docker") is None:
        pytest.skip("no program docker here")
    address = f"unix://{tmp_path}/docker.sock"
    monkeypatch.setenv("DOCKER_HOST", address)
    command = ["podman", "system", "service", "--time", "0", address]
    with subprocess.Popen(command) as daemon:
        while not (tmp_path / "docker.sock").exists():
            time.sleep(0.02)
        bench = new_bench(container_runtime="docker", container_network="host")
        id = bench.submit("sleep 3; exit 4")
        bench.until(lambda: bench.news(Running, id))
        daemon.kill()
    time.sleep(4)
    assert bench.backend.news() == []
    (tmp_path / "docker.sock").unlink(missing_ok=True)
    with subprocess.Popen(command) as daemon:
        assert bench.end(id).code == 4
        bench.backend.close()
        daemon.kill()


def test_removed_by_somebody(bench: Any, here: Podman) -> None:
    id = bench.submit("sleep 100")
    bench.until(lambda: bench.news(Running, id))
    here.run("rm", "--force", "--time", "0", id)
    assert bench.end(id).cause in ("lost", "")

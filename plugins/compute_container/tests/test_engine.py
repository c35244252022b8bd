"""Finding podman or docker, and what people are told where neither can be used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from servers.podman import Podman

from flow_container.engine import Answer, Engine, find_engine
from flow_core.api import FlowError
from flow_core.testing import FlowTester


def _program(
    folder: Path, name: str, says: str = "{}", complains: str = "", status: int = 0
) -> None:
    program = folder / name
    program.write_text(
        f"#!{sys.executable}\nimport sys\nprint({says!r})\nprint({complains!r}, file=sys.stderr)\n"
        f"sys.exit({status})\n"
    )
    program.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes the programs of this machine's PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def make(**those: Mapping[str, object]) -> None:
        for name, given in those.items():
            _program(tmp_path, name, **given)  # type: ignore[arg-type]

    return make


def test_podman_describes_itself(here: Podman) -> None:
    engine = find_engine()
    assert (engine.name, engine.rootless, engine.selinux, engine.remote) == (
        "podman",
        False,
        False,
        False,
    )
    assert find_engine("podman") == engine


def test_docker_describes_itself(programs: Callable[..., None]) -> None:
    told = '{"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]}'
    programs(docker={"says": told})
    engine = find_engine()
    assert (engine.name, engine.rootless, engine.selinux) == ("docker", True, False)


def test_docker_stands_for_a_podman_that_does_not_work(programs: Callable[..., None]) -> None:
    programs(podman={"says": "", "complains": "Error: no machine", "status": 125}, docker={})
    assert find_engine().name == "docker"
    with pytest.raises(FlowError, match="podman cannot run containers now"):
        find_engine("podman")


def test_neither_is_there(programs: Callable[..., None]) -> None:
    with pytest.raises(FlowError) as caught:
        find_engine()
    assert str(caught.value) == (
        "There is no podman or docker here\n"
        "  where: compute 'container'\n"
        "  why:   no program podman or docker is in the folders of PATH\n"
        "  try:   install podman (apt-get install podman, dnf install podman, brew install podman) "
        "or Docker"
    )


def test_the_other_one_is_there(programs: Callable[..., None]) -> None:
    programs(docker={})
    with pytest.raises(FlowError) as caught:
        find_engine("podman")
    assert caught.value.what == "There is no podman on this machine"
    assert caught.value.hint == "docker is there: FLOW_CONTAINER_RUNTIME=docker"


def test_the_daemon_does_not_run(programs: Callable[..., None]) -> None:
    why = "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?"
    programs(docker={"says": '{"ServerErrors": ["' + why + '"]}', "status": 1})
    with pytest.raises(FlowError) as caught:
        find_engine()
    assert str(caught.value) == (
        "docker cannot run containers now\n"
        "  where: compute 'container'\n"
        f"  why:   docker: {why}\n"
        "  try:   start it (sudo systemctl start docker, or Docker Desktop), then: docker info"
    )


def test_a_flow_ends_before_it_begins(
    flowtester: FlowTester, programs: Callable[..., None]
) -> None:
    flowtester.more_plugins += ["remote", "container"]
    file = flowtester.write(FLOW)
    done = flowtester.flow("run", str(file), "--with", "container")
    assert done.returncode == 1
    assert "There is no podman or docker here" in done.stderr
    assert "Traceback" not in done.stderr


FLOW = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass
"""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("Error: no such image", "no such image"),
        (
            "Unable to find image\ndocker: Error response from daemon: no.\n\nRun 'docker run --help'\n",
            "no.",
        ),
        ('time="now" level=warning msg="x"\nError: y', "y"),
        ("", "exit status 3"),
    ],
)
def test_the_words_of_the_runtime(error: str, words: str) -> None:
    assert Answer(3, "", error).words == words


def test_who_does_not_answer_is_given_up(tmp_path: Path) -> None:
    program = tmp_path / "slow"
    program.write_text("#!/bin/sh\nexec sleep 100\n")
    program.chmod(0o755)
    answer = Engine("podman", str(program)).call("ps", patience=0.3)
    assert (answer.status, answer.words) == (124, "'podman ps' did not answer within 0.3 s")
    gone = Engine("podman", str(tmp_path / "none")).call("ps")
    assert gone.status == 127

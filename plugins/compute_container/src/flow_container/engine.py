"""The programs that run containers, podman and docker: found, asked and called.

Their command lines are the same in all that is used here; where they are not, `Engine` knows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flow_core.api import FlowError

PODMAN, DOCKER = "podman", "docker"

_INSTALL = (
    "install podman (apt-get install podman, dnf install podman, brew install podman) or Docker"
)
_PATIENCE = 60.0  # seconds for a question to the runtime; what takes longer says so


class Answer(NamedTuple):
    """What a call of the runtime has come to.

    Attributes:
        status: exit status.
        out: what it wrote to its standard output.
        error: what it wrote to its standard error, for people.
    """

    status: int
    out: str
    error: str

    @property
    def ok(self) -> bool:
        """Whether it succeeded."""
        return self.status == 0

    @property
    def words(self) -> str:
        """The last line of its error, without what all of them begin with."""
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        said = [line for line in lines if not line.startswith(("Run '", "See '", "time="))]
        last = (said or lines or [f"exit status {self.status}"])[-1]
        for start in ("Error: ", "docker: ", "Error response from daemon: "):
            last = last.removeprefix(start)
        return last


class Engine(NamedTuple):
    """A program that runs containers, and what it said of itself.

    Attributes:
        name: ``podman`` or ``docker``.
        path: of the program.
        rootless: whether it runs with the rights of the person only, who is root in containers.
        selinux: whether labels keep containers from the files of the person.
        remote: whether containers run on another machine, or in a virtual one.
    """

    name: str
    path: str
    rootless: bool = False
    selinux: bool = False
    remote: bool = False

    def call(
        self, *words: str, patience: float | None = _PATIENCE, folder: str | None = None
    ) -> Answer:
        """Run ``podman WORD…``, or docker, to its end.

        Args:
            words: arguments.
            patience: seconds after which it is given up, with the status 124; None = any time.
            folder: working folder; None = that of this process.
        """
        try:
            done = subprocess.run(
                [self.path, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=patience,
                cwd=folder,
                check=False,
                start_new_session=True,  # Ctrl-C of the terminal is for the launcher
            )
        except subprocess.TimeoutExpired:
            return Answer(124, "", f"'{self.name} {words[0]}' did not answer within {patience:g} s")
        except OSError as error:
            return Answer(127, "", f"{self.path}: {error.strerror}")
        texts = (done.stdout, done.stderr)
        out, error_text = (text.decode(errors="replace") for text in texts)
        return Answer(done.returncode, out, error_text)

    @property
    def user_options(self) -> list[str]:
        """The options of ``run`` by which files that a task writes belong to the person."""
        if self.rootless:
            return ["--user", "0:0"]  # root there is the person here
        return ["--user", f"{os.getuid()}:{os.getgid()}"] if os.getuid() else ["--user", "0:0"]

    def gpu_options(self, count: int) -> list[str]:
        """Return the options of ``run`` for ``count`` graphics processors."""
        if self.name == DOCKER:
            return ["--gpus", str(count)]
        return [word for n in range(count) for word in ("--device", f"nvidia.com/gpu={n}")]

    @property
    def log_options(self) -> list[str]:
        """The options of ``run`` by which its log can be read afterwards, and stays small."""
        driver = "json-file" if self.name == DOCKER else "k8s-file"
        return ["--log-driver", driver, "--log-opt", "max-size=10m"]


def find_engine(name: str = "") -> Engine:
    """Return the runtime of this machine.

    Args:
        name: ``podman`` or ``docker``; ``''`` = podman where it works, else docker.

    Raises:
        FlowError: there is none, or it does not answer.
    """
    paths = {each: shutil.which(each) for each in ([name] if name else [PODMAN, DOCKER])}
    refused: dict[str, str] = {}
    for each, path in paths.items():
        if path is None:
            continue
        engine, why = _ask(each, path)
        if engine is not None:
            return engine
        refused[each] = why
    if refused:
        raise _does_not_answer(refused)
    raise _not_installed(name)


def _ask(name: str, path: str) -> tuple[Engine | None, str]:
    """Return the runtime as it describes itself, or why it does not."""
    answer = Engine(name, path).call("info", "--format", "{{json .}}")
    try:
        told = json.loads(answer.out)
    except ValueError:
        return None, answer.words
    if not answer.ok or told.get("ServerErrors"):
        return None, "; ".join(told.get("ServerErrors") or [answer.words])
    return (_as_podman if name == PODMAN else _as_docker)(name, path, told), ""


def _as_podman(name: str, path: str, told: Mapping[str, Any]) -> Engine:
    host = told.get("host", {})
    security = host.get("security", {})
    return Engine(
        name,
        path,
        rootless=bool(security.get("rootless")),
        selinux=bool(security.get("selinuxEnabled")),
        remote=bool(host.get("serviceIsRemote")),
    )


def _as_docker(name: str, path: str, told: Mapping[str, Any]) -> Engine:
    security: Sequence[str] = told.get("SecurityOptions") or []
    names = {part.partition("=")[2] for text in security for part in text.split(",")}
    desktop = "desktop" in str(told.get("OperatingSystem", "")).lower()
    return Engine(
        name, path, rootless="rootless" in names, selinux="selinux" in names, remote=desktop
    )


def _not_installed(name: str) -> FlowError:
    other = {PODMAN: DOCKER, DOCKER: PODMAN}.get(name)
    there = other is not None and shutil.which(other) is not None
    return FlowError(
        f"There is no {name} on this machine" if name else "There is no podman or docker here",
        where="compute 'container'",
        why=f"no program {name or 'podman or docker'} is in the folders of PATH",
        hint=f"{other} is there: FLOW_CONTAINER_RUNTIME={other}" if there else _INSTALL,
    )


def _does_not_answer(refused: Mapping[str, str]) -> FlowError:
    name, why = next(iter(refused.items()))
    start = "podman machine start, or: podman info" if name == PODMAN else "docker info"
    if name == DOCKER:
        start = "start it (sudo systemctl start docker, or Docker Desktop), then: docker info"
    return FlowError(
        f"{' and '.join(refused)} cannot run containers now",
        where="compute 'container'",
        why="\n".join(f"{each}: {text}" for each, text in refused.items()) if refused else why,
        hint=start,
    )

"""The containers that tests use: images are small and made quickly, and nothing of them stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

from servers.podman import Podman

ROOT = Path(__file__).resolve().parents[1]


def test_the_image_has_this_python_and_nothing_of_flow(podman: Podman) -> None:
    asked = "import sys, json, ssl, sqlite3, ctypes, hashlib, lzma, zlib; print(json.dumps(sys.version_info[:2]))"
    said = podman.said("run", "--rm", podman.python_image, "python3", "-c", asked)
    assert tuple(json.loads(said)) == sys.version_info[:2]
    missing = podman.run(
        "run", "--rm", podman.python_image, "python3", "-c", "import flow_core", check=False
    )
    assert b"No module named 'flow_core'" in missing.stderr
    (image,) = json.loads(podman.said("image", "inspect", podman.python_image))
    assert image["Size"] < 150e6


def test_an_image_without_python(podman: Podman) -> None:
    done = podman.run(
        "run", "--rm", podman.shell_image, "sh", "-c", "python3 || exit 9", check=False
    )
    assert done.returncode == 9


def test_an_image_of_another_architecture(podman: Podman) -> None:
    done = podman.run("run", "--rm", podman.foreign_image, "sh", "-c", "exit 0", check=False)
    assert done.returncode != 0
    assert b"exec format error" in done.stderr.lower() + done.stdout.lower()


def test_a_pod_is_played(podman: Podman) -> None:
    container = {
        "name": "main",
        "image": podman.shell_image,
        "command": ["/bin/sh", "-c", "echo hello $WHO; echo bad >&2; exit 4"],
        "env": [{"name": "WHO", "value": "you"}],
        "resources": {"limits": {"memory": "64Mi"}},
        "securityContext": {"runAsUser": 1000, "runAsNonRoot": True},
    }
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "played"},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    code, log = podman.play(manifest)
    assert (code, sorted(log.split("\n"))) == (4, ["", "bad", "hello you"])
    assert podman.containers("pod=played") == []


KILLED = """
    def test_it(podman):
        podman.run("run", "--detach", podman.shell_image, "sleep", "1000")
        (pid,) = [container["Pid"] for container in podman.containers()]
        with open("started", "w") as file:
            file.write(f"{pid} {podman.folder}")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_containers_end_with_a_run_that_is_killed(
    tmp_path: Path, wait_for: Callable[..., None], podman: Podman
) -> None:
    shown = (ROOT / "conftest.py").read_text()
    shown = shown.replace("Path(__file__).parent", f"Path({str(ROOT)!r})")
    (tmp_path / "conftest.py").write_text(shown)
    (tmp_path / "test_it.py").write_text("import os, signal\n" + dedent(KILLED))
    variables = {n: v for n, v in os.environ.items() if n != "TEST_SERVERS_FOLDER"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"]
    subprocess.run(command, cwd=tmp_path, env=variables, check=False)
    pid, folder = (tmp_path / "started").read_text().split()
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), 30)
    wait_for(lambda: not os.path.exists(folder), 30)
    assert folder not in Path("/proc/mounts").read_text()

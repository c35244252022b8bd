"""Whole runs with tasks in containers, by the command line: what people see and find afterwards."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from booting import pythons
from servers.podman import Podman
from servers.s3 import Bucket
from servers.sharing import free_ports
from watching import wait_for

from flow_core.testing import FlowTester

FLOW = """
    import os
    import own_helper
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = [1, 2, 3]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            print("working on", self.input)
            self.square = own_helper.square(self.input)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.square for i in inputs)
            self.seen = os.path.exists({marker!r})
            self.next(self.end)

        @step
        def end(self):
            print("total", self.total, "seen", self.seen, os.uname().sysname)

    if __name__ == "__main__":
        F()
"""

WAITING = """
    import os
    import time
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.items = [1, 2]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.began = time.time()
            print("begun", flush=True)
            while not os.path.exists({go!r}):
                time.sleep(0.1)
            self.done = self.input
            self.next(self.join)

        @step
        def join(self, inputs):
            self.all = [i.done for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            print("all", self.all)

    if __name__ == "__main__":
        F()
"""

SMALL = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def test_a_run_in_containers(lab: FlowTester, here: Podman, tmp_path: Path) -> None:
    lab.write("def square(x):\n    return x * x\n", "own_helper.py")
    marker = tmp_path / "marker"
    marker.touch()
    file = lab.write(FLOW.replace("{marker!r}", repr(str(marker))))
    done = lab.python(file, "run", "--with", "container").check()
    assert "working on 2" in done.stdout
    assert "total 14 seen False Linux" in done.stdout  # what is beside the store is not there
    assert lab.left().artifact("end", "total") == 14
    logs = lab.flow("logs", "F/1/work").check()
    assert "working on 3" in logs.stdout
    owners = {path.stat().st_uid for path in (tmp_path / ".flow").rglob("*")}
    assert owners == {os.getuid()}


def test_steps_here_and_in_containers(lab: FlowTester, here: Podman, tmp_path: Path) -> None:
    text = SMALL.replace("import FlowSpec", "import FlowSpec, container")
    text = text.replace(
        "@step\n        def end", "@container(memory=100)\n        @step\n        def end"
    )
    text = text.replace("pass", "import os; print('here', os.path.exists('own.txt'))")
    lab.write("", "own.txt")
    done = lab.python(lab.write(text), "run").check()
    assert "here False" in done.stdout


def test_the_store_is_a_bucket(
    lab: FlowTester, here: Podman, bucket: Bucket, tmp_path: Path
) -> None:
    lab.more_plugins += ["s3"]
    lab.write("def square(x):\n    return x * x\n", "own_helper.py")
    file = lab.write(FLOW.replace("{marker!r}", "'/none'"))
    variables = dict(
        FLOW_CONTAINER_VARIABLES=",".join(bucket.environment()),
        FLOW_CONTAINER_NETWORK="host",
        **bucket.environment(),
    )
    chosen = ("--datastore", bucket.url)
    done = lab.python(file, *chosen, "run", "--with", "container", variables=variables).check()
    assert "total 14" in done.stdout
    assert not (tmp_path / ".flow").exists()
    told = here.said("events", "--stream=false", "--filter", "label=flow.run=F/1")
    assert bucket.secret not in told


# --- tasks that cannot begin --------------------------------------------------------------------------


def _failed(lab: FlowTester, here: Podman, *words: str, **variables: str) -> str:
    file = lab.write(SMALL)
    done = lab.python(file, *words, variables=variables)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    return done.stdout + done.stderr


def test_an_image_without_python(lab: FlowTester, here: Podman) -> None:
    said = _failed(lab, here, "run", "--with", f"container:image={here.shell_image}")
    assert "There is no Python here that can run flow-core" in said
    assert "try:     use an image with Python 3.10 or newer (python:3.12-slim)" in said


def test_an_image_with_an_old_python(lab: FlowTester, here: Podman) -> None:
    old = _old_python()
    if old is None:
        pytest.skip("no Python 3.8 or 3.9 on this machine")
    said = _failed(lab, here, "run", "--with", f"container:image={here.image_with(old)}")
    assert "3.10" in said
    assert "python:3.12" in said


def _old_python() -> str | None:
    found = [shutil.which(f"python3.{minor}") for minor in (8, 9)]
    others = map(str, pythons("3.8", "3.9"))
    return next((path for path in [*found, *others] if path and _runs(path)), None)


def _runs(path: str) -> bool:
    return subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


def test_an_image_of_another_architecture(lab: FlowTester, here: Podman) -> None:
    said = _failed(lab, here, "run", "--with", f"container:image={here.foreign_image}")
    assert "which is for linux/" in said
    assert "cannot be executed on this machine" in said
    assert "an image of this machine's architecture" in said


def test_an_image_that_is_not_there(lab: FlowTester, here: Podman) -> None:
    said = _failed(lab, here, "run", "--with", "container:image=localhost/none:1")
    assert "podman has no image 'localhost/none:1', and pull='never' forbids to fetch it" in said
    assert "podman pull localhost/none:1" in said


def test_no_space_for_the_runtime(lab: FlowTester, here: Podman) -> None:
    options = '["--tmpfs=/tmp:size=1m","--tmpfs=/root:size=1m"]'
    said = _failed(lab, here, "run", "--with", f"container:user=image,options={options}")
    assert "The runtime cannot be kept" in said
    assert "No space left on device: it needs" in said
    assert "FLOW_CACHE=" in said


def test_a_store_that_tasks_cannot_reach(lab: FlowTester, here: Podman, bucket: Bucket) -> None:
    lab.more_plugins += ["s3"]
    variables = {"FLOW_CONTAINER_VARIABLES": ",".join(bucket.environment()), **bucket.environment()}
    words = ("--datastore", bucket.url, "run", "--with", "container:network=none")
    said = _failed(lab, here, *words, **variables)
    assert "The specification of the task cannot be fetched" in said
    assert "refused" in said or "unreachable" in said.lower()


def test_variables_that_tasks_do_not_get(lab: FlowTester, here: Podman, bucket: Bucket) -> None:
    lab.more_plugins += ["s3"]
    words = ("--datastore", bucket.url, "run", "--with", "container:network=host")
    said = _failed(lab, here, *words, **bucket.environment())
    assert "The specification of the task cannot be fetched" in said
    assert bucket.secret not in said


# --- ends ---------------------------------------------------------------------------------------------


def test_a_task_that_needs_too_much_memory(lab: FlowTester, here: Podman) -> None:
    text = SMALL.replace("pass", "x = bytearray(300 << 20); x[::4096] = b'1' * len(x[::4096])")
    file = lab.write(text)
    done = lab.python(file, "run", "--with", "container:memory=100")
    assert done.returncode == 1
    assert "the container used up its 100 MB" in done.stdout + done.stderr
    (manifest,) = lab.left().manifests("end")
    assert manifest.failure is not None
    assert manifest.failure.cause == "out-of-memory"


def test_memory_grows_until_it_is_enough(lab: FlowTester, here: Podman) -> None:
    text = SMALL.replace("import FlowSpec", "import FlowSpec, retry")
    text = text.replace(
        "@step\n        def end",
        "@retry(on=['out-of-memory'], memory_factor=4)\n        @step\n        def end",
    )
    file = lab.write(text.replace("pass", "x = bytearray(b'1') * (150 << 20)"))
    done = lab.python(file, "run", "--with", "container:memory=100").check()
    assert "the container used up its 100 MB" in done.stdout
    first, second = sorted(lab.left().manifests("end"), key=lambda m: m.attempt)
    assert first.failure is not None
    assert (first.failure.cause, second.ok) == ("out-of-memory", True)


GANG = """
    import socket
    from flow_core import FlowSpec, current, parallel, step

    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.train, num_parallel=3)

        @parallel
        @step
        def train(self):
            place = current.parallel
            self.node, self.size = place.node_index, place.num_nodes
            if place.node_index == 0:
                with socket.create_server((place.main_ip, {port})) as server:
                    self.met = sorted(self.hear(server) for _ in range(2))
            else:
                self.met = []
                self.tell(place.main_ip, str(place.node_index))
            self.next(self.join)

        def hear(self, server):
            connection, _ = server.accept()
            with connection:
                return connection.recv(10).decode()

        def tell(self, address, text):
            import time

            for _ in range(200):
                try:
                    with socket.create_connection((address, {port})) as connection:
                        connection.sendall(text.encode())
                        return
                except ConnectionRefusedError:
                    time.sleep(0.1)

        @step
        def join(self, inputs):
            self.met = [i.met for i in inputs if i.met]
            self.sizes = [i.size for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            print("met", self.met, self.sizes)

    if __name__ == "__main__":
        F()
"""


def test_the_members_of_a_gang_talk(lab: FlowTester, here: Podman) -> None:
    (port,) = free_ports(1)
    lab.more_plugins += ["parallel"]
    file = lab.write(GANG.replace("{port}", str(port)))
    done = lab.python(file, "run", "--with", "container", "--max-workers", "3").check()
    assert "met [['1', '2']] [3, 3, 3]" in done.stdout


def _start(lab: FlowTester, file: Path, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(file), *words],
        cwd=file.parent,
        env=lab.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def _containers(here: Podman, tmp_path: Path) -> list[str]:
    found = here.containers("label=flow.step=work")
    return [c["Names"][0] for c in found if f"{tmp_path}/.flow" in c["Mounts"]]


def test_ctrl_c_leaves_nothing(lab: FlowTester, here: Podman, tmp_path: Path) -> None:
    file = lab.write(WAITING.replace("{go!r}", "'/never'"))
    run = _start(lab, file, "run", "--with", "container")
    wait_for(lambda: len(_containers(here, tmp_path)) == 2, 60)
    run.send_signal(signal.SIGINT)
    said, _ = run.communicate(timeout=60)
    assert b"Interrupted" in said
    assert _containers(here, tmp_path) == []


def _listeners(launcher: int) -> list[int]:
    """Return the processes by which a launcher hears of events."""
    found = subprocess.run(["ps", "-e", "-o", "pid,ppid,args"], capture_output=True, check=True)
    rows = [line.split(maxsplit=2) for line in found.stdout.decode().splitlines()[1:]]
    shells = [pid for pid, parent, _ in rows if parent == str(launcher)]
    return [int(pid) for pid, parent, args in rows if parent in shells and " events " in args]


@pytest.mark.slow
@pytest.mark.chaos
def test_a_launcher_that_is_killed_loses_nothing(
    lab: FlowTester, here: Podman, tmp_path: Path
) -> None:
    go = tmp_path / "shared/go"
    go.parent.mkdir()
    file = lab.write(WAITING.replace("{go!r}", repr(str(go))))
    wanted = ("--with", f"container:volumes={go.parent}", "--max-workers", "2")
    run = _start(lab, file, "run", *wanted)
    wait_for(lambda: len(_containers(here, tmp_path)) == 2, 60)
    names = _containers(here, tmp_path)
    wait_for(lambda: len({p.parent for p in (tmp_path / ".flow").rglob("live/*")}) == 2, 60)
    listeners = _listeners(run.pid)
    assert listeners
    run.kill()
    run.communicate()
    killed = time.time()
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in listeners))
    assert _containers(here, tmp_path) == names
    resumed = _start(lab, file, "resume", *wanted)
    assert resumed.stdout is not None
    told = b"".join(itertools.takewhile(lambda line: b"still run" not in line, resumed.stdout))
    assert _containers(here, tmp_path) == names
    go.touch()
    told += resumed.communicate(timeout=60)[0]
    assert resumed.returncode == 0, told
    assert b"all [1, 2]" in told
    began = [each["began"] for each in lab.left(2).artifacts("work")]
    assert len(began) == 2
    assert max(began) < killed  # they were taken over, not run again
    assert _containers(here, tmp_path) == []

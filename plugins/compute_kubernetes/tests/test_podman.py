"""``podman play kube`` runs our pods as they are: another program than ours reads the manifests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kube_jobs import ORIGIN, chosen, job, known_settings
from servers.podman import Podman

from flow_core.api import TaskCommand, TaskSpec
from flow_core.testing import FlowTester
from flow_core.testing.compute_steps import StepsRuntime
from flow_kubernetes.manifests import job_manifest, pod_manifest
from flow_remote.jobs import JobMaker
from flow_store_local.store import LocalStore

PYTHON = "/usr/local/bin/python3"  # images that are made for tests say no PATH

FLOW = """
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


def trial(tester: FlowTester, image: str) -> dict[str, Any]:
    """Return the pod of a step as the command prints it."""
    tester.more_plugins = ["kubernetes"]
    file = tester.write(FLOW)
    options = f"image={image},memory=200,disk=100,executable={PYTHON}"
    chosen = ("--with", f"kubernetes:{options}")
    done = tester.flow(*chosen, "kubernetes", "manifest", str(file), "start", "--pod", "--json")
    (pod,) = json.loads(done.check().stdout)
    assert isinstance(pod, dict)
    return pod


def test_a_trial_in_an_image_with_a_python(flowtester: FlowTester, podman: Podman) -> None:
    code, log = podman.play(trial(flowtester, podman.python_image))
    assert code == 0, log
    assert "as user 1000 in /home/flow" in log
    assert "a task could run here" in log


def test_a_trial_in_an_image_without_one(flowtester: FlowTester, podman: Podman) -> None:
    code, log = podman.play(trial(flowtester, podman.shell_image))
    assert code == 127
    assert f"this image has no {PYTHON}: a task could not run here" in log


def test_words_and_variables_arrive_as_they_are(podman: Podman) -> None:
    script = 'x=$(echo hi); n=$((1 + 1)); echo "$x $n $NAME $HOME"'
    choices = chosen(image=podman.shell_image, resources={"memory": 100})
    one = job(("/bin/sh", "-c", script), variables=({"NAME": "it's $5 (five)"},))
    code, log = podman.play(pod_manifest(job_manifest(one, choices, ORIGIN)))
    assert (code, log.strip()) == (0, "hi 2 it's $5 (five) /home/flow")


def test_a_task_runs(podman: Podman, folder_for_pods: Path) -> None:
    folder = folder_for_pods
    folder.chmod(0o777)  # the user of a pod writes to it, too
    store = LocalStore(str(folder))
    known = known_settings()
    task = TaskSpec("SuiteFlow", "1", "nothing", 1)
    (one,) = JobMaker("kubernetes", StepsRuntime(settings=known), store, None, False).make(
        [[(task, TaskCommand())]]
    )
    for file in folder.rglob("*"):
        file.chmod(0o777)
    volumes = {str(folder): {"hostPath": {"path": str(folder)}}}
    choices = chosen(
        image=podman.python_image,
        executable=PYTHON,
        volumes=volumes,
        resources={"memory": 500},
    )
    code, log = podman.play(pod_manifest(job_manifest(one, choices, ORIGIN)))
    assert code == 0, log
    (note,) = folder.rglob("exit")
    assert json.loads(note.read_text())["code"] == 0

"""The golden flows leave the same on all ways to run tasks: forked, sent by value, in one process, elsewhere.

The same are artifacts (hashes, types, values), ends of tasks, ways through the graph, and logs.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import pytest
from servers.kubernetes.handle import Cluster
from servers.podman import Podman
from servers.s3 import Bucket

from flow_core.testing import FlowTester
from flow_core.testing.flowtester import default_plugins

if TYPE_CHECKING:
    from flow_slurm.sandbox import Sandbox

FLOWS = Path(__file__).parent / "golden/flows.py"
CLUSTER = Path(__file__).parents[1] / "plugins/remote/tests/process_cluster.py"

_BY_VALUE = {
    "ForeachSet/names": "the order of texts in a set differs from one interpreter to the next",
}
"""Artifacts whose hashes may differ between interpreters, and why. Their values may not."""

PROCESSES = '''
"""The compute ``processes``, where tasks see the launcher's files, and ``bare-processes``: its store only."""

import tempfile
from pathlib import Path

from process_cluster import ProcessBackend, ProcessCompute

__flow__ = {"flow.computes": {"processes": "Processes", "bare-processes": "BareProcesses"}}


class Processes(ProcessCompute):
    name = "processes"

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory()
        super().__init__(ProcessBackend(Path(self._folder.name)))


class BareProcesses(Processes):
    name = "bare-processes"
    shares_files = False
'''

SLURM = {"FLOW_SLURM_MEMORY": "100", "FLOW_SLURM_POLL": "0.5"}
"""What makes many tasks fit into a small cluster, and their ends known soon."""

Left = dict[str, dict[str, dict[str, list[str]]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flows, in one place for all modes: paths are part of tracebacks and of functions."""
    folder = tmp_path_factory.mktemp("modes")
    shutil.copy(FLOWS, folder / "flows.py")
    (folder / "data.txt").write_text("included")
    shutil.copy(CLUSTER, folder / "process_cluster.py")
    (folder / "many_processes.py").write_text(PROCESSES)
    return folder


def leave(
    folder: Path,
    mode: str,
    *names: str,
    plugins: Sequence[str] = ("inprocess",),
    variables: Mapping[str, str] = {},
) -> Left:
    """Run the flows in one mode, with a store of its own; return what they left."""
    tester = FlowTester(folder)
    tester.more_plugins = ["parallel", *plugins]
    found = tester.command(
        [sys.executable, str(folder / "flows.py"), mode, *names],
        variables={
            "FLOW_DATASTORE": f"local://{folder}/{mode}-{len(names)}",
            "FLOW_MAX_WORKERS": "2",
            **variables,
        },
        timeout=280,
    ).check()
    assert found.stderr == ""
    left: Left = json.loads(found.stdout)
    return left


@pytest.fixture(scope="module")
def forked(folder: Path) -> Left:
    return leave(folder, "forked")


def test_there_are_thirty_and_more(forked: Left) -> None:
    assert len(forked) >= 30
    assert forked["NestedForeach"]["join[0]"]["all"][1].startswith("[(1, [")
    assert forked["Retried"]["end[0]"]["seen"][1] == "(2, False)"
    assert forked["ForeachSet"]["join[0]"]["order"][1] == "['ada', 'alan', 'edsger', 'grace']"
    assert forked["Functions"]["end[0]"]["values"][1] == "(3, 10, 6)"
    assert forked["Kinds"]["end[0]"]["private"][1] == "'stored'"
    assert forked["Gang"]["join[0]"]["places"][1] == "[(0, 2), (1, 2)]"


@pytest.mark.parametrize("mode", ["in-process", "spawned"])
def test_the_same_artifacts(folder: Path, forked: Left, mode: str) -> None:
    compare(forked, leave(folder, mode))


def test_some_tasks_in_interpreters_of_their_own(folder: Path, forked: Left) -> None:
    names = ("Instances", "Caught", "Inherited", "Parameters")
    compare({name: forked[name] for name in names}, leave(folder, "alone", *names))


# --- elsewhere ------------------------------------------------------------------------------------


def plugin_module(name: str) -> dict[str, str]:
    """Return the variables with which runs have a plugin that is one module, beside the defaults."""
    chosen = [*default_plugins(), "inprocess", "parallel", "remote"]
    return {"FLOW_PLUGINS": ",".join([*(f"only:{one}" for one in chosen), name])}


@pytest.mark.slow
def test_where_the_files_of_the_launcher_are_seen(folder: Path, forked: Left) -> None:
    compare(forked, leave(folder, "processes", variables=plugin_module("many_processes")))


@pytest.mark.slow
def test_where_nothing_but_the_store_is_seen(folder: Path, forked: Left) -> None:
    compare(forked, leave(folder, "bare-processes", variables=plugin_module("many_processes")))


def test_a_script_that_runs_flows_need_not_be_there(flowtester: FlowTester) -> None:
    """What `MyFlow.run()` sends is whole: other machines have no such file."""
    shutil.copy(CLUSTER, flowtester.path / "process_cluster.py")
    flowtester.write(PROCESSES, "many_processes.py")
    script = flowtester.write("""
        import os
        from flow_core import FlowSpec, step

        def helper(number):
            return 2 * number

        class F(FlowSpec):
            @step
            def start(self):
                os.remove(HERE)
                self.x = 4
                self.next(self.end)

            @step
            def end(self):
                self.y = helper(self.x)

        HERE = __file__
        if __name__ == "__main__":
            print(F.run(compute="bare-processes", show=False).data.y)
    """)
    done = flowtester.python(script, variables=plugin_module("many_processes")).check()
    assert done.stdout == "8\n"
    assert not script.exists()


@pytest.mark.slow
def test_on_slurm(folder: Path, forked: Left, slurm: Sandbox) -> None:
    compare(forked, leave(folder, "slurm", plugins=["remote", "slurm"], variables=SLURM))


@pytest.mark.slow
def test_in_containers(folder: Path, forked: Left, podman: Podman) -> None:
    packages = imported_packages()
    variables = {
        **podman.environment(),
        "FLOW_CONTAINER_IMAGE": podman.python_image,
        "FLOW_CONTAINER_PULL": "never",
        "FLOW_CONTAINER_VOLUMES": ",".join(f"{p}:/packages/{p.name}:ro" for p in packages),
        "FLOW_CONTAINER_VARIABLES": "PYTHONPATH",
        "PYTHONPATH": "/packages",
    }
    found = leave(folder, "container", plugins=["remote", "container"], variables=variables)
    compare(forked, found)


@pytest.mark.slow
def test_in_pods(
    folder: Path,
    forked: Left,
    kubernetes: Cluster,
    bucket: Bucket,
    folder_for_pods: Path,
    cache_for_pods: Path,
) -> None:
    for package in imported_packages():
        (folder_for_pods / package.name).symlink_to(package)
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    given = {name: bucket.environment()[name] for name in names}
    given["PYTHONPATH"] = str(folder_for_pods)
    given["FLOW_CACHE"] = str(cache_for_pods)
    secret = {"metadata": {"name": "given"}, "stringData": given}
    kubernetes.core().create_namespaced_secret(kubernetes.namespace, secret)
    variables = {
        **kubernetes.environment(),
        **bucket.environment(),
        "FLOW_DATASTORE": bucket.url,
        "FLOW_KUBERNETES_SECRETS": "given",
    }
    plugins = ["remote", "kubernetes", "objectstore", "s3"]
    compare(forked, leave(folder, "kubernetes", plugins=plugins, variables=variables))


def imported_packages() -> list[Path]:
    """Return the folders of what the flows import, and a bare Python has not: a person's image would."""
    places = Path(numpy.__file__).parents[1]
    return [p for p in (places / "numpy", places / "numpy.libs") if p.is_dir()]


def compare(expected: Left, found: Left) -> None:
    """Compare flow by flow, task by task, artifact by artifact."""
    assert found.keys() == expected.keys()
    wrong = []
    for flow, tasks in expected.items():
        assert found[flow].keys() == tasks.keys(), flow
        for task, artifacts in tasks.items():
            assert found[flow][task].keys() == artifacts.keys(), f"{flow}/{task}"
            for name, (digest, value) in artifacts.items():
                other_digest, other_value = found[flow][task][name]
                same: Any = value == other_value
                if f"{flow}/{name}" not in _BY_VALUE:
                    same = same and digest == other_digest
                if not same:
                    wrong.append(f"{flow}/{task}.{name}: {value} and {other_value}")
    assert not wrong, "\n".join(wrong)

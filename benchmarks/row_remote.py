"""Tasks on other machines: what the launcher pays for each, how soon their code runs, a foreach of them.

The launcher is measured on a cluster that is simulated: everything else is as it is, and what a task
would write to the store a process apart writes. How soon user code runs is measured with jobs that are
processes of this machine; how long a foreach takes with those and on a Slurm of one's own, where there is
one. What waiting for running pods costs is measured beside the rival's launcher, on the API server that the
tests have: both use the official client of Kubernetes, unchanged, and the same SeaweedFS as their store.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import environments
from harness import (
    Bench,
    Figure,
    Tool,
    Usage,
    alternate,
    at_least,
    at_most,
    cpu,
    inline,
    manifests,
    say,
    seconds,
    wall,
)
from s3_server import Server

CLUSTER = environments.REPOSITORY / "plugins/remote/tests/process_cluster.py"
BESIDE = 20
"""Pods that the rival's launcher watches; each costs it a process."""
WANTED = 200
_MB, _KB = 1e6, 1e3


def rows(bench: Bench) -> Iterator[Figure]:
    """Measure."""
    yield from _launcher(bench, "files of this machine")
    with Server(bench.root.parent / "server", bench.folder / "server") as server:
        bench.variables = {**server.variables(), "FLOW_DATASTORE": "s3://bench/launcher"}
        try:
            yield from _launcher(bench, "S3 on loopback")
            bench.variables["FLOW_DATASTORE"] = "s3://bench/late"
            yield _begin(bench, "fresh-processes", "a bare Python that saw no flow-core yet, S3")
            yield _begin(bench, "bare-processes", "a bare Python, what it needs fetched before, S3")
            bench.variables = {}
            yield _begin(bench, "processes", "the launcher's Python, store in files")
            yield from _foreach(bench)
            yield from _waiting(bench, server)
        finally:
            bench.variables = {}


# --- the launcher alone ---------------------------------------------------------------------------


def _launcher(bench: Bench, store: str) -> Iterator[Figure]:
    few, many = bench.times(100, 20), bench.times(2000, 200)
    _simulated(bench, few, few)  # the first one makes the archives that go along
    small = [_simulated(bench, few, few) for _ in range(bench.times(3))]
    large = [_simulated(bench, many, many) for _ in range(bench.times(3))]
    cpu = (_median(large, "cpu") - _median(small, "cpu")) / (many - few)
    yield Figure(
        "remote",
        f"CPU of the launcher per remote task, {many:,} of them, {store}",
        f"{cpu * 1e3:.2f} ms",
        **at_most(cpu * 1e3, 5, "ms"),
    )
    before, after = _median(small, "memory"), _median(large, "memory")
    each = (after - before) / (many - few)
    yield Figure(
        "remote",
        f"memory of the launcher while {many:,} tasks run, {store}",
        f"{after / _MB:.1f} MB",
        f"{before / _MB:.1f} MB (at {few})",
        f"{each / _KB:.1f} kB per task",
    )


def _simulated(bench: Bench, count: int, running: int) -> dict[str, float]:
    flow = bench.flow(bench.ours, "each")[1]
    found = bench.script(bench.ours, "remote_launcher", flow, str(count), str(running))
    bench.clear(bench.ours)
    return found


def _median(found: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in found)


# --- tasks that really run ------------------------------------------------------------------------


def _begin(bench: Bench, compute: str, what: str) -> Figure:
    count = bench.times(30, 5)
    _on(bench, compute, "each_late", "--count", str(count), "--max-workers", "1")
    home, flow = bench.home(bench.ours), "EachLate"
    if "FLOW_DATASTORE" in bench.variables:
        late = _through_client(bench, flow)
    else:
        late = [float(inline(one, "late")) for one in manifests(home, flow, "body")]
    found = statistics.median(late)
    return Figure(
        "remote",
        f"from the start of a job to the first line of the step: {what}",
        seconds(found),
        f"{seconds(max(late))} (slowest of {len(late)})",
        **at_most(found, 1.0, "s"),
    )


def _through_client(bench: Bench, flow: str) -> list[float]:
    code = (
        f"from flow_core import Flow; import json; run = Flow({flow!r}).latest_run; "
        "print(json.dumps([task['late'].data for task in run['body']]))"
    )
    usage = bench.command(bench.ours, [bench.ours.python, "-c", code])
    found: list[float] = json.loads(usage.output.strip().splitlines()[-1])
    return found


def _foreach(bench: Bench) -> Iterator[Figure]:
    count = bench.times(50, 10)
    words = ["--count", str(count), "--max-workers", "8"]
    local, processes = alternate(
        bench.times(5),
        lambda: bench.run(bench.ours, "each", *words),
        lambda: _on(bench, "processes", "each", *words),
    )
    what = f"foreach of {count} trivial tasks, two cores, whole command"
    yield _beside_local(f"{what}: jobs that are processes", processes, local)
    yield Figure(
        "remote",
        "the same, CPU of all processes per task: jobs that are processes",
        seconds(cpu(processes) / count),
        f"{seconds(cpu(local) / count)} (local)",
        f"{cpu(processes) / cpu(local):.1f} x",
    )
    slurm = _on_slurm(bench, words)
    if slurm:
        yield _beside_local(f"{what}: on a Slurm of three nodes", slurm, local)


def _beside_local(what: str, found: list[Usage], local: list[Usage]) -> Figure:
    return Figure(
        "remote",
        what,
        seconds(wall(found)),
        f"{seconds(wall(local))} (local)",
        f"{wall(found) / wall(local):.1f} x",
    )


def _on(bench: Bench, compute: str, flow: str, *words: str) -> Usage:
    """Run a flow on processes."""
    home = bench.home(bench.ours)
    shutil.copy(CLUSTER, home)
    shutil.copy(environments.REPOSITORY / "benchmarks/inside/bench_processes.py", home)
    command = [*bench.flow(bench.ours, flow), "-p", "bench_processes", "--compute", compute]
    return bench.command(bench.ours, [*command, "run", *words])


def _on_slurm(bench: Bench, words: list[str]) -> list[Usage]:
    """Run the foreach on a Slurm that is started for it; nothing where it is not installed."""
    if shutil.which("slurmctld") is None:
        bench.note("Slurm was not measured: it is not installed.")
        return []
    flow = str(bench.ours.venv / "bin" / "flow")
    inner = [*bench.flow(bench.ours, "each"), "--compute", "slurm", "run", *words]
    times = bench.times(5)
    # One cluster for all: `sandbox` runs a command and ends with it.
    script = Path(bench.home(bench.ours)) / "on_slurm.py"
    script.write_text(
        "import json, subprocess, sys, time\n"
        "found = []\n"
        f"for _ in range({times + 1}):\n"
        "    begin = time.perf_counter()\n"
        "    subprocess.run(sys.argv[1:], check=True)\n"
        "    found.append(time.perf_counter() - begin)\n"
        "print(json.dumps(found[1:]))\n"
    )
    python = bench.ours.python
    usage = bench.command(bench.ours, [flow, "slurm", "sandbox", "--", python, str(script), *inner])
    found = json.loads(usage.output.strip().splitlines()[-1])
    return [Usage(value, 0.0, 0, "") for value in found]


# --- beside the rival: pods that run --------------------------------------------------------------


def _waiting(bench: Bench, server: Server) -> Iterator[Figure]:
    """Measure what each launcher keeps in memory for pods that run."""
    try:
        cluster = _Cluster(bench.folder / "kubernetes")
    except ImportError as error:
        bench.note(f"Launchers of pods were not measured: {error}. The tests' environment has it.")
        return
    count = bench.times(BESIDE, 3)
    for tool in (bench.ours, bench.rival):
        _with_client(tool)
    with cluster:
        bench.variables = {**server.variables(), **cluster.variables()}
        ours = _pods(bench, cluster, bench.ours, bench.times(WANTED, 5))
        ours_few = _pods(bench, cluster, bench.ours, 1)
        rival = _pods(bench, cluster, bench.rival, count)
        rival_few = _pods(bench, cluster, bench.rival, 1)
    theirs = (rival["memory"] - rival_few["memory"]) / (count - 1)
    whole = rival_few["memory"] + theirs * (WANTED - 1)
    yield Figure(
        "remote",
        f"memory of launcher and its processes, {WANTED} pods run",
        f"{ours['memory'] / _MB:.0f} MB ({ours_few['memory'] / _MB:.0f} MB at one)",
        f"{whole / _MB:,.0f} MB: {theirs / _MB:.0f} MB a pod, measured with {count}",
        **at_least(whole / ours["memory"], 30),
    )
    yield Figure(
        "remote",
        "requests to Kubernetes per running pod and minute",
        f"{ours['requests']:.1f}",
        f"{rival['requests']:.0f}",
    )


def _with_client(tool: Tool) -> None:
    pins = ["-c", str(environments.REPOSITORY / "constraints.txt")]
    pip = [tool.python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, *pins, "kubernetes"], check=True, capture_output=True)


def _pods(bench: Bench, cluster: Any, tool: Tool, count: int) -> dict[str, float]:
    """Start a run with so many pods that go on; return its memory, and its requests."""
    option = "s3://bench/pods" if tool is bench.ours else "s3"
    words = ["--datastore", option, "run", "--count", str(count), "--max-workers", str(count)]
    cluster.new_namespace(f"{tool.name.replace('_', '-')}-{count}")
    home = bench.home(tool)
    with open(home / "output", "wb") as output:
        process = subprocess.Popen(
            [*bench.flow(tool, "each_elsewhere"), *words],
            cwd=home,
            env={**bench.environment(), **cluster.variables()},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        cluster.wait_for_pods(count, process, home / "output")
        time.sleep(15)
        begin, before = time.monotonic(), cluster.requests()
        time.sleep(30)
        minutes = (time.monotonic() - begin) / 60
        requests = (cluster.requests() - before) / count / minutes
        memory = sum(_own_memory(pid) for pid in _family(process.pid))
    finally:
        with suppress(ProcessLookupError):  # it has failed
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    say(f"      {tool.name}, {count} pods: {memory / _MB:.0f} MB")
    return {"memory": memory, "requests": requests}


def _family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    found = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = task / "children"
        for child in children.read_text().split():
            found += _family(int(child))
    return found


def _own_memory(pid: int) -> int:
    """Return the bytes of a process's memory, what it shares counted by its share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    return 0


class _Cluster:
    """The API server of the tests, whose pods are timers and never end by themselves."""

    def __init__(self, folder: Path) -> None:
        sys.path.append(str(environments.REPOSITORY / "tests"))
        from servers.kubernetes.handle import KubernetesServer  # needs pytest, and the client
        from servers.kubernetes.settings import Settings

        self._server_type, self._settings = KubernetesServer, Settings
        self._folder = folder
        self._now: Any = None

    def __enter__(self) -> _Cluster:
        from servers import sharing

        self._folder.mkdir(parents=True)
        sharing.begin()
        self._server = self._server_type.own(self._settings())
        return self

    def __exit__(self, *error: object) -> None:
        from servers import sharing

        self._server.stop()
        sharing.end()

    def new_namespace(self, name: str) -> None:
        """Make a namespace, and turn to it."""
        self._now = self._server.cluster(name, self._folder)
        self._now.simulate(seconds=3600)

    def variables(self) -> Mapping[str, str]:
        """Return the environment that leads both tools to it."""
        if self._now is None:
            return {}
        name = self._now.namespace
        return {
            "KUBECONFIG": self._now.kubeconfig,
            "METAFLOW_KUBERNETES_NAMESPACE": name,
            "FLOW_KUBERNETES_NAMESPACE": name,
        }

    def requests(self) -> int:
        """Return how many requests have come in this namespace."""
        return sum(self._now.counts().values())

    def wait_for_pods(self, count: int, process: Any, output: Path) -> None:
        """Wait until so many jobs were made."""
        end = time.monotonic() + 300
        while self._now.counts().get("create jobs", 0) < count:
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(output.read_text(errors="replace")[-3000:])
            time.sleep(0.2)

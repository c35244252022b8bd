"""Containers by podman: from real images, with users, limits and file systems of their own.

They share the machine's network. Half a second goes by before one starts, so this is for tests of what a
manifest means in a real container, not for many pods.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess

from servers.kubernetes.processes import CLUSTER, MARK, Output, pids_of
from servers.kubernetes.runtime import Exit, Mount, StartError, Work


class PodmanRuntime:
    """The runtime that runs containers by podman.

    Args:
        environment: variables by which podman finds its settings and images.
    """

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = {**os.environ, **environment}

    async def has(self, image: str) -> bool:
        return (await self.call("image", "exists", image))[0] == 0

    async def start(self, work: Work) -> PodmanContainer:
        name = f"test-{work.id}"
        code, said = await self.call("create", "--name", name, *_options(work))
        if code:
            raise StartError(said)
        reader, writer = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *("podman", "start", "--attach", "--sig-proxy=false", name),
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            env=self._environment,
            start_new_session=True,
        )
        os.close(writer)
        return PodmanContainer(self, name, process, Output(reader, work.log), work.mark)

    async def call(self, *words: str) -> tuple[int, str]:
        """Run ``podman WORD…``; return its status and what it said."""
        process = await asyncio.create_subprocess_exec(
            *("podman", *words),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
        )
        said, _ = await process.communicate()
        return process.returncode or 0, said.decode(errors="replace").strip()


class PodmanContainer:
    """A container that podman runs."""

    def __init__(
        self,
        runtime: PodmanRuntime,
        name: str,
        process: asyncio.subprocess.Process,
        output: Output,
        mark: str,
    ) -> None:
        self._runtime, self._name, self._process = runtime, name, process
        self._output, self._mark = output, mark
        self._out_of_memory = False
        self._calls: set[asyncio.Task[object]] = set()
        self._ended = asyncio.get_running_loop().create_task(self._end())

    async def wait(self) -> Exit:
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        self._call("kill", "--signal", str(number), self._name)

    def kill(self, *, out_of_memory: bool = False) -> None:
        self._out_of_memory = self._out_of_memory or out_of_memory
        self._call("kill", "--signal", "KILL", self._name)
        for pid in pids_of(self._mark):
            with contextlib.suppress(ProcessLookupError):  # podman was faster
                os.kill(pid, signal.SIGKILL)

    async def _end(self) -> Exit:
        """Wait for the container's end; return how that was, and remove it."""
        await self._process.wait()
        await self._output.end()
        _, told = await self._runtime.call("inspect", "--format", "{{json .State}}", self._name)
        state = json.loads(told)
        await self._runtime.call("rm", "--force", "--time", "0", self._name)
        if state["Status"] in ("created", "configured"):
            return Exit(128, not_started=state.get("Error") or self._output.tail())
        return Exit(int(state["ExitCode"]), bool(state["OOMKilled"]) or self._out_of_memory)

    def _call(self, *words: str) -> None:
        task: asyncio.Task[object]
        task = asyncio.get_running_loop().create_task(self._runtime.call(*words))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)


def _options(work: Work) -> list[str]:
    """Return the words of ``podman create`` for a container."""
    hosts = [Mount(work.hosts, "/etc/hosts")] if work.hosts else []
    message = Mount(work.message, "/dev/termination-log")
    work.message.parent.mkdir(parents=True, exist_ok=True)
    work.message.touch()
    work.message.chmod(0o666)
    variables = {
        **work.environment,
        "HOSTNAME": work.hostname,
        "KUBERNETES_TEST_TERMINATION_LOG": message.target,
        CLUSTER: f"{os.getpid()}/",
        MARK: work.mark,
    }
    words = ["--network", "host", "--pull", "never"]
    for name, value in variables.items():
        words += ["--env", f"{name}={value}"]
    for mount in (*work.mounts, *hosts, message):
        ends = ",ro=true" if mount.read_only else ""
        source = mount.source.resolve()
        words += ["--mount", f"type=bind,source={source},target={mount.target}{ends}"]
    if work.folder:
        words += ["--workdir", work.folder]
    if work.user:
        words += ["--user", work.user]
    if work.read_only:
        words += ["--read-only"]
    if work.memory:
        words += ["--memory", str(work.memory)]
    if work.command:
        words += ["--entrypoint", json.dumps(list(work.command))]
    return [*words, work.image, *work.arguments]

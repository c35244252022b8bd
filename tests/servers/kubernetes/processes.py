"""Containers as processes of this machine: each in a session of its own, with an own environment.

Such a container has the machine's file system instead of an image's, with its volumes in their places
(`servers.kubernetes.places`); it runs as the server's user, whatever its security context says. All its
processes end with its first one, as in a container: they are found by a variable of their environment,
also those that have left their session.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from servers.kubernetes.logs import Log
from servers.kubernetes.places import Places, is_mounted, within
from servers.kubernetes.runtime import Exit, StartError, Work

MARK = "KUBERNETES_TEST_CONTAINER"
"""Variable that each process of a container has: ``namespace/pod/uid/id``."""

CLUSTER = "KUBERNETES_TEST_CLUSTER"
"""Variable that each process of a cluster has: the process of the server that started it."""

PATH = f"{os.path.dirname(os.path.realpath(sys.executable))}:/usr/local/bin:/usr/bin:/bin"
"""Of containers that set none: with a Python that has only its standard library."""

_START = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc "
    "create failed: unable to start container process: "
)


class Processes:
    """The runtime that runs containers as processes.

    Args:
        memory_check: seconds between looks at the memory of containers with a limit; 0 = never.
    """

    def __init__(self, memory_check: float) -> None:
        self._memory_check = memory_check
        self._places = Places()

    async def has(self, image: str) -> bool:
        return True  # they are names only

    async def start(self, work: Work) -> ProcessContainer:
        environment = {"PATH": PATH, "HOME": "/root", "HOSTNAME": work.hostname, **work.environment}
        words = [*work.command, *work.arguments]
        _check(words, environment["PATH"], work)
        environment["KUBERNETES_TEST_TERMINATION_LOG"] = str(work.message)
        environment |= {CLUSTER: f"{os.getpid()}/", MARK: work.mark}
        work.message.parent.mkdir(parents=True, exist_ok=True)
        places, before = self._places.take(work), within(work)
        reader, writer = os.pipe()
        try:
            process = subprocess.Popen(
                [*before, *words],
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                env=environment,
                cwd="/" if before else work.folder or "/",
                start_new_session=True,
            )
        except OSError as error:
            os.close(reader)
            self._places.give_back(places)
            raise StartError(_START + f'exec: "{words[0]}": {error.strerror}') from None
        finally:
            os.close(writer)
        end = functools.partial(self._places.give_back, places)
        return ProcessContainer(process, reader, work, self._memory_check, end)


class ProcessContainer:
    """A container that runs as processes."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        output: int,
        work: Work,
        memory_check: float,
        end: Callable[[], None],
    ) -> None:
        self._process, self._work, self._end = process, work, end
        self._out_of_memory = False
        self._output = Output(output, work.log)
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        self._pidfd = os.pidfd_open(process.pid)
        loop.add_reader(self._pidfd, self._notice_end)
        self._watcher: asyncio.Task[None] | None = None
        if work.memory and memory_check:
            self._watcher = loop.create_task(self._watch_memory(work.memory, memory_check))

    async def wait(self) -> Exit:
        await asyncio.shield(self._ended)
        if self._watcher:
            self._watcher.cancel()
        while left := pids_of(self._work.mark):  # also those that were made meanwhile
            for pid in left:
                _signal(pid, signal.SIGKILL)
            await asyncio.sleep(0.01)
        await self._output.end()
        self._end()
        code = self._process.returncode
        return Exit(128 - code if code < 0 else code, self._out_of_memory)

    def signal(self, number: int) -> None:
        if self._process.poll() is None:
            _signal(self._process.pid, number)

    def kill(self, *, out_of_memory: bool = False) -> None:
        self._out_of_memory = self._out_of_memory or out_of_memory
        for pid in {self._process.pid, *pids_of(self._work.mark)}:
            if pid != self._process.pid or self._process.poll() is None:
                _signal(pid, signal.SIGKILL)

    def _notice_end(self) -> None:
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._process.wait()
        if not self._ended.done():
            self._ended.set_result(None)

    async def _watch_memory(self, limit: int, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            if sum(map(_resident, _family(self._process.pid))) > limit:
                self.kill(out_of_memory=True)
                return


class Output:
    """What a container writes, on its way into its log."""

    def __init__(self, pipe: int, log: Log) -> None:
        self._pipe, self._log = pipe, log
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = loop.create_future()
        os.set_blocking(pipe, False)
        loop.add_reader(pipe, self._read)

    async def end(self) -> None:
        """Wait for the last of it: all who could write are dead, or will be at once."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._ended), 5)
        self._finish()

    def tail(self) -> str:
        """Return the end of it."""
        return self._log.tail(2048, 20).strip()

    def _read(self) -> None:
        try:
            data = os.read(self._pipe, 256 * 1024)
        except BlockingIOError:
            return
        if data:
            self._log.write(data)
        else:
            self._finish()

    def _finish(self) -> None:
        if not self._ended.done():
            asyncio.get_running_loop().remove_reader(self._pipe)
            os.close(self._pipe)
            self._ended.set_result(None)


def bury(server: int) -> None:
    """Kill all processes of a cluster whose server is gone."""
    while found := pids_of(f"{server}/", CLUSTER):
        for pid in found:
            _signal(pid, signal.SIGKILL)


def pids_of(mark: str, variable: str = MARK) -> list[int]:
    """Return the processes whose mark begins so: of a container, a pod, a namespace, or all.

    Args:
        mark: or its beginning.
        variable: that has it.
    """
    wanted = f"{variable}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            variables = b"\0" + (folder / "environ").read_bytes()
            if b"\0" + wanted in variables:
                found.append(int(folder.name))
    return found


def _family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    found = [pid]
    for each in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{each}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _resident(pid: int) -> int:
    """Return the bytes of memory that a process alone has."""
    with contextlib.suppress(OSError, IndexError):
        _, resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[:3]
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _check(words: list[str], path: str, work: Work) -> None:
    """Refuse what a container runtime would not start.

    Raises:
        StartError: in its words.
    """
    if not words:
        raise StartError("no command specified")
    program = words[0]
    if is_mounted(program, work) or shutil.which(program, path=path):
        return
    if "/" not in program:
        raise StartError(f'{_START}exec: "{program}": executable file not found in $PATH')
    if os.path.exists(program):
        raise StartError(f'{_START}exec: "{program}": permission denied')
    raise StartError(f'{_START}exec: "{program}": stat {program}: no such file or directory')

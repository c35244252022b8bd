"""Containers that are no processes: a timer in the server, or a function of a test.

They are for tests of scale, where two thousand real processes would be a test of the machine: all else,
from requests and watches to phases, exit codes and logs, is as with real ones. The pods of a namespace
are simulated when a test says so; nothing of their command is run.
"""

from __future__ import annotations

import asyncio
import importlib.util
import signal
from collections.abc import Callable
from typing import NamedTuple

from servers.kubernetes.runtime import Exit, Work


class Simulation(NamedTuple):
    """What the containers of a namespace do instead of their commands.

    Attributes:
        seconds: that each runs.
        text: what it writes, at its start.
        function: ``/path/to/file.py:name`` of a function that is called, in a thread of the server,
            with ``(command, environment)`` after the seconds, and returns the exit status; ``""`` = none,
            and the status is 0.
    """

    seconds: float = 0
    text: str = ""
    function: str = ""


class SimulatedContainer:
    """A container that is a timer."""

    def __init__(self, work: Work, simulation: Simulation) -> None:
        self._work, self._simulation = work, simulation
        loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Exit] = loop.create_future()
        work.log.write(simulation.text.encode())
        self._timer = loop.call_later(simulation.seconds, self._finish)
        self._call: asyncio.Task[None] | None = None

    async def wait(self) -> Exit:
        return await asyncio.shield(self._ended)

    def signal(self, number: int) -> None:
        self._end(Exit(128 + number))

    def kill(self, *, out_of_memory: bool = False) -> None:
        self._end(Exit(128 + signal.SIGKILL, out_of_memory))

    def _finish(self) -> None:
        if self._simulation.function:
            self._call = asyncio.get_running_loop().create_task(self._run())
        else:
            self._end(Exit(0))

    async def _run(self) -> None:
        function = _loaded(self._simulation.function)
        words = [*self._work.command, *self._work.arguments]
        try:
            code = await asyncio.to_thread(function, words, self._work.environment)
        except Exception as error:  # what a program does then: say it, and fail
            self._work.log.write(f"{type(error).__name__}: {error}\n".encode())
            code = 1
        self._end(Exit(int(code or 0)))

    def _end(self, exit_: Exit) -> None:
        self._timer.cancel()
        if not self._ended.done():
            self._ended.set_result(exit_)


_functions: dict[str, Callable[[list[str], dict[str, str]], int | None]] = {}


def _loaded(place: str) -> Callable[[list[str], dict[str, str]], int | None]:
    if place not in _functions:
        path, _, name = place.rpartition(":")
        spec = importlib.util.spec_from_file_location("simulated_by_a_test", path)
        assert spec is not None, f"{path} is no module"
        assert spec.loader is not None, f"{path} is no module"
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _functions[place] = getattr(module, name)
    return _functions[place]

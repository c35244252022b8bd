"""`Runner`: the command line of a flow, from Python."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from flow_core.api import Session, Settings, UsageError, did_you_mean
from flow_runner.closing import Closing
from flow_runner.executing import ExecutingProcess, ExecutingRun, ExecutingTask, NotStarted
from flow_runner.process import PAUSE, FlowProcess
from flow_runner.words import option_words, split_arguments

_SPIN = "spin"  # its results are kept in a store of this name


class Runner(Closing):
    """Starts the commands of a flow as processes of their own.

    ``Runner("my_flow.py").run(alpha=3)`` waits for the end and returns an `ExecutingRun`; a run
    that fails raises nothing, but has the status ``failed``. ``await runner.async_run(alpha=3)``
    returns as soon as the run has its id. Each command of the flow is a method: ``resume``,
    ``show``, …, with ``async_`` in front for the other form. Names of options are checked before
    anything starts.

    As a context manager it ends what it has started, at its end.

    Attributes:
        program: the words that stand for ``flow`` in the commands; a subclass may set others.

    Args:
        flow_file: path of the file, or ``file.py:Class``, or ``package.module:Class``.
        show_output: whether the output is shown as it comes.
        profile: name of the profile in the configuration file.
        env: further environment variables.
        cwd: folder to run in; None = the current one.
        top_level: options that stand before the command: ``datastore="s3://…"``,
            ``decorators=["retry"]``, ``plugins=["no:terminal"]``.

    Since 0.1.
    """

    def __init__(
        self,
        flow_file: str | os.PathLike[str],
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        **top_level: Any,
    ) -> None:
        self.flow_file = os.fspath(flow_file)
        self.show_output = show_output
        self.cwd = None if cwd is None else os.fspath(cwd)
        self.program: Sequence[str] = (sys.executable, "-m", "flow_core")
        self._environment = {**os.environ, **(env or {})}
        if profile is not None:
            self._environment["FLOW_PROFILE"] = profile
        self._environment.setdefault("PYTHONIOENCODING", "utf-8")
        self._top_level = dict(top_level)
        self._known: dict[str, Any] | None = None
        self._started: list[ExecutingProcess] = []

    # --- commands -------------------------------------------------------------------------------

    def run(self, **parameters: Any) -> ExecutingRun:
        """Run the flow and wait for the end.

        Args:
            parameters: parameters of the flow and options of the command, by name.

        Raises:
            UsageError: there is no such parameter or option.
            NotStarted: it ended before it had a run, with its output.
        """
        found: ExecutingRun = self._call("run", (), parameters)
        return found

    def resume(self, *arguments: Any, **options: Any) -> ExecutingRun:
        """Resume a run and wait for the end: ``step=``, ``origin_run_id=``; else as `run`."""
        found: ExecutingRun = self._call("resume", arguments, options)
        return found

    async def async_run(self, **parameters: Any) -> ExecutingRun:
        """Run the flow; return as soon as the run has its id. Errors as `run`."""
        found: ExecutingRun = await self._call_async("run", (), parameters)
        return found

    async def async_resume(self, *arguments: Any, **options: Any) -> ExecutingRun:
        """Resume a run; return as soon as the new one has its id. Else as `resume`."""
        found: ExecutingRun = await self._call_async("resume", arguments, options)
        return found

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        plain = name.removeprefix("async_")
        command = plain.replace("_", "-")
        if command not in self._description()["commands"]:
            known = [c.replace("-", "_") for c in self._description()["commands"]]
            raise AttributeError(
                f"Flow '{self._description()['flow']}' has no command '{command}': "
                + did_you_mean(plain, known)
            )
        call = self._call_async if name.startswith("async_") else self._call

        def method(*arguments: Any, **options: Any) -> Any:
            return call(command, arguments, options)

        method.__name__ = name
        method.__doc__ = self._description()["commands"][command]["summary"]
        return method

    def __dir__(self) -> list[str]:
        names = [c.replace("-", "_") for c in self._description()["commands"]]
        return sorted({*super().__dir__(), *names, *(f"async_{n}" for n in names)})

    # --- starting -------------------------------------------------------------------------------

    def _call(self, command: str, arguments: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
        process, announces = self._start(command, arguments, given)
        try:
            while process.returncode is None:
                time.sleep(PAUSE)
        except BaseException:  # Ctrl-C, above all
            process.remove()
            raise
        process.finish_showing()
        return self._executing(command, process, announces)

    async def _call_async(
        self, command: str, arguments: tuple[Any, ...], given: Mapping[str, Any]
    ) -> Any:
        process, announces = await asyncio.to_thread(self._start, command, arguments, given)
        try:
            while announces and process.run_id() is None and process.returncode is None:
                await asyncio.sleep(PAUSE)
        except BaseException:
            process.remove()
            raise
        return self._executing(command, process, announces)

    def _start(
        self, command: str, arguments: tuple[Any, ...], given: Mapping[str, Any]
    ) -> tuple[FlowProcess, bool]:
        options, variables = self.prepare(command, given)
        words, announces = self._words(command, arguments, options)
        environment = {**self._environment, **variables}
        process = FlowProcess(
            words, environment, self.cwd, self.show_output, self._run_id_file(options)
        )
        return process, announces

    def prepare(
        self, command: str, given: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """Return the options for a command, and further environment variables for it.

        For subclasses that let callers say some things in another way.

        Args:
            command: its name.
            given: what the caller gave by name.
        """
        return given, {}

    def _run_id_file(self, given: Mapping[str, Any]) -> str | None:
        """Return the file for the run id that the caller wants, without what another run wrote."""
        if given.get("run_id_file") is None:
            return None
        path = os.path.join(self.cwd or os.getcwd(), os.fspath(given["run_id_file"]))
        if os.path.isfile(path):
            os.remove(path)
        return path

    def _executing(self, command: str, process: FlowProcess, announces: bool) -> Any:
        made: ExecutingProcess
        if announces and process.run_id() is None:
            failed = NotStarted(command, process)
            process.remove()
            raise failed
        if not announces:
            made = ExecutingProcess(command, process)
        elif command == _SPIN:
            made = ExecutingTask(command, process, partial(self.read_run, datastore=_SPIN))
        else:
            made = ExecutingRun(command, process, self.read_run)
        self._started.append(made)
        return made

    def _words(
        self, command: str, arguments: tuple[Any, ...], given: Mapping[str, Any]
    ) -> tuple[list[str], bool]:
        """Return the words of a command, and whether it announces a run id."""
        known = self._description()
        found = known["commands"].get(command)
        if found is None:
            raise UsageError(
                f"There is no command '{command}'",
                where=f"flow {known['flow']}",
                hint=did_you_mean(command, known["commands"]),
            )
        if "error" in found:
            raise UsageError(f"The command '{command}' cannot be used", why=found["error"])
        whose = f"command '{command}' of flow '{known['flow']}'"
        positions, rest = split_arguments(found["arguments"], arguments, given, whose)
        words = option_words(found["options"], rest, whose)
        announces = any("--run-id-file" in option["flags"] for option in found["options"])
        if announces and given.get("run_id_file") is None:
            words.append("--run-id-file={folder}/run-id")
        top = option_words(known["top_level"], self._top_level, f"flow '{known['flow']}'")
        file = [self.flow_file] if found["needs_flow"] else []
        return [*self.program, *top, command, *file, *words, *positions], announces

    def _description(self) -> dict[str, Any]:
        """Return what the command ``options`` tells of the flow, asked once."""
        if self._known is None:
            plain = self._ask([])
            top = option_words(plain["top_level"], self._top_level, f"flow '{plain['flow']}'")
            self._known = self._ask(top) if top else plain
        return self._known

    def _ask(self, top: list[str]) -> dict[str, Any]:
        done = subprocess.run(
            [*self.program, *top, "options", self.flow_file, "--json"],
            env=self._environment,
            cwd=self.cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            text = done.stderr.decode("utf-8", "replace").strip()
            raise UsageError(
                f"The flow '{self.flow_file}' cannot be used", why=text.removeprefix("error: ")
            )
        # The file may write something of its own when it is loaded, or when the process ends.
        lines = done.stdout.decode("utf-8").splitlines()
        told = next(line for line in reversed(lines) if line.startswith('{"flow"'))
        found: dict[str, Any] = json.loads(told)
        return found

    # --- reading --------------------------------------------------------------------------------

    def read_run(self, run_id: str, datastore: str | None = None) -> Any:
        """Return the client's `Run`, from where the process keeps it.

        Args:
            run_id: its id.
            datastore: name of another store than that of the flow's runs.
        """
        from flow_core import Run  # offered by a plugin

        known = self._description()
        settings = Settings(self._environment, self.cwd)
        if datastore is None:
            settings.override("datastore", known["store"], "Runner")
            settings.override("metadata", known["metadata"], "Runner")
        else:
            settings.override("datastore", datastore, "Runner")
        return Run.of_session(Session(settings=settings), f"{known['flow']}/{run_id}")

    # --- its end --------------------------------------------------------------------------------

    def cleanup(self) -> None:
        """End all that this runner has started, and forget its output."""
        while self._started:
            self._started.pop().cleanup()

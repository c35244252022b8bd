"""The supervisor of a task on another machine: its own process beside the task's.

It starts ``python -m flow_core.task`` as a child, keeps what that writes, passes on the wish to end, and
writes down how it ended, also when the child was killed. `flow_remote.boot` starts it in the process
that the job began with.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

from flow_core.api import (
    AccessDenied,
    FlowError,
    StoreError,
    TaskSpec,
    open_task_session,
    open_task_store,
    take_settings,
)
from flow_remote.boot import report
from flow_remote.ending import Ending, ending_key, prefix_of
from flow_remote.output import MEGABYTE, Output

START = (
    "import json, runpy, sys; sys.path[1:1] = json.loads(sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)
"""A program for ``python -c``: runs a module with further folders on Python's path, which are in no
variable that programs of the step would inherit. Arguments: a JSON list, the module, its arguments."""

_PATIENCE = 90.0  # seconds for which a store that does not answer is asked again
_REST = 0.5  # seconds before the first repetition
_LEFT_OPEN = 5.0  # seconds that a process left behind may hold the streams of its task
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interpreter(NamedTuple):
    """The Python of the task.

    Attributes:
        path: its executable.
        folders: what it lacks of flow-core and the plugins: first on its path.
        variables: environment variables that it needs.
    """

    path: str
    folders: Sequence[str]
    variables: Mapping[str, str] = {}


class Asked(BaseException):
    """The task is to end, and has not begun yet."""


def run(spec: Mapping[str, Any], folders: Sequence[str]) -> int:
    """Supervise the attempt of a specification to its end; return the exit status for the job.

    Args:
        spec: the specification: see `flow_remote.specification`.
        folders: the runtime, as far as this Python lacks it.
    """
    take_settings(spec["settings"])
    child = Child()
    child.listen()  # a wish to end may come at any time
    with ExitStack() as held:
        if spec["lock"] is None:
            begun = _begin(child, spec, lambda: _interpreter(spec, folders))
            output = _open_output(spec)  # while the task's own process starts
        else:
            output = _open_output(spec)
            begun = _begin(child, spec, lambda: _built(spec, output, held))
        ending = _follow(child, output, float(spec["grace"])) if begun is None else begun
        _write_down(spec, output, ending)
    return _status(ending)


def _begin(child: Child, spec: Mapping[str, Any], find: Callable[[], Interpreter]) -> Ending | None:
    """Start the task's process in the Python that is found; return how it ended if it did not begin."""
    try:
        with child.beginning():
            child.start(spec, find())
        return None
    except OSError as error:
        return _not_started(spec, error)
    except FlowError as error:
        where = f" ({error.where})" if error.where else ""
        why = f": {error.why}" if error.why else ""
        return Ending(None, None, "launch", f"{error.what}{where}{why}", error.hint or "")
    except Asked:
        return Ending(None, signal.SIGTERM, "killed", asked=True)


def _follow(child: Child, output: Output, grace: float) -> Ending:
    """Wait for the end of the task's process, and take what it writes until then."""
    output.follow(child.streams, child.begin)
    return child.wait(grace)


def _open_output(spec: Mapping[str, Any]) -> Output:
    limit = int(spec["log_limit"] * MEGABYTE)
    prefix = prefix_of(TaskSpec.from_json(spec["task"]))
    return Output(open_task_store(spec["url"]), prefix, limit, patiently)


def _write_down(spec: Mapping[str, Any], output: Output, ending: Ending) -> None:
    """Put the logs, and then how the task ended, into the store."""
    output.finish(_LEFT_OPEN)
    found = (
        ending_key(TaskSpec.from_json(spec["task"])),
        ending._replace(written=output.written).encode(),
    )
    patiently(lambda: output.store.write([found]))
    with suppress(StoreError):  # they only take room then
        output.clear_pieces()


def _interpreter(spec: Mapping[str, Any], folders: Sequence[str]) -> Interpreter:
    chosen = spec["interpreter"]
    if chosen is None:
        return Interpreter(sys.executable, folders)
    return Interpreter(chosen["path"], [chosen["runtime"]] if chosen["runtime"] else folders)


def _built(spec: Mapping[str, Any], output: Output, held: ExitStack) -> Interpreter:
    """Build the environment of the task, or find it; nobody removes it until ``held`` is closed."""

    def tell(text: str, _: float | None) -> None:
        output.write("stderr", f"environment {spec['lock']['name']}: {text}\n".encode())

    from flow_core.api import build_environment  # a quarter of what this process imports

    session = held.enter_context(open_task_session(spec["url"]))
    made = build_environment(session, spec["lock"]["provider"], spec["lock"]["hash"], tell)
    assert made.interpreter is not None
    return Interpreter(made.interpreter, [made.runtime] if made.runtime else [], made.variables)


def _not_started(spec: Mapping[str, Any], error: OSError) -> Ending:
    what = str(error.filename or sys.executable)
    hint = "is its folder on a file system that this machine shares?"
    return Ending(
        None,
        None,
        "launch",
        f"the task's Python could not be started: {what}: {error.strerror}",
        hint if spec["interpreter"] else "",
    )


class Child:
    """The process of the task, in a process group of its own."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.streams: tuple[int, int] = (-1, -1)
        self.begin: int | None = None
        self.asked = False
        self._is_beginning = False
        self._oom_kills = _oom_kills()

    def listen(self) -> None:
        """Take the wish of a cluster to end the job as the wish to end the task."""
        for number in _ENDS:
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True
        self._signal(signal.SIGTERM)
        if self._is_beginning and self.process is None:
            raise Asked

    @contextmanager
    def beginning(self) -> Iterator[None]:
        """Let the wish to end, also one that came before, end what is done here by `Asked`."""
        self._is_beginning = True
        try:
            if self.asked:
                raise Asked
            yield
        finally:
            self._is_beginning = False

    def start(self, spec: Mapping[str, Any], interpreter: Interpreter) -> None:
        """Start it; its streams, and where it tells that the body begins, are read by others."""
        out, err = os.pipe(), os.pipe()
        words = [interpreter.path, "-c", START, json.dumps(list(interpreter.folders))]
        words += ["flow_core.task", spec["url"], "--given"]
        inherited: list[int] = []
        if spec["timed"]:
            self.begin, told = os.pipe()
            inherited.append(told)
            words += ["--begin", str(told)]
        try:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=out[1],
                stderr=err[1],
                env={**os.environ, "PYTHONUNBUFFERED": "1", **interpreter.variables},
                pass_fds=inherited,
                start_new_session=True,
                # There are no other threads yet, of which a lock could be held for ever.
                preexec_fn=_die_with_parent() if sys.platform == "linux" else None,  # noqa: PLW1509
            )
        finally:
            for descriptor in (out[1], err[1], *inherited):
                os.close(descriptor)
        self.streams = (out[0], err[0])
        assert self.process.stdin is not None
        with suppress(BrokenPipeError), self.process.stdin as given:  # its exit status tells
            given.write(json.dumps(spec).encode())

    def wait(self, grace: float) -> Ending:
        """Wait for its end; when it was asked to end, by force after ``grace`` seconds."""
        assert self.process is not None
        killer = threading.Thread(target=self._end_by_force, args=(grace,), daemon=True)
        killer.start()
        _, status, usage = os.wait4(self.process.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self.process.returncode = code
        self._signal(signal.SIGKILL)  # what it left behind in its group
        return Ending(
            code if code >= 0 else None,
            -code if code < 0 else None,
            *_cause(code, self._oom_kills),
            cpu_seconds=usage.ru_utime + usage.ru_stime,
            peak_memory=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            asked=self.asked,
        )

    def _end_by_force(self, grace: float) -> None:
        while not self.asked:
            time.sleep(0.1)
        time.sleep(grace)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)


def _die_with_parent() -> Callable[[], None]:
    """Return what has a process killed with that which started it, however that ends."""
    import ctypes

    prctl = ctypes.CDLL(None).prctl
    set_signal_of_parents_death = 1

    def die_with_parent() -> None:
        prctl(set_signal_of_parents_death, int(signal.SIGKILL), 0, 0, 0)

    return die_with_parent


def _cause(code: int, oom_kills: int | None) -> tuple[str, str]:
    """Return cause and message of an end."""
    if code >= 0:
        return "exit", ""
    now = _oom_kills()
    if -code == signal.SIGKILL and oom_kills is not None and (now or 0) > oom_kills:
        return "out-of-memory", "it used more memory than it may, and the system killed it"
    return "killed", ""


def _oom_kills() -> int | None:
    """Return how often the system has killed processes of this machine's, or container's, group for
    want of memory; None where it does not tell."""
    for path in (
        "/sys/fs/cgroup/memory.events",
        "/sys/fs/cgroup/memory/memory.oom_control",
    ):
        with suppress(OSError, ValueError), open(path, encoding="ascii") as file:
            table = dict(line.split(maxsplit=1) for line in file)
            if "oom_kill" in table:
                return int(table["oom_kill"])
    return None


def _status(ending: Ending) -> int:
    if ending.code is not None:
        return ending.code
    return 128 + ending.signal if ending.signal is not None else 1


def patiently(write: Callable[[], object]) -> object:
    """Call a function that writes to the store; again for a while where the store does not answer.

    Raises:
        StoreError: it still does not.
    """
    deadline = time.monotonic() + _PATIENCE
    rest = _REST
    while True:
        try:
            return write()
        except AccessDenied:
            raise  # that does not pass
        except StoreError:
            if time.monotonic() + rest > deadline:
                raise
        time.sleep(rest)
        rest = min(rest * 2, 10.0)


def main(spec: Mapping[str, Any], folders: Sequence[str]) -> int:
    """Do what `run` says, for `flow_remote.boot`; an error is told as that does, not raised."""
    try:
        return run(spec, folders)
    except FlowError as error:
        sys.stderr.write(f"The task {spec['url']} was not finished.\n{error}\n")
        parts = {"what": error.what, "where": error.where, "why": error.why, "hint": error.hint}
        return report({name: text or "" for name, text in parts.items()})

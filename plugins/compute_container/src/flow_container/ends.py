"""How a container has ended, from what the runtime tells of it."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from typing import Any, NamedTuple

from flow_container.engine import Engine
from flow_container.images import Image
from flow_remote.backend import Ended

_LINES = 50  # of a container's log that an attempt without one of its own shows
_LOG_SIZE = 8000  # characters
_NOT_EXECUTED = (1, 126, 127, 255)  # of a command, too: only the log tells it from others

_SIGNALS = {int(each) for each in signal.Signals}
_FOREIGN = "exec format error"
_MISSING = "no such file or directory"
_BAD_OPTION = ("unknown flag", "unknown shorthand flag", "invalid argument")
_INITS = ("catatonit", "tini", "dumb-init")  # what podman and Docker put before a command


class End(NamedTuple):
    """The state in which a container was found.

    Attributes:
        code: exit status, as the runtime has it: 128 + N for signal N.
        out_of_memory: whether something in it was ended since the memory was used up.
        error: what the runtime says went wrong.
    """

    code: int
    out_of_memory: bool = False
    error: str = ""

    @classmethod
    def of(cls, state: Mapping[str, Any], scratch: str) -> End:
        """Return the end that a state tells.

        Args:
            state: ``.State`` of ``inspect``.
            scratch: folder in which ``run`` was called. podman below 5 does not tell that memory was
                used up, but leaves a file ``oom`` where it was called; ``''`` = not known.
        """
        marked = bool(scratch) and os.path.exists(os.path.join(scratch, "oom"))
        oom = marked or bool(state.get("OOMKilled"))
        return cls(int(state.get("ExitCode") or 0), oom, str(state.get("Error") or ""))


def read_states(text: str) -> dict[str, Mapping[str, Any]]:
    """Return the states of containers by name, from ``inspect`` with `STATE_FORMAT`."""
    states: dict[str, Mapping[str, Any]] = {}
    for line in text.splitlines():
        name, blank, state = line.partition(" ")  # a tab would make a table of it
        if blank:
            states[name.removeprefix("/")] = json.loads(state)
    return states


STATE_FORMAT = "{{.Name}} {{json .State}}"


def read_log(engine: Engine, name: str) -> str:
    """Return the last lines of a container's log."""
    # All of it, which has a limit: with --tail, podman forgets the beginning of a line that came in
    # pieces, and that is how its init process writes why it cannot execute a command.
    answer = engine.call("logs", name)
    if not answer.ok:
        return ""
    return "".join((answer.out + answer.error)[-_LOG_SIZE:].splitlines(keepends=True)[-_LINES:])


def describe_end(
    end: End, *, job: str, member: int, cancelled: bool, memory: float, log: str, image: Image
) -> Ended:
    """Return the news of an end.

    Args:
        end: what was found.
        job, member: whose it is.
        cancelled: whether it was asked to end.
        memory: megabytes that it had; 0 = no limit.
        log: the end of its log, where it failed.
        image: what it was made from.
    """
    number = end.code - 128 if end.code - 128 in _SIGNALS else None
    ended = Ended(job, member, None if number else end.code, number, log=log)
    if cancelled:
        return ended._replace(cause="cancelled")
    if not end.code:
        return ended
    if end.out_of_memory:
        had = f"its {memory:g} MB" if memory else "the memory of this machine"
        return ended._replace(
            cause="out-of-memory",
            message=f"the container used up {had}",
            hint=f"@container(memory={int(memory * 2) or 8000}), or --with container:memory=…",
        )
    if end.error:
        return cannot_start(ended, end.error, image)
    if end.code in _NOT_EXECUTED and (words := _not_executed(log)):
        return cannot_start(ended, words, image)
    return ended


def _not_executed(log: str) -> str:
    """Return the last line of a log if the container's first process says there that it could not
    execute the command; else ``''``."""
    last = log.strip().splitlines()[-1:] or [""]
    words = last[0].lower()
    by_init = any(init in words for init in _INITS) and "exec" in words
    return last[0] if _FOREIGN in words or (by_init and _MISSING in words) else ""


def cannot_start(ended: Ended, words: str, image: Image) -> Ended:
    """Return the news that a container did not start, and what helps."""
    message, hint = words, ""
    lowered = words.lower()
    if _FOREIGN in lowered:
        made_for = f", which is for {image.platform}," if image.platform else ""
        message = f"image '{image.name}'{made_for} cannot be executed on this machine: {words}"
        hint = "an image of this machine's architecture: --with container:image=…"
    elif "executable file" in lowered or ("exec" in lowered and _MISSING in lowered):
        message = f"image '{image.name}' has no shell at /bin/sh: {words}"
        hint = "an image with a shell and a Python: --with container:image=…"
    elif lowered.startswith(_BAD_OPTION):
        message = f"the container cannot be started: {words}"
        hint = "options= has words for podman run, or docker run: see podman run --help"
    return ended._replace(cause="launch", message=message, hint=hint)

"""Running programs that end when nobody wants their result any more."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from typing import IO

from flow_core.errors import CommandFailed
from flow_core.settings import child_variables

_LOOK = 0.05  # seconds between looks at the program
_GRACE = 2.0  # seconds between the polite and the forced end of a program
_LINES = 20  # of its output, that an error shows


def run_program(
    command: Sequence[str],
    cancelled: threading.Event,
    folder: str | None = None,
    variables: Mapping[str, str] | None = None,
    kept: Collection[int] = (),
    heard: Callable[[str], None] | None = None,
) -> str:
    """Run a program to its end; return what it wrote to its standard output.

    Args:
        command: its words.
        cancelled: when it is set, the program and all its children are ended.
        folder: working folder; None = that of this process.
        variables: further environment variables.
        kept: descriptors that the program inherits.
        heard: called with each line that it writes to its standard error, while it runs.

    Raises:
        CommandFailed: it could not be started, or its exit status is not 0.
        KeyboardInterrupt: it was cancelled.
    """
    # Files, since a pipe that nobody reads while waiting would stop the program.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=folder,
                env=child_variables(variables or {}),
                pass_fds=tuple(kept),
                start_new_session=True,  # Ctrl-C of the terminal is for the launcher
            )
        except OSError as error:
            raise CommandFailed(
                f"'{command[0]}' could not be started",
                command=command,
                status=None,
                output="",
                why=error.strerror,
                hint=f"check that it is installed: {command[0]}",
            ) from None
        try:
            _wait(process, cancelled, _Lines(err.fileno(), heard) if heard else None)
        except BaseException:
            _end(process)
            raise
        output = _text(out)
        if process.returncode:
            raise _failed(command, process.returncode, output, _text(err))
        return output


def _wait(
    process: subprocess.Popen[bytes], cancelled: threading.Event, lines: _Lines | None
) -> None:
    while True:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK)
            return
        if cancelled.is_set():
            raise KeyboardInterrupt
        if lines is not None:
            lines.tell()


class _Lines:
    """Tells the lines of a file that another process still writes, by its descriptor."""

    def __init__(self, descriptor: int, heard: Callable[[str], None]) -> None:
        self._descriptor = descriptor
        self._heard = heard
        self._position = 0

    def tell(self) -> None:
        # At a position, since the program shares that of the descriptor.
        new = os.pread(self._descriptor, 1 << 20, self._position)
        whole = new[: new.rfind(b"\n") + 1]
        self._position += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            self._heard(line)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program with its children: politely, then by force."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _failed(command: Sequence[str], status: int, out: str, err: str) -> CommandFailed:
    last = (err.strip() or out.strip()).splitlines()[-_LINES:]
    how = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
    words = " ".join(command)
    return CommandFailed(
        f"'{os.path.basename(command[0])}' failed: {how}",
        command=command,
        status=status,
        output="\n".join(filter(None, (out.strip(), err.strip()))),
        where=words if len(words) <= 200 else words[:199] + "…",
        why="\n".join(last) or None,
    )

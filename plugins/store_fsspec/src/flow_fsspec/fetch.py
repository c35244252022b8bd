"""Reads objects of a store of fsspec where flow-fsspec is installed: how a task begins elsewhere.

This file travels as text: it imports nothing of ours, and an old Python must understand it. What reads
is a process of its own, so that nothing of what is installed there gets into that of the task, which may
get other versions.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading

TYPE_CHECKING = False  # that of `typing` would have to be imported
if TYPE_CHECKING:
    from typing import Any, Callable

_PROGRAM = """
import json, sys
sys.path[:] = [folder for folder in sys.path if folder]
try:
    from flow_fsspec.lend import lend
except ImportError as error:
    print(json.dumps({"error": sys.executable + " has no flow-fsspec: " + str(error), "hint": sys.argv[2]}))
else:
    lend(sys.argv[1], sys.stdin.buffer, sys.stdout.buffer)
"""
_HINT = (
    "install it there: pip install flow-fsspec; or use a store that any Python reads: "
    "--datastore s3://bucket/prefix"
)
_FAREWELL = 5.0
"""Seconds that the process gets to end."""


class Failed(OSError):
    """An object cannot be read.

    Attributes:
        hint: what to do next.
    """

    hint = ""


def open(config: dict[str, Any]) -> Callable[[str], bytes | None]:
    """Return what reads objects.

    Args:
        config: ``url``: of the store.
    """
    return _Lender(config["url"]).read


class _Lender:
    """The process that reads, asked by one thread at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, url, _HINT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def read(self, key: str) -> bytes | None:
        """Return the content of an object, or None where there is none."""
        with self._lock:
            asked, answers = self._process.stdin, self._process.stdout
            assert asked is not None
            assert answers is not None
            try:
                asked.write(json.dumps(key).encode() + b"\n")
                asked.flush()
            except OSError:  # it has ended, and has said why
                pass
            head = answers.readline()
            if not head:
                raise Failed("the process that reads " + self._url + " has ended without a word")
            told = json.loads(head)
            if "error" in told:
                failed = Failed(told["error"])
                failed.hint = told["hint"]
                raise failed
            if told["size"] is None:
                return None
            content = answers.read(told["size"])
            if len(content) < told["size"]:
                raise Failed("the process that reads " + self._url + " has ended")
            return content

    def __del__(self) -> None:
        process = self.__dict__.get("_process")
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            try:
                pipe.close()
            except OSError:
                continue  # it has ended already
        try:
            process.wait(_FAREWELL)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

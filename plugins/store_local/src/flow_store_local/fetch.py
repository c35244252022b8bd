"""Reads objects of a local store with nothing but Python: how a task begins on another machine.

This file travels as text: it imports nothing of ours, and an old Python must understand it.
"""

from __future__ import annotations

import builtins
import os
import time

TYPE_CHECKING = False  # that of `typing` would have to be imported
if TYPE_CHECKING:
    from typing import Any, Callable

_PATIENCE = 10.0
"""Seconds for which a failing disk is asked again: shared ones have moments."""


class Failed(OSError):
    """An object cannot be read.

    Attributes:
        hint: what to do next.
    """

    hint = ""


def open(config: dict[str, Any]) -> Callable[[str], bytes | None]:
    """Return what reads objects.

    Args:
        config: ``root``: the store's folder.
    """
    root = config["root"]

    def read(key: str) -> bytes | None:
        end, rest = time.monotonic() + _PATIENCE, 0.05
        while True:
            try:
                return _read(root, key)
            except Failed:
                raise
            except OSError as error:
                if isinstance(error, PermissionError) or time.monotonic() > end:
                    raise _failed(root, error) from error
                time.sleep(rest)
                rest *= 2

    return read


def _read(root: str, key: str) -> bytes | None:
    try:
        with builtins.open(root + "/" + key, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        if os.path.isdir(root):
            return None
        failed = Failed(f"this machine ({_name()}) has no folder {root}")
        failed.hint = (
            "put the store where all machines see it, or use one over the network: "
            "--datastore s3://bucket/prefix"
        )
        raise failed from None


def _failed(root: str, error: OSError) -> Failed:
    words = error.strerror or str(error)
    failed = Failed(f"{root} cannot be read on this machine ({_name()}): {words}")
    failed.hint = f"check who may read this folder there: ls -ld {root}"
    return failed


def _name() -> str:
    return getattr(os, "uname", lambda: ("", "this one"))()[1]

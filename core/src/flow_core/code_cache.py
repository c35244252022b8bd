"""What is remembered of the code of a flow between runs, so that unchanged files are not read again.

A file is taken as unchanged when its times (of content and of state), size and inode are those that
it had. One that was changed about when it was looked at is not believed: it may have been changed
once more within the same tick of the clock. So what is found here is what reading would find; and
the file can be deleted, or be damaged, at any time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from flow_core.own_modules import Statement, statements
from flow_core.package import State, state_of

_FORMAT = 1
_TICK = 2_000_000_000
"""Nanoseconds: the coarsest clock of a file system that is in use."""
_OLD = 30 * 86400.0


class Known(NamedTuple):
    """A snapshot that was made: its hash, and its size in bytes."""

    hash: str
    size: int


class CodeCache:
    """What is remembered of one flow.

    Args:
        folder: where such files lie.
        flow_file: path of the flow's file.
        module: what its relative imports start from.
    """

    def __init__(self, folder: str, flow_file: str, module: str) -> None:
        name = _hash(f"{os.path.abspath(flow_file)}\n{module}".encode(errors="surrogatepass"))[:24]
        self._path = os.path.join(folder, f"{name}.json")
        self._begun = time.time_ns()
        self._now: dict[str, State | None] = {}
        self._unchanged: set[str] = set()
        self._imports: dict[str, list[Statement]] = {}
        self._old = self._load()

    def _load(self) -> dict[str, Any]:
        try:
            with open(self._path, "rb") as file:
                check, _, content = file.read().partition(b"\n")
            data = json.loads(content) if check.decode() == _hash(content) else {}
            if data["format"] == _FORMAT and isinstance(data["files"], dict):
                return dict(data)
        except (OSError, ValueError, KeyError, TypeError):
            pass  # there is none, or it is of another version: then all is read
        return {"at": 0, "files": {}, "own": {}, "names": [], "imports": {}, "made": {}}

    # --- what is known --------------------------------------------------------------------------

    def names(self, own: Mapping[str, str]) -> set[str] | None:
        """Return what the flow imports from elsewhere; None = it is not known.

        Args:
            own: the files of the flow's folder: name → path.
        """
        if self._old["own"] != own or not all(map(self._same, own.values())):
            return None
        return {*self._old["names"]}

    def statements(self, path: str) -> list[Statement]:
        """Return the imports of a file."""
        known = self._old["imports"].get(path) if self._same(path) else None
        found = [(a, b, c, d) for a, b, c, d in known] if known is not None else statements(path)
        self._imports[path] = found
        return found

    def snapshot(self, files: Mapping[str, str], limit: float) -> Known | None:
        """Return what is known of the snapshot of these files; None = it must be made."""
        made = self._old["made"]
        if not made or made["files"] != files or made["size"] > limit * 1e6:
            return None
        if not all(map(self._same, files.values())):
            return None
        return Known(made["hash"], made["size"])

    def _same(self, path: str) -> bool:
        """Return whether a file is for certain the one that it was."""
        if path in self._unchanged:
            return True
        before = self._old["files"].get(path)
        state = self._state(path)
        if before is None or state is None or [*state] != before:
            return False
        if max(state[0], state[1]) + _TICK >= self._old["at"]:
            return False
        self._unchanged.add(path)
        return True

    def _state(self, path: str) -> State | None:
        if path not in self._now:
            try:
                self._now[path] = state_of(os.stat(path))
            except OSError:  # reading it will tell
                self._now[path] = None
        return self._now[path]

    # --- what is remembered ---------------------------------------------------------------------

    def remember(
        self,
        own: Mapping[str, str],
        names: Iterable[str],
        files: Mapping[str, str],
        read: Mapping[str, State],
        known: Known,
    ) -> None:
        """Write down what was found.

        Args:
            own, names: as for `names`.
            files: the files of the snapshot.
            read: path → the state in which each was read.
            known: the snapshot.
        """
        paths = {*own.values(), *self._imports}
        states = {path: self._state(path) for path in paths} | dict(read)
        data = {
            "format": _FORMAT,
            "at": self._begun,
            "files": states,
            "own": dict(own),
            "names": sorted(names),
            "imports": self._imports,
            "made": {"files": dict(files), **known._asdict()},
        }
        with suppress(OSError):  # a home that is full or read-only: then all is read each time
            content = json.dumps(data).encode()
            self._write(_hash(content).encode() + b"\n" + content)

    def _write(self, content: bytes) -> None:
        import tempfile

        folder = os.path.dirname(self._path)
        os.makedirs(folder, exist_ok=True)
        if not os.path.exists(self._path):
            _forget_old(folder)
        # Of launchers that write at the same time one wins, with a whole file.
        handle, made = tempfile.mkstemp(prefix="new-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(made, self._path)
        except BaseException:
            os.unlink(made)
            raise


def _hash(content: bytes) -> str:
    from blake3 import blake3

    return str(blake3(content).hexdigest())


def _forget_old(folder: str) -> None:
    """Remove what nobody has written for a month."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if time.time() - entry.stat().st_mtime > _OLD:
                with suppress(FileNotFoundError):  # another launcher does the same
                    os.unlink(entry.path)

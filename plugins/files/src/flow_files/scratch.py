"""Where downloaded content waits: small objects in memory, others as files that vanish at the end."""

from __future__ import annotations

import itertools
import os
import re
import threading
import weakref

from flow_files.errors import FilesError, of_disk

SMALL = 1 << 20
"""Bytes up to which an object stays in memory until somebody asks for its file."""
_MOST = 256 << 20
"""Bytes that all such objects of one `Scratch` may take together."""
_NAME = 80


class Scratch:
    """The temporary folder of one `Files`, made when it is first needed.

    It is removed by `close`, or when nobody holds this object any more, by the process that made it:
    a forked child only forgets it.

    Args:
        parent: folder in which it is made; None = the system's folder for temporary files.
    """

    def __init__(self, parent: str | None) -> None:
        self._parent = parent
        self._folder: str | None = None
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._held = 0
        self.closed = False

    def check(self) -> None:
        """Raise unless it is open."""
        if self.closed:
            raise FilesError(
                "What was downloaded is gone",
                why="temporary files vanish when the block 'with Files(…) as files:' ends, or by "
                "close()",
                hint="use the object inside of the block, or keep its .blob in a variable there",
            )

    def may_hold(self, more: int, size: int) -> bool:
        """Whether an object of ``size`` bytes may stay in memory, of which ``more`` are new."""
        if size > SMALL:
            return False
        with self._lock:
            if self._held + more > _MOST:
                return False
            self._held += more
        return True

    def release(self, size: int) -> None:
        """Say that ``size`` bytes are not in memory any more."""
        with self._lock:
            self._held -= size

    def path(self, name: str) -> str:
        """Return the path of a new file, which ends as ``name`` does."""
        number = next(self._numbers)
        base = re.sub(r"[^\w.+=@-]", "_", name.rpartition("/")[2])[-_NAME:].lstrip(".")
        return os.path.join(self._made(), f"{number}-{base}" if base else f"{number}")

    def write(self, name: str, content: bytes) -> str:
        """Write a new file; return its path."""
        path = self.path(name)
        try:
            with open(path, "xb", 0) as file:
                file.write(content)
        except OSError as error:
            raise of_disk(error, path) from error
        return path

    def close(self) -> None:
        """Remove the folder with all that is in it. Safe to call twice."""
        self.closed = True
        with self._lock:
            finalizer = self.__dict__.pop("_finalizer", None)
            self._folder = None
        if finalizer is not None:
            finalizer()

    def _made(self) -> str:
        with self._lock:
            self.check()
            if self._folder is None:
                import tempfile  # most objects are small, and nobody asks for their file

                parent = self._parent or tempfile.gettempdir()
                try:
                    self._folder = tempfile.mkdtemp(prefix="flow-files-", dir=parent)
                except OSError as error:
                    raise of_disk(error, parent) from error
                self._folder = os.path.abspath(self._folder)
                self._finalizer = weakref.finalize(self, _remove, self._folder, os.getpid())
            return self._folder


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:
        import shutil

        shutil.rmtree(folder, ignore_errors=True)

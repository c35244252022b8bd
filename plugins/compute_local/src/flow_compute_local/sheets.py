"""Sheets: files for the output of attempts that get a name only when something is written.

Most tasks write nothing. To make two files for each and delete them again would cost as much as the
fork, or more on file systems that are slow to use again what was just deleted (ext4). So a sheet is
an unnamed file (``O_TMPFILE``, Linux), used by one attempt after the other while it stays empty.
"""

from __future__ import annotations

import os

_UNNAMED = getattr(os, "O_TMPFILE", 0)
_MOST_BLANK = 64


class Sheet:
    """One file, and the path that it gets when it is not empty any more."""

    __slots__ = ("fd", "named", "path")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.path = ""
        self.named = False

    def open(self) -> int:
        """Return a descriptor to append with, whose flags are shared with no other attempt."""
        return os.open(f"/proc/self/fd/{self.fd}", os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)

    def show(self) -> None:
        """Give the file its name, if there is something in it and it has none."""
        if self.named or not os.fstat(self.fd).st_size:
            return
        try:
            self._link()
        except FileNotFoundError:
            os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._link()
        self.named = True

    def _link(self) -> None:
        # A descriptor for the source, which an absolute path does not need, makes Python use the
        # call that follows symbolic links (linkat): the only one that can name such a file.
        os.link(f"/proc/self/fd/{self.fd}", self.path, src_dir_fd=self.fd, follow_symlinks=True)


class Sheets:
    """The sheets of one server, blank ones and those in use."""

    def __init__(self) -> None:
        self._blank: list[Sheet] = []
        self._open: set[int] = set()

    def take(self, path: str) -> Sheet | None:
        """Return a blank sheet for ``path``; None where there are no unnamed files."""
        if not self._blank and not self._make(path):
            return None
        sheet = self._blank.pop()
        sheet.path = path
        return sheet

    def _make(self, path: str) -> bool:
        if not _UNNAMED:
            return False
        folder = os.path.dirname(path)
        while folder != os.path.dirname(folder) and not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        try:
            fd = os.open(folder, os.O_RDWR | _UNNAMED | os.O_CLOEXEC, 0o666)
        except OSError:
            return False  # a file system without them, or one that cannot be written: named then
        self._open.add(fd)
        self._blank.append(Sheet(fd))
        return True

    def give_back(self, sheet: Sheet, *, blank: bool) -> None:
        """Take a sheet back: to use it again when it is ``blank``, else to let it go."""
        if blank and not sheet.named and len(self._blank) < _MOST_BLANK:
            self._blank.append(sheet)
        else:
            self._open.discard(sheet.fd)
            os.close(sheet.fd)

    def close(self) -> None:
        """Close all descriptors, in a process that has inherited them."""
        for fd in self._open:
            os.close(fd)
        self._open.clear()
        self._blank.clear()

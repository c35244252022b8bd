"""The store ``file``: a folder in which nothing lies but what was written there."""

from __future__ import annotations

import os
from contextlib import suppress

from flow_core.api import UsageError
from flow_store_local.store import LocalStore


class FileStore(LocalStore):
    """Keeps objects as files below any folder of this machine, among others that lie there.

    It does so as `LocalStore` does; but every key is free, no index lies beside the objects, and the
    folder of files that are not whole yet is hidden, and goes when it is empty.

    Args:
        root: the folder, made on the first write.
        fsync: as of `LocalStore`.

    Since 0.1.
    """

    _temporary = ".flow-writing"
    _reserved = ("/.flow-writing/",)

    def __init__(self, root: str | None = None, *, fsync: bool = False) -> None:
        if not root:
            raise UsageError(
                "The store 'file' needs a folder",
                where="--datastore file",
                hint="--datastore file:///data/flows; or local, which has a folder of its own",
            )
        super().__init__(root, fsync=fsync)

    @property
    def url(self) -> str:
        """``file://`` and the absolute path of the folder."""
        return f"file://{self.root}"

    def _tidy(self) -> None:
        with suppress(OSError):  # others write there, too
            os.rmdir(f"{self.root}/{self._temporary}")

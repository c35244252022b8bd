"""The errors of files, one class for each kind, and how a store's errors become them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from flow_core.api import AccessDenied, FlowError, NotFound, StoreError, UsageError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FilesError(FlowError):
    """Something about files could not be done; the base of all that `Files` raises. Since 0.1."""


class FilesURLError(FilesError, UsageError):
    """A key, a URL or a root is not one that can be used here. Since 0.1."""


class FilesNotFound(FilesError, NotFound):
    """There is no object of this key, or no file of this path. Since 0.1."""


class FilesAccessDenied(FilesError):
    """The store refuses this to the person whose credentials are used. Since 0.1."""


class FilesInvalidRange(FilesError):
    """The range lies outside of the object. Since 0.1."""


class FilesInvalidObject(FilesError, UsageError):
    """The value cannot be content of an object. Since 0.1."""


class FilesInsufficientDiskSpace(FilesError):
    """The disk that is to hold what is downloaded is full. Since 0.1."""


@contextmanager
def reported() -> Iterator[None]:
    """Let a store's error out of a ``with`` block as one of files, with the same four parts."""
    try:
        yield
    except StoreError as error:
        raise of_store(error) from error


def of_store(error: StoreError) -> FilesError:
    """Return the error of files for one of a store."""
    kind = FilesAccessDenied if isinstance(error, AccessDenied) else FilesError
    made = kind(error.what, where=error.where, why=error.why, hint=error.hint)
    made.failure_cause = error.failure_cause
    return made


def missing(url: str, hint: str = "") -> FilesNotFound:
    """Return the error for an object that is not there."""
    return FilesNotFound(
        "There is no such object",
        where=url,
        why="nothing was put there, or it was deleted",
        hint=hint or "list what there is with list_recursive(), or pass return_missing=True",
    )


def of_disk(error: OSError, path: str, *, named: bool = False) -> FilesError:
    """Return the error for a local file that cannot be written.

    Args:
        error: what the system raised.
        path: the file.
        named: whether a person named it; else it is a temporary one.
    """
    if error.errno in _FULL:
        elsewhere = "another disk" if named else "another disk: Files(…, temporary='/big')"
        return FilesInsufficientDiskSpace(
            "The disk is full: what is downloaded does not fit",
            where=path,
            why=error.strerror,
            hint=f"free space there, or name a folder on {elsewhere}",
        )
    other = "" if named else "; that of temporary files: Files(…, temporary='/other/folder')"
    return FilesError(
        "A file cannot be written",
        where=path,
        why=error.strerror or str(error),
        hint=f"name another folder{other}",
    )

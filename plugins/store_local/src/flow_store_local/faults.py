"""What a person is told when the operating system refuses."""

from __future__ import annotations

import errno
import os

from flow_core.api import AccessDenied, StoreError

_ELSEWHERE = "or choose another place: --datastore local:///other/folder"

# error number → (why, hint); {path} is the file, {reason} the system's own words
_KNOWN = {
    errno.ENOSPC: ("the disk is full", f"free space on the disk that holds {{path}}, {_ELSEWHERE}"),
    errno.EDQUOT: ("your disk quota is used up", f"delete files of yours, {_ELSEWHERE}"),
    errno.EROFS: ("the file system is read-only", f"mount it writable, {_ELSEWHERE}"),
    errno.EACCES: (
        "permission denied",
        f"check owner and mode with: ls -ld '{{path}}', {_ELSEWHERE}",
    ),
    errno.ENOENT: (
        "the system cannot make a file or folder there, or it was removed meanwhile",
        "choose a place for files: --datastore local:///other/folder",
    ),
    errno.EFBIG: (
        "the file would be larger than is allowed",
        "raise the limit: ulimit -f unlimited",
    ),
    errno.ENAMETOOLONG: (
        "a part of the key is longer than the file system allows",
        "use shorter names: most file systems allow 255 bytes",
    ),
    errno.EMFILE: ("this process has too many open files", "raise the limit: ulimit -n 4096"),
}
_KNOWN[errno.EPERM] = _KNOWN[errno.EACCES]
_CLASH = (
    "on a file system a name is a file or a folder: keys 'a' and 'a/b' cannot both exist",
    "use another name for one of the two, or delete the one that is there",
)
_CLASHES = frozenset((errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY))


def store_error(error: OSError, what: str, path: str) -> StoreError:
    """Return the `StoreError` for a failed system call.

    Args:
        error: what the system raised.
        what: what failed, one sentence.
        path: the file that was read or written.
    """
    code = error.errno or 0
    reason = os.strerror(code) if code else str(error)
    unknown = (reason, f"check the disk that holds {path} (system log, df, ls)")
    why, hint = _CLASH if code in _CLASHES else _KNOWN.get(code, unknown)
    if blocking := _file_above(path) if code in (errno.ENOTDIR, errno.EEXIST) else None:
        why = f"'{blocking}' is a file, where a folder is needed"
        hint = "use another name or place, or move that file away"
    kind = AccessDenied if code in (errno.EACCES, errno.EPERM) else StoreError
    return kind(what, where=path, why=why, hint=hint.replace("{path}", path))


def _file_above(path: str) -> str | None:
    """Return the file that stands where a folder of ``path`` should be."""
    while path != (above := os.path.dirname(path)):
        path = above
        if os.path.exists(path):
            return None if os.path.isdir(path) else path
    return None


class Reported:
    """Context manager: an `OSError` inside becomes the `StoreError` for ``what`` and ``path``."""

    __slots__ = ("path", "what")

    def __init__(self, what: str, path: str) -> None:
        self.what = what
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise store_error(error, self.what, self.path) from error

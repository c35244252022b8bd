"""Code snapshots: the source files of a flow as one tar archive, the same bytes for the same code.

Every run keeps one, local runs too, so that any run can be checked out, compared and reproduced.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from flow_core.errors import FlowError

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
_MOST_FILES = 2000


def collect(
    flow_file: str, suffixes: Iterable[str], extra: Iterable[tuple[str, str]] = ()
) -> dict[str, str]:
    """Return the files of a snapshot: path in the archive → path on disk, sorted.

    The files below the flow's folder with one of ``suffixes``, without hidden folders, virtual
    environments and build results; the flow file always; and ``extra``.

    Raises:
        FlowError: there are more than 2,000 of them, which is no project but a home folder.
    """
    root = os.path.dirname(os.path.abspath(flow_file))
    files = {os.path.basename(flow_file): os.path.abspath(flow_file)}
    for path in _walk(root, tuple(suffixes)):
        files[os.path.relpath(path, root).replace(os.sep, "/")] = path
        if len(files) > _MOST_FILES:
            raise FlowError(
                f"The flow's folder holds more than {_MOST_FILES:,} source files",
                where=root,
                why="every run keeps a snapshot of the code beside and below the flow file",
                hint="put the flow into a folder of its own",
            )
    files.update({name: path for path, name in extra})
    return dict(sorted(files.items()))


def _walk(root: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    try:
        with os.scandir(root) as entries:
            found = sorted(entries, key=lambda e: e.name)
    except PermissionError:
        return  # others' folders below a shared one, such as /tmp
    for entry in found:
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            if entry.name not in _SKIPPED and not _is_environment(entry.path):
                yield from _walk(entry.path, suffixes)
        elif entry.name.endswith(suffixes) and entry.is_file() and os.access(entry.path, os.R_OK):
            yield entry.path


def _is_environment(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, "pyvenv.cfg")) or os.path.exists(
        os.path.join(folder, "conda-meta")
    )


def build(files: dict[str, str], limit: float) -> bytes:
    """Return the tar archive of ``files`` (archive path → disk path).

    Times, owners and the order are fixed, so that the same code has the same hash.

    Raises:
        FlowError: the archive would be larger than ``limit`` megabytes.
    """
    import io
    import tarfile

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files.items():
            with open(path, "rb") as file:
                content = file.read()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = 0o755 if os.access(path, os.X_OK) else 0o644
            archive.addfile(entry, io.BytesIO(content))
            if buffer.tell() > limit * 1e6:
                raise FlowError(
                    f"The code snapshot is larger than {limit:g} MB",
                    where=path,
                    hint="put data elsewhere, or raise the setting code_limit (FLOW_CODE_LIMIT)",
                )
    return buffer.getvalue()


def git_state(folder: str) -> dict[str, str]:
    """Return the commit and branch that are checked out in or above ``folder``, if any.

    Read from git's files: starting git would cost more than the rest of a small run's start.
    """
    while True:
        dot_git = os.path.join(folder, ".git")
        if os.path.isdir(dot_git):
            return _read_head(dot_git)
        parent = os.path.dirname(folder)
        if parent == folder:
            return {}
        folder = parent


def _read_head(dot_git: str) -> dict[str, str]:
    head = _read(os.path.join(dot_git, "HEAD"))
    if not head.startswith("ref: "):
        return {"commit": head} if head else {}
    ref = head[5:]
    commit = _read(os.path.join(dot_git, *ref.split("/"))) or _packed(dot_git, ref)
    branch = ref.removeprefix("refs/heads/")
    return {"branch": branch, "commit": commit} if commit else {"branch": branch}


def _packed(dot_git: str, ref: str) -> str:
    for line in _read(os.path.join(dot_git, "packed-refs")).splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return ""


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""  # a bare or unusual repository: the snapshot holds the code all the same

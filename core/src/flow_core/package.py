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
    environments and build results; the flow file always; and ``extra``. Of a flow in a package, the
    files of the outermost package, below its name.

    Raises:
        FlowError: there are more than 2,000 of them, which is no project but a home folder.
    """
    flow_file = os.path.abspath(flow_file)
    root = top_folder(flow_file)
    files = {os.path.relpath(flow_file, root).replace(os.sep, "/"): flow_file}
    package = os.path.relpath(os.path.dirname(flow_file), root).partition(os.sep)[0]
    for path in _walk(os.path.normpath(os.path.join(root, package)), tuple(suffixes)):
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


def top_folder(file: str) -> str:
    """Return the folder of a file; of one in a package, the folder of the outermost package."""
    folder = os.path.dirname(os.path.abspath(file))
    while os.path.exists(os.path.join(folder, "__init__.py")):
        above = os.path.dirname(folder)
        if above == folder or not os.path.basename(folder).isidentifier():
            break
        folder = above
    return folder


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
    """Return the tar archive of ``files`` (archive path → disk path); errors as `archive`."""
    read = ((n, _content(path), os.access(path, os.X_OK), path) for n, path in files.items())
    return archive(read, limit)


def archive(files: Iterable[tuple[str, bytes, bool, str]], limit: float) -> bytes:
    """Return the tar archive of files: path in the archive, content, executable, place for people.

    Times, owners and the order are fixed, so that the same code has the same hash.

    Raises:
        FlowError: the archive would be larger than ``limit`` megabytes.
    """
    parts: list[bytes] = []
    size = 0
    for name, content, executable, place in files:
        parts += [_tar_header(name, len(content), executable), content, bytes(-len(content) % 512)]
        size += len(content) + 1024
        if size > limit * 1e6:
            raise FlowError(
                f"The code snapshot is larger than {limit:g} MB",
                where=place,
                hint="put data elsewhere, or raise the setting code_limit (FLOW_CODE_LIMIT)",
            )
    return b"".join([*parts, bytes(1024)])


def _tar_header(name: str, size: int, executable: bool) -> bytes:
    """Return the header of one file. Only names that need it pay for the import of `tarfile`."""
    mode = 0o755 if executable else 0o644
    if len(name) > 100 or not name.isascii():
        import tarfile

        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = size, mode
        return entry.tobuf(tarfile.PAX_FORMAT)
    fields = (f"{mode:07o}", "0" * 7, "0" * 7, f"{size:011o}", "0" * 11)
    head = name.encode().ljust(100, b"\0") + "".join(f"{f}\0" for f in fields).encode()
    rest = b"0" + bytes(100) + b"ustar\00000"
    checksum = sum(head) + sum(rest) + 8 * ord(" ")
    return (head + f"{checksum:06o}\0 ".encode() + rest).ljust(512, b"\0")


def git_state(folder: str) -> dict[str, str]:
    """Return the commit and branch that are checked out in or above ``folder``, if any.

    Read from git's files: starting git would cost more than the rest of a small run's start.
    """
    while True:
        dot_git = os.path.join(folder, ".git")
        if os.path.isdir(dot_git):
            return _read_head(dot_git, dot_git)
        pointer = _read(dot_git)  # a worktree has a file that names its folder in the repository
        if pointer.startswith("gitdir: "):
            own = os.path.join(folder, pointer[8:])
            shared = _read(os.path.join(own, "commondir")) or "."
            return _read_head(own, os.path.join(own, shared))
        parent = os.path.dirname(folder)
        if parent == folder:
            return {}
        folder = parent


def _read_head(own: str, shared: str) -> dict[str, str]:
    """Return what ``HEAD`` in the folder ``own`` names; the branches are in ``shared``."""
    head = _read(os.path.join(own, "HEAD"))
    if not head.startswith("ref: "):
        return {"commit": head} if head else {}
    ref = head[5:]
    commit = _read(os.path.join(shared, *ref.split("/"))) or _packed(shared, ref)
    branch = ref.removeprefix("refs/heads/")
    return {"branch": branch, "commit": commit} if commit else {"branch": branch}


def _packed(dot_git: str, ref: str) -> str:
    for line in _read(os.path.join(dot_git, "packed-refs")).splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return ""


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise FlowError(
            "A file of the code snapshot cannot be read",
            where=path,
            why=error.strerror,
            hint="every run keeps the source files beside and below the flow file: "
            "make it readable, or move it away",
        ) from None


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""  # a bare or unusual repository: the snapshot holds the code all the same

"""Code snapshots: the source files of a flow as one tar archive, the same bytes for the same code.

Every run keeps one, local runs too, so that any run can be checked out, compared and reproduced.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Mapping
from typing import NamedTuple

from flow_core.errors import FlowError, IntegrityError, StoreError

_TRIES = 5
"""Times that a file is read again because it has changed meanwhile."""


def code_folder(file: str) -> str:
    """Return the folder in which the code of a flow's file begins, as its snapshot has it.

    It is the folder of the file; of one in a package, the folder of the outermost package. Since 0.1.
    """
    folder = os.path.dirname(os.path.abspath(file))
    while os.path.exists(os.path.join(folder, "__init__.py")):
        above = os.path.dirname(folder)
        if above == folder or not os.path.basename(folder).isidentifier():
            break
        folder = above
    return folder


@functools.lru_cache(maxsize=256)
def path_anywhere(file: str) -> str:
    """Return the path of a source file without what is another on each machine: its name, and before
    that its packages: ``pandas/core/frame.py``. What is no path, ``<stdin>``, stays as it is.

    Since 0.1.
    """
    if not os.path.isabs(file):
        return file
    # One object for one path, always: pickle writes a text that it has met before as a reference.
    return sys.intern(os.path.relpath(file, code_folder(file)).replace(os.sep, "/"))


class CodeFile(NamedTuple):
    """A file of a code snapshot: its bytes, and whether it may be executed. Since 0.1."""

    content: bytes
    executable: bool = False


def pack(files: Mapping[str, CodeFile], limit: float) -> bytes:
    """Return the tar archive of files, by their paths in it.

    Times, owners and the order are fixed, so that the same code has the same bytes everywhere.

    Raises:
        FlowError: the archive would be larger than ``limit`` megabytes.
    """
    check_size({name: len(file.content) for name, file in files.items()}, limit)
    parts: list[bytes] = []
    for name in sorted(files):
        content, executable = files[name]
        parts += [_tar_header(name, len(content), executable), content, bytes(-len(content) % 512)]
    return b"".join([*parts, bytes(1024)])


def check_size(sizes: Mapping[str, int], limit: float) -> None:
    """Raise `FlowError` when files of these sizes make more than ``limit`` megabytes."""
    size = sum(sizes.values()) + 1024 * len(sizes)
    if size <= limit * 1e6:
        return
    largest = sorted(sizes, key=lambda name: (-sizes[name], name))[:3]
    told = ", ".join(f"{name} ({sizes[name] / 1e6:.1f} MB)" for name in largest)
    raise FlowError(
        f"The code snapshot is larger than {limit:g} MB",
        where=largest[0],
        why=f"it would have {size / 1e6:.1f} MB; the largest files: {told}",
        hint=f"leave out what is no code: a line '/{largest[0]}' in .flowignore; "
        "or raise the setting code_limit (FLOW_CODE_LIMIT)",
    )


def read_file(path: str) -> tuple[CodeFile, State]:
    """Return a file as a snapshot has it, and the state in which it was read.

    A file that changes while it is read is read again.

    Raises:
        PermissionError: it may not be read.
        FlowError: it cannot be read, or does not stop changing.
    """
    try:
        for _ in range(_TRIES):
            with open(path, "rb", buffering=0) as file:
                before = state_of(os.fstat(file.fileno()))
                content = file.readall()
                after = state_of(os.fstat(file.fileno()))
            if before == after and len(content) == before[2]:
                return CodeFile(content, before[4]), before
    except PermissionError:
        raise
    except OSError as error:
        raise unreadable(path, error) from None
    raise FlowError(
        "A file of the code snapshot changes while it is read",
        where=path,
        why="something writes to it all the time",
        hint="end that, or leave the file out: name it in .flowignore",
    )


def unreadable(path: str, error: OSError) -> FlowError:
    """Return the error for a file that a snapshot needs, and that cannot be read."""
    return FlowError(
        "A file of the code snapshot cannot be read",
        where=path,
        why=error.strerror,
        hint="every run keeps the source files beside and below the flow file: "
        "make it readable, or move it away",
    )


State = tuple[int, int, int, int, bool]
"""Times of content and of state in nanoseconds, size, inode, and whether the owner may execute it."""


def state_of(stat: os.stat_result) -> State:
    """Return what tells whether a file has changed."""
    executable = os.name != "nt" and bool(stat.st_mode & 0o100)
    return stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino, executable


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


def read_code(archive: bytes, what: str) -> dict[str, CodeFile]:
    """Return the files of a code snapshot by their paths in it, sorted.

    Args:
        archive: ``session.artifacts.get_bytes(document.code, what)``.
        what: names the snapshot in errors: ``the code of run F/3``.

    Raises:
        IntegrityError: it is no such archive.

    Since 0.1.
    """
    import io
    import tarfile

    files: dict[str, CodeFile] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            for entry in tar:
                file = tar.extractfile(entry) if entry.isreg() else None
                if file is not None:
                    files[entry.name] = CodeFile(file.read(), bool(entry.mode & 0o100))
    except tarfile.TarError as error:
        raise IntegrityError(
            f"{what[:1].upper()}{what[1:]} cannot be read", why=str(error)
        ) from None
    return dict(sorted(files.items()))


def write_code(files: Mapping[str, CodeFile], folder: str, *, overwrite: bool = False) -> list[str]:
    """Write the files of a code snapshot below ``folder``, which is made; return their paths.

    Nothing is written outside of it, whatever the snapshot holds, and unless ``overwrite`` is given
    nothing that is there is replaced: then nothing is written at all.

    Raises:
        FlowError: a file is there already and differs, or cannot be written.
        StoreError: the snapshot holds a path that leads elsewhere.

    Since 0.1.
    """
    targets = {name: _target(folder, name) for name in files}
    there = [n for n, path in targets.items() if os.path.lexists(path)]
    differing = [n for n in there if _differs(targets[n], files[n].content)]
    if differing and not overwrite:
        raise FlowError(
            f"'{differing[0]}' is in the folder already, and differs",
            where=folder,
            why="writing the snapshot there would replace "
            + (f"{len(differing)} files" if len(differing) > 1 else "it"),
            hint="choose an empty folder",
        )
    try:
        for name, (content, executable) in files.items():
            os.makedirs(os.path.dirname(targets[name]), exist_ok=True)
            with open(targets[name], "wb") as file:
                file.write(content)
            if executable:
                os.chmod(targets[name], 0o755)
    except OSError as error:
        raise FlowError(
            "The code snapshot cannot be written out",
            where=str(error.filename or folder),
            why=error.strerror,
            hint="choose a folder in which you may write",
        ) from None
    return list(targets.values())


def _target(folder: str, name: str) -> str:
    parts = name.split("/")
    if os.path.isabs(name) or ".." in parts or "" in parts or os.path.splitdrive(name)[0]:
        raise StoreError(
            f"The code snapshot holds the path '{name}', which leads elsewhere",
            hint="look into it: flow code list, flow code show",
        )
    target = os.path.join(folder, *parts)
    real, top = os.path.realpath(os.path.dirname(target)), os.path.realpath(folder)
    if os.path.commonpath([real, top]) != top:
        raise StoreError(
            f"'{name}' would be written outside of the folder",
            where=folder,
            why="a link in the folder leads elsewhere",
            hint="choose an empty folder",
        )
    return target


def _differs(path: str, content: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read() != content
    except OSError:
        return True


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


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""  # a bare or unusual repository: the snapshot holds the code all the same

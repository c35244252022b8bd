"""Code snapshots: the source files of a flow as one tar archive, the same bytes for the same code.

Every run keeps one, local runs too, so that any run can be checked out, compared and reproduced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from flow_core.errors import FlowError, IntegrityError, StoreError

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
    root = code_folder(flow_file)
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


def has_others(files: Mapping[str, str], foreign: Collection[str]) -> bool:
    """Whether modules are loaded that may be the person's own and are not among ``files``.

    Args:
        files: as from `collect`.
        foreign: top-level names of modules that are not the person's own.
    """
    known = {*files.values()}
    standard = os.path.dirname(os.__file__) + os.sep
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__dict__", {}).get("__file__")  # some modules import what is asked
        if not isinstance(path, str) or path.startswith(standard) or "-packages" in path:
            continue
        if path.endswith(".py") and path not in known and name.partition(".")[0] not in foreign:
            return True
    return False


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


class CodeFile(NamedTuple):
    """A file of a code snapshot: its bytes, and whether it may be executed. Since 0.1."""

    content: bytes
    executable: bool = False


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

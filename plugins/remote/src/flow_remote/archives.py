"""Archives of distributions as they are installed here: the same bytes for the same files."""

from __future__ import annotations

import importlib.util
import io
import json
import marshal
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_LEVEL = 6
_DATE = (1980, 1, 1, 0, 0, 0)
_SKIPPED = ("__pycache__", "tests")
_METADATA = ("METADATA", "PKG-INFO", "WHEEL", "entry_points.txt")
_OTHER_FORMS = {"zstandard": ("_cffi.", "backend_cffi.")}
"""Modules of compiled distributions that only other kinds of Python use, by their beginnings."""

COMPILER = """
import marshal, sys
for line in sys.stdin.buffer.read().decode().split("\\0"):
    with open(line, "rb") as file:
        source = file.read()
    try:
        code = compile(source, line.rpartition("/")[2], "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        code = None
    marshal.dump(code and marshal.dumps(code), sys.stdout.buffer)
"""
"""A program that compiles files: in a process of its own, since the bytes hang on what else there is."""


class File(NamedTuple):
    """One file of an archive.

    Attributes:
        path: where it lies on this machine.
        size, changed: size, and time of change: what tells without a look whether it is the same.
        compiled: whether it goes along also as this version of Python compiles it, which then takes
            that without a look at the source; other versions take no notice of it.
    """

    path: str
    size: int
    changed: int
    compiled: bool = False


def list_files(
    contents: Mapping[str, str], distribution: str = "", *, compiled: bool = False
) -> dict[str, File]:
    """Return path in the archive → file, sorted.

    Left out are tests, what Python has compiled, what only type checkers read, and of metadata what
    says where it was installed.

    Args:
        contents: path in the archive → file or folder on this machine.
        distribution: whose they are, by its normalised name.
        compiled: whether its modules go along compiled, too: worth it where a task imports most.
    """
    skipped = _OTHER_FORMS.get(distribution, ())
    found: dict[str, File] = {}
    for name, path in contents.items():
        for inner, entry in _walk(name, path):
            file = inner.rpartition("/")[2]
            folder = inner.rpartition("/")[0]
            if file.endswith((".pyc", ".pyi")) or (skipped and file.startswith(skipped)):
                continue
            if folder.endswith((".dist-info", ".egg-info")) and file not in _METADATA:
                continue
            source = file.endswith(".py") and "/testing/" not in inner
            found[inner] = entry._replace(compiled=compiled and source)
    return dict(sorted(found.items()))


def _walk(name: str, path: str) -> Iterator[tuple[str, File]]:
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        yield name, File(path, status.st_size, status.st_mtime_ns)
        return
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name not in _SKIPPED:
                yield from _walk(f"{name}/{entry.name}", entry.path)


def make_archive(files: Mapping[str, File]) -> tuple[bytes, int]:
    """Return an archive, and how many bytes it becomes.

    Args:
        files: path in the archive → file.
    """
    made, unpacked = io.BytesIO(), 0
    codes = _compile([file.path for file in files.values() if file.compiled])
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
        for name, file in files.items():
            with open(file.path, "rb") as opened:
                content = opened.read()
            unpacked += _add(archive, name, content)
            if name.endswith(".dist-info/METADATA") and name.count("/") > 1:
                unpacked += _add(archive, *_record(name, files))
            code = codes.get(file.path)
            if code is not None:
                header = importlib.util.MAGIC_NUMBER + (1).to_bytes(4, "little")
                header += importlib.util.source_hash(content)
                unpacked += _add(archive, importlib.util.cache_from_source(name), header + code)
    return made.getvalue(), unpacked


def _record(metadata: str, files: Mapping[str, File]) -> tuple[str, bytes]:
    """Return name and content of the list of a distribution's files, which lies beside its metadata.

    Not the one that is there: that tells how and where it was installed.
    """
    folder = metadata.rpartition("/")[0]
    root = folder.rpartition("/")[0] + "/"
    lines = (f"{name[len(root) :]},,\n" for name in files if name.startswith(root))
    return f"{folder}/RECORD", "".join(lines).encode()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> int:
    entry = zipfile.ZipInfo(name, _DATE)
    # Else nothing in a package is a program.
    mode = 0o755 if name.rpartition("/")[0].endswith("bin") else 0o644
    entry.external_attr = (stat.S_IFREG | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # whatever makes it: the bytes are the same
    archive.writestr(entry, content)
    return len(content)


def _compile(paths: list[str]) -> dict[str, bytes]:
    """Return path → compiled form, for those that this Python can compile."""
    if not paths:
        return {}
    # Before 3.11 sets among the constants are written in the order of their hashes.
    variables = {n: v for n, v in os.environ.items() if not n.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-S", "-c", COMPILER],
        env={**variables, "PYTHONHASHSEED": "0"},
        input="\0".join(paths).encode(),
        capture_output=True,
        check=True,
    )
    stream = io.BytesIO(done.stdout)
    codes = ((path, marshal.load(stream)) for path in paths)
    return {path: code for path, code in codes if code is not None}


def fingerprint(files: Mapping[str, File]) -> bytes:
    """Return what is the same as long as nobody touches the files: it is found without reading them."""
    known = [[name, *file] for name, file in files.items()]
    return json.dumps(known, separators=(",", ":")).encode()

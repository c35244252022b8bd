"""The runtime for machines that have none: flow-core, the plugins and what they need, in the store.

It has three parts, each a zip archive under ``runtime/<its SHA-256>``:

* ``flow``: flow-core and the plugins, but those that only add commands, pure Python;
* ``libraries``: what these need of other people, pure Python;
* ``compiled``: what of that is compiled, with all that it needs, for this Python, system, processor
  and C library only.

Of the last two an image takes only what it lacks, or has in a version that will not do.

A part is made once from the files that are installed here, and again when one of them has changed:
this machine keeps the archives, and knows by names, sizes and times which one it is. So a run, from
the second on, asks the store one question.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any, NamedTuple

from flow_core.api import (
    Luggage,
    ObjectInfo,
    Requirement,
    Runtime,
    Settings,
    Store,
    StoreError,
    find_compiled,
)
from flow_remote import archives
from flow_remote.boot import this_machine

_REMOTE = "flow-remote"
_METADATA = (".dist-info", ".egg-info")
_FORM = 1
"""Of what is kept: a higher number makes all archives anew."""
_REFRESH = 86400.0
"""Seconds after which an archive in the store counts as used once more: see `flow_remote.leftovers`."""
_KEPT = 30 * 86400.0
"""Seconds that an archive is kept which nobody uses."""


class RuntimePart(NamedTuple):
    """An archive with a part of the runtime: see `flow_remote.boot.choose`.

    Attributes:
        key: in the store.
        sha256: of the archive.
        size: of the archive, in bytes.
        unpacked: how many bytes it becomes.
        name: ``flow``, ``libraries`` or ``compiled``.
        python, platform, libc: what it is for; None = any.
        provides: name → version of the distributions in it that an image may have itself; each has
            a folder of its own.
        ranges: name → the versions of these that will do.
    """

    key: str
    sha256: str
    size: int
    unpacked: int
    name: str
    python: str | None
    platform: str | None
    libc: str | None
    provides: Mapping[str, str]
    ranges: Mapping[str, str]


class RuntimeBundle(NamedTuple):
    """The runtime of a run.

    Attributes:
        parts: in the order in which Python looks for modules in them.
        installed: name → version of the distributions with which a machine needs no parts.
    """

    parts: tuple[RuntimePart, ...]
    installed: Mapping[str, str]

    def document(self) -> dict[str, Any]:
        """Return ``runtime`` and ``installed`` of a specification."""
        return {
            "runtime": [part._asdict() for part in self.parts],
            "installed": dict(self.installed),
        }


class _Wanted(NamedTuple):
    """What a part is to hold."""

    name: str
    files: Mapping[str, archives.File]
    marks: Mapping[str, str | None]
    provides: Mapping[str, str] = {}
    ranges: Mapping[str, str] = {}


def make_runtime(runtime: Runtime, store: Store, folder: str | None = None) -> RuntimeBundle:
    """Return the runtime for tasks on other machines; its parts lie in the store then.

    Args:
        runtime: the session, or another runtime: it says what a task needs.
        store: the store of the run.
        folder: where archives are kept on this machine; None = with what else flow-core caches.

    Raises:
        PluginError: a plugin, or what it needs, is not installed here as a package.
        StoreError: the store cannot be written.

    Since 0.1.
    """
    luggage = runtime.luggage(store.url)
    keeper = _Keeper(folder or os.path.join(Settings().cache_folder(), "runtimes"))
    parts = [keeper.part(wanted) for wanted in _wanted(luggage) if wanted.files]
    found = list(store.describe([part.key for part in parts]))
    missing = [part for part, there in zip(parts, found, strict=True) if not _use(store, there)]
    if missing:
        store.write((part.key, keeper.content(part)) for part in missing)
    return RuntimeBundle(tuple(parts), _installed(luggage))


def _use(store: Store, there: ObjectInfo | None) -> bool:
    """Say whether an archive is in the store; it counts as used now."""
    if there is None or time.time() - there.modified < _REFRESH:
        return there is not None
    return store.refresh(there.key, _REFRESH)


def _wanted(luggage: Luggage) -> list[_Wanted]:
    anywhere = dict.fromkeys(("python", "platform", "libc"))
    # What was written for flow-core is no library to a person, whose image may have none of it.
    libraries = {n: c for n, c in luggage.libraries.items() if not _is_ours(n)}
    own = {n: c for n, c in luggage.libraries.items() if _is_ours(n)}
    ranges = {name: _range(luggage.needed.get(name, ())) for name in libraries}
    versions = {name: luggage.versions[name] for name in libraries}
    # This goes along, too, where no plugin that builds on it is installed: in tests of one.
    own.setdefault(_REMOTE, {"flow_remote": os.path.dirname(os.path.abspath(__file__))})
    own.update({n: c for n, c in luggage.own.items() if not _has_only_commands(c)})
    flow: dict[str, archives.File] = {}
    for name, contents in own.items():
        used = name == _REMOTE or name in luggage.used
        flow |= archives.list_files(contents, name, compiled=used)
    compiled = find_compiled(luggage)
    return [
        _Wanted("flow", dict(sorted(flow.items())), anywhere),
        _Wanted("libraries", _files(libraries), anywhere, versions, ranges),
        _Wanted(
            "compiled",
            _files({name: one.contents for name, one in compiled.items()}),
            this_machine(),
            {name: one.version for name, one in compiled.items()},
            {name: one.range for name, one in compiled.items()},
        ),
    ]


def _files(distributions: Mapping[str, Mapping[str, str]]) -> dict[str, archives.File]:
    """Return the files of distributions, each in a folder of its own, so that an image which has one
    of them need not get ours."""
    found = {
        f"{name}/{inner}": file
        for name, contents in distributions.items()
        for inner, file in archives.list_files(contents, name).items()
    }
    return dict(sorted(found.items()))


def _range(requirements: Iterable[Requirement]) -> str:
    return ",".join(dict.fromkeys(one.range for one in requirements if one.range))


def _installed(luggage: Luggage) -> dict[str, str]:
    """Return the distributions that bring all others with them, where they are installed."""
    needed = {name for name in luggage.needed if _is_ours(name)}
    names = luggage.used | needed
    found = {name: luggage.versions[name] for name in names & luggage.versions.keys()}
    found[_REMOTE] = luggage.versions.get(_REMOTE) or version(_REMOTE)
    return dict(sorted(found.items()))


def _has_only_commands(contents: Mapping[str, str]) -> bool:
    """Whether a plugin only adds to the command line, where nobody types: files are dear to write."""
    for name, path in contents.items():
        if name.endswith(_METADATA):
            with suppress(OSError):
                with open(os.path.join(path, "entry_points.txt"), encoding="utf-8") as file:
                    groups = re.findall(r"^\[(flow\..*)\]", file.read(), re.MULTILINE)
                return set(groups) == {"flow.commands"}
    return False


def _is_ours(name: str) -> bool:
    return name.startswith("flow-")


class _Keeper:
    """The archives that this machine keeps.

    ``<fingerprint>.json`` tells which archive has been made of files with these names, sizes and
    times; ``<SHA-256>.zip`` is one. Both are whole or not there.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        os.makedirs(folder, exist_ok=True)

    def part(self, wanted: _Wanted) -> RuntimePart:
        """Return a part, made if it is not there."""
        known = archives.fingerprint(wanted.files) + json.dumps([_FORM, this_machine()]).encode()
        path = os.path.join(self._folder, f"{hashlib.sha256(known).hexdigest()}.json")
        with suppress(OSError, ValueError, KeyError, TypeError):
            with open(path, encoding="ascii") as file:
                found = json.load(file)
            digest, size, unpacked = found["sha256"], found["size"], found["unpacked"]
            os.utime(self._archive(digest))  # somebody uses it
            os.utime(path)
            return _part(wanted, digest, size, unpacked)
        content, unpacked = archives.make_archive(wanted.files)
        digest = hashlib.sha256(content).hexdigest()
        made = {"sha256": digest, "size": len(content), "unpacked": unpacked}
        self._write(self._archive(digest), content)
        self._write(path, json.dumps(made).encode())
        self._sweep()
        return _part(wanted, digest, len(content), unpacked)

    def content(self, part: RuntimePart) -> bytes:
        """Return an archive.

        Raises:
            StoreError: it was damaged on this machine's disk; the next call makes it anew.
        """
        path = self._archive(part.sha256)
        with open(path, "rb") as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != part.sha256:
            os.unlink(path)
            raise StoreError(
                "An archive of flow-core's runtime is damaged on this machine",
                where=path,
                why="its SHA-256 is another one than when it was made",
                hint="run it again: the archive is made anew",
            )
        return content

    def _archive(self, digest: str) -> str:
        return os.path.join(self._folder, f"{digest}.zip")

    def _write(self, path: str, content: bytes) -> None:
        temporary = f"{path}.new-{os.getpid()}-{os.urandom(4).hex()}"
        try:
            with open(temporary, "xb") as file:
                file.write(content)
            os.replace(temporary, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(temporary)

    def _sweep(self) -> None:
        oldest = time.time() - _KEPT
        for entry in os.scandir(self._folder):
            with suppress(FileNotFoundError):  # another process sweeps, too
                if entry.stat().st_mtime < oldest:
                    os.unlink(entry.path)


def _part(wanted: _Wanted, digest: str, size: int, unpacked: int) -> RuntimePart:
    key = f"runtime/{digest}"
    marks = wanted.marks
    return RuntimePart(
        key,
        digest,
        size,
        unpacked,
        wanted.name,
        marks["python"],
        marks["platform"],
        marks["libc"],
        wanted.provides,
        wanted.ranges,
    )

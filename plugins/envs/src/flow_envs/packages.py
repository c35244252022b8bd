"""The packages of a lock, and how those of two locks differ.

Locks are the providers' own, but most name their packages in one of few ways: a list ``packages``, or
``package``, of mappings with ``name`` and ``version``, or a mapping from names to versions; the lock of
another tool stands in them as data, or as the text of a ``pylock.toml``. What a lock does not tell so, its
environment does, once it is built.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from flow_core.api import EnvironmentLock, ReadyEnvironment


class Package(NamedTuple):
    """A package.

    Attributes:
        name: its name.
        version: its version; ``''`` = the lock does not say.
        source: where it comes from, as far as the lock says: a URL, a channel, a file.
    """

    name: str
    version: str
    source: str = ""


class Change(NamedTuple):
    """A package in two locks; ``''`` where it is not in one."""

    name: str
    old: str
    new: str

    @property
    def text(self) -> str:
        """``rates 1.0 → 1.4``, ``+ rates 1.4``, ``- rates 1.0``."""
        if self.old and self.new:
            return f"{self.name} {self.old} → {self.new}"
        return f"+ {self.name} {self.new}" if self.new else f"- {self.name} {self.old}"


def packages_of(
    lock: EnvironmentLock | None, ready: ReadyEnvironment | None = None
) -> list[Package]:
    """Return the packages of an environment, by name: those of its lock, else those that it has."""
    found = [] if lock is None else sorted(_read(lock.data), key=lambda p: _plain(p.name))
    if not found and ready is not None:
        found = [Package(name, version) for name, version in sorted(ready.packages.items())]
    return found


def _read(data: Mapping[str, Any]) -> Iterator[Package]:
    for name, value in data.items():
        if name in ("packages", "package"):
            yield from _listed(value)
        elif isinstance(value, Mapping):
            yield from _read(value)
        elif isinstance(value, str) and "[[packages]]" in value:
            yield from _read(_toml(value))


def _listed(packages: Any) -> Iterator[Package]:
    if isinstance(packages, Mapping):
        yield from (Package(str(n), v) for n, v in packages.items() if isinstance(v, str))
    elif isinstance(packages, list):
        yield from (_package(p) for p in packages if isinstance(p, Mapping) and "name" in p)


def _toml(text: str) -> Mapping[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        found: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return {}
    return found


def _package(data: Mapping[str, Any]) -> Package:
    return Package(str(data["name"]), str(data.get("version") or ""), _source(data))


def _source(data: Mapping[str, Any]) -> str:
    """Return where a package comes from: the first that a lock says, the most exact first."""
    for key in ("url", "file", "path"):
        if isinstance(data.get(key), str):
            return _harmless_url(data[key])
    for key in ("vcs", "directory", "archive", "sdist"):
        inner = data.get(key)
        if isinstance(inner, Mapping):
            return _source(inner)
    wheels = data.get("wheels")
    if isinstance(wheels, list) and wheels and isinstance(wheels[0], Mapping):
        return _source(wheels[0])
    for key in ("channel", "index", "source"):
        if isinstance(data.get(key), str):
            return _harmless_url(data[key])
    return ""


def _harmless_url(text: str) -> str:
    """Return a URL without what a person signs in with."""
    parts = urlsplit(text)
    if parts.hostname is None or (parts.username is None and parts.password is None):
        return text
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def changes(old: list[Package], new: list[Package]) -> list[Change]:
    """Return what differs in versions, by name."""
    before = {_plain(p.name): p for p in old}
    after = {_plain(p.name): p for p in new}
    found = []
    for name in sorted({*before, *after}):
        one, two = before.get(name), after.get(name)
        versions = (one.version or "?" if one else "", two.version or "?" if two else "")
        if versions[0] != versions[1]:
            found.append(Change((two or one or Package(name, "")).name, *versions))
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")

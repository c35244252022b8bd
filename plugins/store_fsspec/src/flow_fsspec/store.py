"""The store of a URL whose scheme fsspec knows."""

from __future__ import annotations

import errno
import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.api import (
    AccessDenied,
    Bootstrap,
    FsspecStore,
    Settings,
    StoreError,
    UsageError,
)
from flow_fsspec.schemes import filesystem_class
from flow_fsspec.settings import declare, options_of

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_SFTP = ("sftp", "ssh")
_OF_OBJECTS = frozenset(
    (
        "abfs",
        "abfss",
        "adl",
        "az",
        "gcs",
        "gs",
        "hf",
        "oci",
        "ocilake",
        "oss",
        "s3",
        "s3a",
        "swift",
        "tos",
    )
)
"""Protocols of services that show all of an object or nothing."""
_MEMORY = threading.RLock()
"""Held while files in memory are used, of which there is one set for all of the process."""


class _Kind(NamedTuple):
    """What a filesystem can do.

    Attributes:
        shared, atomic, in_process: as of `FsspecStore`.
        create_only: how it finds out who is the first: ``""`` = not at all; else ``pipe``, by
            `pipe_file`; ``link``, by a link on this machine; ``rename``, as SFTP does.
        lock: held while it is used.
    """

    shared: bool = True
    atomic: bool = False
    in_process: bool = False
    create_only: str = ""
    lock: AbstractContextManager[Any] | None = None


def open_url(url: str) -> UrlStore:
    """Open the store of a URL.

    Args:
        url: ``scheme://place``.

    Raises:
        UsageError: fsspec does not know the scheme.
        PluginError: the filesystem needs a package that is not installed.
        UsageError: the URL does not say where.

    Since 0.1.
    """
    return UrlStore(url)


class UrlStore(FsspecStore):
    """A store on the filesystem of fsspec that a URL names.

    Connections are made on first use. What is not thread-safe, such as SFTP, is used by one thread
    at a time.

    Args:
        url: ``sftp://host/folder``, ``memory://name``, …

    Attributes:
        protocol: scheme of the URL.

    Since 0.1.
    """

    def __init__(self, url: str) -> None:
        self.protocol, _, place = url.partition("://")
        self._class = filesystem_class(self.protocol)
        self._refuse_password(url)
        kind = _kind(self.protocol, self._class)
        self._create_by = kind.create_only
        root = _root(self._class, self.protocol, url)
        if not root.strip("/") and not kind.in_process:
            raise UsageError(
                f"The store '{url}' needs a place",
                where=url,
                why="its URL names no folder, or bucket",
                hint=f"--datastore {self.protocol}://{place.rstrip('/') or 'host'}/folder",
            )
        if kind.create_only == "link":
            url = f"{self.protocol}://{root}"
        super().__init__(
            self._open,
            root,
            url.rstrip("/") if place.strip("/") else f"{self.protocol}://",
            shared=kind.shared,
            create_only=bool(kind.create_only),
            atomic=kind.atomic,
            in_process=kind.in_process,
            lock=kind.lock,
        )

    @property
    def filesystem(self) -> Any:
        """The filesystem, of this process; connected anew, where its connection is gone."""
        found = super().filesystem
        if getattr(found, "alive", True):
            return found
        self.forget()
        with suppress(Exception):
            found.client.close()
        return super().filesystem

    def bootstrap(self) -> Bootstrap | None:
        """Return how a Python that has flow-fsspec reads objects; None where other processes cannot."""
        if self.capabilities.in_process:
            return None
        from importlib.resources import files

        source = files("flow_fsspec").joinpath("fetch.py").read_text(encoding="utf-8")
        return Bootstrap(source, {"url": self.url}, needs=("flow-fsspec",))

    def move_new(self, filesystem: Any, old: str, new: str) -> bool:
        """Move an object to where there is none, and say whether there was none."""
        try:
            if self._create_by == "link":
                os.link(old, new)
                os.unlink(old)
            else:
                filesystem.rename_new(old, new)
        except FileNotFoundError:
            raise
        except OSError:
            if not filesystem.isfile(new):
                raise
            return False
        return True

    def explain(self, error: Exception, what: str) -> StoreError:
        """Return the error for a person."""
        found = self._explained(error)
        if found is None:
            return super().explain(error, what)
        why, hint = found
        refused = isinstance(error, PermissionError) or "Authentication" in type(error).__name__
        return (AccessDenied if refused else StoreError)(what, where=self.url, why=why, hint=hint)

    def _explained(self, error: Exception) -> tuple[str, str] | None:
        host = self.url.partition("://")[2].partition("/")[0].rpartition("@")[2]
        if self.protocol in _SFTP:
            from flow_fsspec.sftp import explained

            if found := explained(error, host.partition(":")[0]):
                return found
        if (
            isinstance(error, NotImplementedError)
            or getattr(error, "errno", 0) == errno.EROFS
            or "read only" in str(error).lower()
        ):
            return (
                f"the filesystem '{self.protocol}' can only be read, or lacks what a store needs",
                "--datastore with a store that can be written, such as local or s3://bucket/prefix",
            )
        if isinstance(error, socket.gaierror):
            return f"there is no host '{host}': {error.strerror}", "check the URL of the store"
        if isinstance(error, ConnectionRefusedError) or "Unable to connect" in str(error):
            return f"nothing listens at {host}", "check host and port, and whether the server runs"
        if isinstance(error, TimeoutError):
            return f"{host} did not answer in time", "check host and port, and the network"
        return None

    def _open(self) -> Any:
        """Make the filesystem: with what the URL says, then the setting, then fsspec's own files."""
        settings = Settings()
        declare(settings)
        names = self._class.protocol
        names = [names] if isinstance(names, str) else list(names)
        options = options_of(names, settings) | self._class._get_kwargs_from_urls(self.url)
        options.pop("protocol", None)
        made = self._class
        if self.protocol in _SFTP:
            from flow_fsspec.sftp import SFTP

            made = SFTP
        try:
            return made(**options, skip_instance_cache=True)
        except TypeError as error:
            raise UsageError(
                f"The filesystem '{self.protocol}' does not take these options, or needs others",
                where=self.url,
                why=str(error).partition("__init__() ")[2] or str(error),
                hint=f'FLOW_FSSPEC_OPTIONS=\'{{"{self.protocol}": {{"name": "value"}}}}\'; its options: '
                f"python -c 'import {made.__module__} as m; help(m.{made.__qualname__})'",
            ) from error

    def _refuse_password(self, url: str) -> None:
        person, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
        if at and ":" in person:
            name = person.partition(":")[0]
            raise UsageError(
                "A password in a URL of a store would be recorded with each run",
                where=f"{self.protocol}://{name}:***@…",
                hint=f"{self.protocol}://{name}@… with the variable FLOW_FSSPEC_OPTIONS="
                f'\'{{"{self.protocol}": {{"password": "…"}}}}\'',
            )


def _kind(protocol: str, made: Any) -> _Kind:
    from fsspec.implementations.local import LocalFileSystem

    if protocol == "memory":
        return _Kind(False, True, True, "pipe", _MEMORY)
    if issubclass(made, LocalFileSystem):
        return _Kind(False, create_only="link")
    if protocol in _SFTP:
        return _Kind(create_only="rename", lock=threading.RLock())
    lock = None if getattr(made, "async_impl", False) else threading.RLock()
    return _Kind(atomic=protocol in _OF_OBJECTS, lock=lock)


def _root(made: Any, protocol: str, url: str) -> str:
    root: str = made._strip_protocol(url)
    # As with curl, '/~/' begins at the home of the person on the server.
    return root.removeprefix("/~/") if protocol in _SFTP else root

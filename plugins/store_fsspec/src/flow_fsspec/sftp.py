"""SFTP as people know it from ``ssh``, and at the speed of the line."""

from __future__ import annotations

import os
from typing import Any

import paramiko
from fsspec.implementations.sftp import SFTPFileSystem

CONNECT = 5.0
"""Seconds within which a server must answer."""
_KEEPALIVE = 30
_OPTIONS = """FLOW_FSSPEC_OPTIONS='{"sftp": {%s}}'"""
_TRUST = '"host_key_policy": "auto_add"'
_KEYS = '"username": "…", "key_filename": "…"'
_BLOCK = 32768
"""Bytes of one message of the protocol."""


class SFTP(SFTPFileSystem):  # type: ignore[misc]
    """fsspec's filesystem, with what ``ssh`` reads, and safe among other writers.

    It takes host names, users, ports, keys and proxies from ``~/.ssh/config``, keys from the agent,
    and knows the servers of ``~/.ssh/known_hosts``: others are refused, unless the option
    ``host_key_policy`` is ``auto_add``. Many messages are on their way at a time.
    """

    def __init__(self, host: str, host_key_policy: str = "reject", **options: Any) -> None:
        self._policy = host_key_policy
        super().__init__(host, **options)

    def _connect(self) -> None:
        options = {"timeout": CONNECT, "banner_timeout": CONNECT, "auth_timeout": 2 * CONNECT}
        options |= _of_config(self.host) | self.ssh_kwargs
        host = options.pop("hostname", self.host)
        client = paramiko.SSHClient()
        client.load_system_host_keys()
        client.set_missing_host_key_policy(
            paramiko.AutoAddPolicy() if self._policy == "auto_add" else paramiko.RejectPolicy()
        )
        self.client = client
        try:
            client.connect(host, **options)
            client.get_transport().set_keepalive(_KEEPALIVE)
            self.ftp = client.open_sftp()
        except BaseException:
            client.close()
            raise

    @property
    def alive(self) -> bool:
        """Whether the connection is there still, as far as is known."""
        transport = self.client.get_transport()
        return transport is not None and transport.is_active()

    def makedirs(self, path: str, exist_ok: bool = False, mode: int = 0o777) -> None:
        """Make a folder, and those above it; others may do the same."""
        if self.isdir(path):
            if not exist_ok:
                raise FileExistsError(f"'{path}' is there")
            return
        above = path.rpartition("/")[0]
        if above:
            self.makedirs(above, exist_ok=True, mode=mode)
        try:
            self.ftp.mkdir(path, mode)
        except OSError:
            if not self.isdir(path):
                raise

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Return the bytes from ``start`` to ``end``."""
        try:
            return self._read(path, start or 0, end)
        except OSError:
            if self.isdir(path):  # each server has another word for it
                raise IsADirectoryError(f"'{path}' is a folder") from None
            raise

    def _read(self, path: str, first: int, end: int | None) -> bytes:
        with self.ftp.open(path, "rb") as file:
            size = file.stat().st_size
            length = min(size if end is None else end, size) - first
            if length <= 0:
                return b""
            if length <= _BLOCK:
                file.seek(first)
                content: bytes = file.read(length)
            else:
                content = b"".join(file.readv([(first, length)]))
        if len(content) != length:
            raise OSError(f"{len(content)} bytes of {length} have arrived")
        return content

    def pipe_file(self, path: str, value: Any, mode: str = "overwrite", **_: Any) -> None:
        """Write a file."""
        with self.ftp.open(path, "xb" if mode == "create" else "wb") as file:
            file.set_pipelined(True)
            file.write(value)
        self._check_size(path, len(value))

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        self.ftp.remove(path)

    def put_file(self, lpath: str, rpath: str, callback: Any = None, **_: Any) -> None:
        """Write a file from one of this machine."""
        self.ftp.put(lpath, rpath)  # it compares the sizes

    def rename_new(self, old: str, new: str) -> None:
        """Rename a file to a name that is free.

        The protocol demands that another one is refused (OpenSSH decides it by a link).
        """
        self.ftp.rename(old, new)

    def _check_size(self, path: str, wanted: int) -> None:
        size = self.ftp.stat(path).st_size
        if size != wanted:
            raise OSError(f"{size} bytes of {wanted} have been written")


def _of_config(host: str) -> dict[str, Any]:
    """Return what ``~/.ssh/config`` says of a host, in the words of paramiko."""
    path = os.path.expanduser("~/.ssh/config")
    if not os.path.exists(path):
        return {}
    found = paramiko.SSHConfig.from_path(path).lookup(host)
    options: dict[str, Any] = {"hostname": found.get("hostname", host)}
    if "port" in found:
        options["port"] = int(found["port"])
    if "user" in found:
        options["username"] = found["user"]
    if "identityfile" in found:
        options["key_filename"] = found["identityfile"]
    if found.get("proxycommand", "none").lower() != "none":
        options["sock"] = paramiko.ProxyCommand(found["proxycommand"])
    return options


def explained(error: Exception, host: str) -> tuple[str, str] | None:
    """Return why a connection did not come about, and what to do; None for other errors."""
    if isinstance(error, paramiko.BadHostKeyException):
        return (
            f"the key of {host} is another one than is known",
            f"if that is right: ssh-keygen -R {host}, then ssh {host}",
        )
    if isinstance(error, paramiko.AuthenticationException):
        return (
            f"{host} does not let this person in: {error}",
            f"try it: sftp {host}; other keys: {_OPTIONS % _KEYS}",
        )
    if "not found in known_hosts" in str(error):
        return (
            f"nobody has said yet that {host} is to be trusted",
            f"do so: ssh {host}; or trust each server that is new: {_OPTIONS % _TRUST}",
        )
    if isinstance(error, paramiko.SSHException | EOFError):
        return (
            f"{host} does not answer as an SSH server does: {error}".rstrip(": "),
            "check host and port: sftp://user@host:22/path",
        )
    return None

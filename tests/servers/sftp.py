"""asyncssh: an SFTP server on this machine, whose files lie in a folder of it."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, NamedTuple

from servers.sharing import absent, serve, shared

USER = "ada"
PASSWORD = "lovelace"

_PROGRAM = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from servers.sftp import main
main(sys.argv[1], int(sys.argv[2]))
"""


class Place(NamedTuple):
    """A folder on an SFTP server, and how to reach it.

    Attributes:
        port: of the server.
        path: of the folder there.
        folder: where that is on this machine.
        host_key: line of ``known_hosts`` for the server.
    """

    port: int
    path: str
    folder: str
    host_key: str

    @property
    def url(self) -> str:
        """``sftp://user@host:port/path``."""
        return f"sftp://{USER}@127.0.0.1:{self.port}{self.path}"

    def environment(self) -> dict[str, str]:
        """Return the variables with which a store reaches it."""
        options = {"password": PASSWORD, "host_key_policy": "auto_add", "allow_agent": False}
        return {"FLOW_FSSPEC_OPTIONS": json.dumps({"sftp": options})}


def sftp_server() -> Place:
    """Return the root of the server of this run of pytest."""
    if importlib.util.find_spec("asyncssh") is None or importlib.util.find_spec("paramiko") is None:
        absent("no SFTP here: pip install asyncssh paramiko")
    return Place(**shared("sftp", _start))


def _start(folder: Path) -> dict[str, Any]:
    def command(ports: list[int]) -> list[str]:
        (folder / "files").mkdir()
        return [sys.executable, "-c", _PROGRAM, str(folder), str(ports[0])]

    def ready(port: int) -> bool:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as probe:
            return probe.recv(4) == b"SSH-"

    (port,) = serve(folder, command, 1, ready)
    host_key = f"[127.0.0.1]:{port} {(folder / 'key').read_text().strip()}"
    return {"port": port, "path": "", "folder": str(folder / "files"), "host_key": host_key}


def main(folder: str, port: int) -> None:
    """Serve the files in a folder, as OpenSSH would."""
    import asyncio

    import asyncssh

    class Person(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return True

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return (username, password) == (USER, PASSWORD)

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=f"{folder}/files")

        def rename(self, oldpath: bytes, newpath: bytes) -> None:
            old, new = self.map_path(oldpath), self.map_path(newpath)
            os.link(old, new)  # as OpenSSH does: who comes second is refused
            os.unlink(old)

    async def run() -> None:
        key = asyncssh.generate_private_key("ssh-ed25519")
        Path(folder, "key").write_bytes(key.export_public_key())
        await asyncssh.listen(
            "127.0.0.1", port, server_factory=Person, server_host_keys=[key], sftp_factory=Files
        )
        await asyncio.Event().wait()

    asyncio.run(run())

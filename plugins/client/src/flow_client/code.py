"""`Code`: the source files that a run was started with."""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

from flow_core.api import FlowError, StoreError

if TYPE_CHECKING:
    from flow_client.reader import Reader


class Code:
    """The code snapshot of a run.

    Attributes:
        sha: hash of the snapshot: equal hash = equal code.
        script_name: name of the flow file.

    Since 0.1.
    """

    def __init__(self, reader: Reader, digest: str, script_name: str) -> None:
        self._reader = reader
        self.sha = digest
        self.script_name = script_name

    def __repr__(self) -> str:
        return f"<Code {self.script_name} {self.sha[:12]}>"

    @property
    def flowspec(self) -> str:
        """The text of the flow file."""
        return self.read(self.script_name).decode("utf-8", "replace")

    @property
    def files(self) -> list[str]:
        """The names of all files, sorted."""
        with self._open() as archive:
            return sorted(archive.getnames())

    def read(self, name: str) -> bytes:
        """Return the content of one file.

        Raises:
            FlowError: there is no such file in it.
        """
        with self._open() as archive:
            try:
                file = archive.extractfile(name)
            except KeyError:
                file = None
            if file is None:
                raise FlowError(
                    f"The code snapshot has no file '{name}'",
                    where=f"code {self.sha[:16]}…",
                    hint="its files: run.code.files",
                )
            return file.read()

    def extract(self, folder: str, *, overwrite: bool = False) -> str:
        """Write all files below ``folder``, which is made; return its path.

        Nothing is written outside of it, whatever the snapshot holds.

        Raises:
            FlowError: a file is there already, and ``overwrite`` is False: nothing is written.
            StoreError: the snapshot holds what must not be written: a path that leads elsewhere.
            IntegrityError: the snapshot is damaged.
        """
        if not hasattr(tarfile, "data_filter"):
            raise StoreError(
                "The code snapshot cannot be written out safely by this Python",
                why="its tarfile module has no filter for paths that lead elsewhere",
                hint="update Python: 3.10.12, 3.11.4 or newer have it",
            )
        with self._open() as archive:
            if not overwrite:
                self._refuse_overwriting(folder, archive.getnames())
            os.makedirs(folder, exist_ok=True)
            try:
                archive.extractall(folder, filter="data")
            except tarfile.TarError as error:
                raise StoreError(
                    "The code snapshot cannot be written out",
                    where=f"code {self.sha[:16]}…",
                    why=str(error),
                    hint="look into it with run.code.files and run.code.read(name)",
                ) from None
        return folder

    def _refuse_overwriting(self, folder: str, names: list[str]) -> None:
        present = [n for n in names if os.path.lexists(os.path.join(folder, n))]
        if present:
            raise FlowError(
                f"'{present[0]}' is in the folder already",
                where=folder,
                why="writing the snapshot there would replace "
                + (f"{len(present)} files" if len(present) > 1 else "it"),
                hint="choose an empty folder, or extract(folder, overwrite=True)",
            )

    def _open(self) -> tarfile.TarFile:
        data = self._reader.session.artifacts.get_bytes(self.sha, "the code snapshot")
        return tarfile.open(fileobj=io.BytesIO(data))

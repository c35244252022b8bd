"""`Code`: the source files that a run was started with."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, overload

from flow_core.api import FlowError, StoreError, blob_key

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory

    from flow_client.run import Run


class Code:
    """The code snapshot of a run.

    Attributes:
        sha: hash of the snapshot: equal hash = equal code.
        script_name: name of the flow file.
        info: facts on the run that was started with it: command, versions, git state, host.

    Since 0.1.
    """

    def __init__(self, run: Run, digest: str, script_name: str, info: Mapping[str, Any]) -> None:
        self._run = run
        self._reader = run._reader
        self.sha = digest
        self.script_name = script_name
        self.info = dict(info)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._run, "code")

    def __repr__(self) -> str:
        return f"<Code {self.script_name} {self.sha[:12]}>"

    @property
    def path(self) -> str:
        """Where the snapshot, a tar archive, lies in the store."""
        return f"{self._reader.session.store.url}/{blob_key(self.sha)}"

    @property
    def tarball(self) -> tarfile.TarFile:
        """The snapshot as an open archive."""
        return self._open()

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

    @overload
    def extract(self) -> TemporaryDirectory[str]: ...

    @overload
    def extract(self, folder: str, *, overwrite: bool = False) -> str: ...

    def extract(
        self, folder: str | None = None, *, overwrite: bool = False
    ) -> str | TemporaryDirectory[str]:
        """Write all files below ``folder``, which is made; return its path.

        Nothing is written outside of it, whatever the snapshot holds.

        Args:
            folder: where to; None = a temporary folder, which is returned as a
                `tempfile.TemporaryDirectory`: ``with run.code.extract() as folder``.
            overwrite: whether files that are there already are replaced.

        Raises:
            FlowError: a file is there already, and ``overwrite`` is False: nothing is written.
            StoreError: the snapshot holds what must not be written: a path that leads elsewhere.
            IntegrityError: the snapshot is damaged.
        """
        if folder is None:
            from tempfile import TemporaryDirectory

            temporary = TemporaryDirectory(prefix="flow-code-")
            try:
                self._write(temporary.name, overwrite=True)
            except BaseException:
                temporary.cleanup()
                raise
            return temporary
        self._write(folder, overwrite=overwrite)
        return folder

    def _write(self, folder: str, *, overwrite: bool) -> None:
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

"""What is asked for, what is put, and what is found."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_files.attributes import decode_metadata
from flow_files.errors import FilesInvalidObject, FilesNotFound, missing, reported

if TYPE_CHECKING:
    from flow_core.api import ObjectInfo
    from flow_files.places import Target
    from flow_files.scratch import Scratch


class FileRange(NamedTuple):
    """A part of an object.

    Attributes:
        key: its key.
        offset: the first byte, from 0.
        length: how many bytes; None = up to the end; negative = the last ``-length`` bytes, with an
            offset of 0.

    Since 0.1.
    """

    key: str
    offset: int = 0
    length: int | None = None


class FileUpload(NamedTuple):
    """An object to put.

    Attributes:
        key: its key.
        value: its content: text, bytes, or an open file, which is read from where it stands; None =
            that of ``path``.
        path: path of a local file with the content.
        content_type: media type, such as ``text/csv``.
        encryption: how the service is to encrypt it, where it can: ``AES256``.
        metadata: texts of one's own by name, which `FileObject.metadata` gives back.

    Since 0.1.
    """

    key: str
    value: Any = None
    path: str | None = None
    content_type: str | None = None
    encryption: str | None = None
    metadata: Mapping[str, str] | None = None


class RangeInfo(NamedTuple):
    """Which part of an object was read.

    Attributes:
        total_size: bytes of the whole object.
        request_offset: the first byte that was read.
        request_length: how many were read.

    Since 0.1.
    """

    total_size: int
    request_offset: int
    request_length: int


class Details:
    """What the store tells of the objects of one call, asked once, when somebody wants to know it."""

    def __init__(self, load: Callable[[], Sequence[ObjectInfo | None]]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._found: Sequence[ObjectInfo | None] | None = None

    def of(self, number: int) -> ObjectInfo | None:
        """Return what is told of one of them."""
        with self._lock:
            if self._found is None:
                with reported():
                    self._found = self._load()
            return self._found[number]


class FileObject:
    """An object, or a key below which there are some, or nothing.

    Content, which `Files.get` and its kin bring, can be read until the block ``with Files(…)`` ends.
    Made by `Files`. Since 0.1.
    """

    __slots__ = (
        "_blob",
        "_details",
        "_number",
        "_path",
        "_scratch",
        "_size",
        "_target",
        "range_info",
    )

    range_info: RangeInfo | None
    """Which part was read; None for a whole object."""

    def __init__(
        self,
        target: Target,
        scratch: Scratch,
        size: int | None = None,
        *,
        blob: bytes | None = None,
        path: str | None = None,
        range_info: RangeInfo | None = None,
        details: Details | None = None,
        number: int = 0,
    ) -> None:
        self._target = target
        self._scratch = scratch
        self._size = size
        self._blob = blob
        self._path = path
        self.range_info = range_info
        self._details = details
        self._number = number

    def __repr__(self) -> str:
        size = f", {self._size:,} bytes" if self._size is not None else ", no object"
        return f"<{type(self).__name__} {self.url}{size}>"

    # --- what it is -----------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is an object of this key."""
        return self._size is not None

    @property
    def downloaded(self) -> bool:
        """Whether its content was brought here."""
        return self._blob is not None or self._path is not None

    @property
    def url(self) -> str:
        """Its full URL."""
        return self._target.url

    @property
    def prefix(self) -> str | None:
        """URL of what `key` is relative to: the root, or what was listed; None where there is none."""
        return self._target.prefix

    @property
    def key(self) -> str:
        """Its key below `prefix`; the full URL where there is none."""
        return self._target.name

    @property
    def size(self) -> int | None:
        """Its size in bytes; of a range, that of the range; None where there is no object."""
        return self._size

    # --- content --------------------------------------------------------------------------------

    @property
    def path(self) -> str | None:
        """Path of a temporary file with the content; None when it was not downloaded.

        The file vanishes at the end of the block; move it to keep it.
        """
        if not self.downloaded:
            return None
        self._scratch.check()
        if self._path is None:
            assert self._blob is not None
            self._path = self._scratch.write(self.key, self._blob)
            self._scratch.release(len(self._blob))
            self._blob = None
        return self._path

    @property
    def blob(self) -> bytes | None:
        """The content; None when it was not downloaded."""
        if not self.downloaded:
            return None
        self._scratch.check()
        blob, path = self._blob, self._path
        if blob is not None:
            return blob
        assert path is not None
        with open(path, "rb", 0) as file:
            return file.readall()

    @property
    def text(self) -> str | None:
        """The content as UTF-8 text; None when it was not downloaded.

        Raises:
            FilesInvalidObject: it is no such text.
        """
        blob = self.blob
        try:
            return None if blob is None else blob.decode()
        except UnicodeDecodeError as error:
            raise FilesInvalidObject(
                "The content is no UTF-8 text",
                where=self.url,
                why=str(error),
                hint="read it as .blob, or .blob.decode('latin-1')",
            ) from None

    # --- what the store tells -------------------------------------------------------------------

    @property
    def has_info(self) -> bool:
        """Whether content type, metadata, encryption and last change are known."""
        return self._details is not None and self.exists

    @property
    def content_type(self) -> str | None:
        """The media type that was given with it, or that the service gave it."""
        info = self._info()
        return info.attributes.content_type if info else None

    @property
    def metadata(self) -> dict[str, str] | None:
        """The texts that were put with it, by name; None where there are none."""
        info = self._info()
        return decode_metadata(info.attributes.metadata) or None if info else None

    @property
    def encryption(self) -> str | None:
        """How the service encrypts it, if it tells."""
        info = self._info()
        return info.encryption if info else None

    @property
    def last_modified(self) -> float | None:
        """When it was last changed, in seconds since the epoch."""
        info = self._info()
        return info.modified if info else None

    def _info(self) -> ObjectInfo | None:
        if not self.has_info or self._details is None:
            return None
        found = self._details.of(self._number)
        if found is None:
            raise self._gone()
        return found

    def _gone(self) -> FilesNotFound:
        return missing(self.url, "it was deleted since it was found")

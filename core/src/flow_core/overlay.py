"""A store over another one: what is written stays apart, what is read may lie below.

So a step can run again on what an earlier run left, and that run stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from flow_core.interfaces import (
    REFRESH_AGE,
    Attributes,
    Buffer,
    ObjectInfo,
    Store,
    StoreCapabilities,
    StoredObject,
)
from flow_core.manifests import ManifestReader


def _both(own: StoreCapabilities, base: StoreCapabilities) -> StoreCapabilities:
    """Return what both stores can do; create-only writes need only the own one."""
    return StoreCapabilities(
        shared=own.shared and base.shared,
        mappable=own.mappable and base.mappable,
        create_only=own.create_only,
        forkable=own.forkable and base.forkable,
        attributes=own.attributes,
        in_process=own.in_process or base.in_process,
    )


class OverlayStore:
    """Writes to one store, and reads from another one what the first does not have.

    A key that is read is looked for in ``own``, then below. Blobs are the same in both, since their
    keys name their content; of all other keys ``below`` says which they are in ``base``. Listings
    show ``own`` only, and nothing is ever written to, or deleted from, ``base``.

    Args:
        own: what gets everything that is written.
        base: what is only read.
        below: key → the key of ``base`` that stands for it, or None; it is not asked for blobs.
        url: the URL under which another process finds this store; None = that of ``own``.

    Attributes:
        own, base: as the arguments.
        capabilities: what both can do.

    Since 0.1.
    """

    def __init__(
        self,
        own: Store,
        base: Store,
        below: Callable[[str], str | None],
        url: str | None = None,
    ) -> None:
        self.own = own
        self.base = base
        self._base_records = ManifestReader(base)
        self._below = below
        self._url = url
        self.capabilities = _both(own.capabilities, base.capabilities)

    def __repr__(self) -> str:
        return f"<OverlayStore {self.url} over {self.base.url}>"

    @property
    def url(self) -> str:
        """The URL that was given, else that of the store which is written."""
        return self._url or self.own.url

    def _base_key(self, key: str) -> str | None:
        return key if key.startswith("blobs/") else self._below(key)

    def _lower(self, keys: Sequence[str]) -> list[str | None]:
        """Return, for each key that the own store lacks, the one below; None for all others."""
        there = self.own.exists(keys)
        return [None if own else self._base_key(key) for key, own in zip(keys, there, strict=True)]

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the content of each key, in order; None where neither store has it."""
        lower = self._lower(keys)
        own = self.own.read([k for k, low in zip(keys, lower, strict=True) if low is None])
        # Below, manifests of reused tasks lie together: see `flow_core.manifests`.
        base = self._base_records.raw([low for low in lower if low is not None])
        for low in lower:
            yield next(own) if low is None else next(base)

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return a part of an object; None when neither store has it."""
        (low,) = self._lower([key])
        if low is None:
            return self.own.read_range(key, offset, length)
        return self.base.read_range(low, offset, length)

    def stream(self, key: str) -> Iterator[Buffer] | None:
        """Return the content in pieces; None when neither store has it."""
        (low,) = self._lower([key])
        return self.own.stream(key) if low is None else self.base.stream(low)

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        """Yield what is told of each object, in order; None where neither store has it."""
        lower = self._lower(keys)
        base = iter(self.base.describe([low for low in lower if low is not None]))
        own = iter(
            self.own.describe([k for k, low in zip(keys, lower, strict=True) if low is None])
        )
        for key, low in zip(keys, lower, strict=True):
            info = next(own if low is None else base)
            yield info and info._replace(key=key)

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        """Write to the own store; with ``create_only`` only what is there counts."""
        return self.own.write(items, create_only=create_only)

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        """Write an object to the own store."""
        return self.own.write_content(chunks, key)

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write an object to the own store; with ``create_only`` only what is there counts."""
        return self.own.write_stream(key, chunks, create_only=create_only, attributes=attributes)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Say for each key whether one of the stores has it."""
        lower = self._lower(keys)
        base = iter(self.base.exists([low for low in lower if low is not None]))
        own = iter(self.own.exists([k for k, low in zip(keys, lower, strict=True) if low is None]))
        return [next(own) if low is None else next(base) for low in lower]

    def size(self, key: str) -> int | None:
        """Return the size of an object; None when neither store has it."""
        (low,) = self._lower([key])
        return self.own.size(key) if low is None else self.base.size(low)

    def folders(self, prefix: str = "") -> list[str]:
        """List one level of the own store."""
        return self.own.folders(prefix)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """List the own store."""
        return self.own.list(prefix)

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        """Delete from the own store; what lies below shows again."""
        self.own.delete(keys, older_than=older_than)

    def refresh(self, key: str, age: float = REFRESH_AGE) -> bool:
        """Refresh an object of the own store. What lies below is not to be relied on by something
        new, since nobody there knows of it: the answer is False, and it is written here."""
        return self.own.refresh(key, age)

    def local_path(self, key: str) -> str | None:
        """Return the path of a file: below only for what is there and not in the own store."""
        (low,) = self._lower([key])
        if low is not None and self.base.exists([low])[0]:
            return self.base.local_path(low)
        return self.own.local_path(key)

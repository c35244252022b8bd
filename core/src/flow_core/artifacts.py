"""Artifacts: values as content-addressed bytes in a store.

A value becomes *parts* by a serializer; the parts are packed into one container whose BLAKE3 hash
names it. Small containers travel inside the manifest, others are blobs. Equal hash = equal value.

Container: ``FLOWART1``, number of parts (u32), 0 (u32), then offset and length (u64 each) of every
part, then the parts; all but the first begin at multiples of 64 bytes, so that a blob mapped into
memory gives arrays back in place. Numbers are little-endian.

Foreach items: the pickled items one after the other, then a row for each: offset (u64), length
(u64), first 16 bytes of its BLAKE3. One item is read with two small reads, whatever their number.
"""

from __future__ import annotations

import binascii
import itertools
import math
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from blake3 import blake3

from flow_core.errors import ArtifactError, Declined, FormatError, IntegrityError
from flow_core.index import PluginIndex
from flow_core.interfaces import Buffer, Serializer, Store
from flow_core.records import ArtifactRef, blob_key
from flow_core.text import type_name

MAGIC = b"FLOWART1"
ALIGN = 64
CHUNK = 1 << 20
_MAPPED = 1 << 20
"""Bytes from which a blob is mapped: each mapping holds a file descriptor, of which a process has a
thousand, and a join may read more arrays than that. Smaller ones are as soon read."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ROW = struct.Struct("<QQ16s")
_IMMUTABLE = (str, bytes, int, float, bool, complex, type(None))


class ArtifactStore:
    """Saves values to a store and loads them back.

    Args:
        store: where the blobs lie.
        index: where serializers of plugins are found.
        inline_limit: bytes up to which a packed value is kept in its reference.
        prefer: tags of serializers that are asked first.
    """

    def __init__(
        self,
        store: Store,
        index: PluginIndex,
        inline_limit: int = 4096,
        prefer: Sequence[str] = (),
    ) -> None:
        self.store = store
        self._inline_limit = inline_limit
        self._prefer = tuple(prefer)
        self._serializers = _Serializers(index)

    def save(
        self,
        name: str,
        value: Any,
        previous: ArtifactRef | None = None,
        prefer: Sequence[str] = (),
    ) -> ArtifactRef:
        """Store ``value`` and return the reference to it.

        Args:
            name: name of the artifact, for errors.
            value: any value that a serializer takes.
            previous: the reference that the value was loaded from: when it has not changed since,
                nothing is written.
            prefer: tags of serializers that are asked before all others.

        Raises:
            ArtifactError: the value cannot be stored; names the path to the part that cannot.
            StoreError: the store refused it.
        """
        kind = type_name(value)
        if _is_json_scalar(value, self._inline_limit):
            return _json_ref(value, kind)
        order = self._serializers.for_value(value, (*prefer, *self._prefer))
        serializer, parts = _dump(order, name, value)
        size = _packed_size(parts)
        if size <= self._inline_limit:
            packed = b"".join(_pack(parts))
            text = _to_text(packed)
            digest = blake3(packed).hexdigest()
            return ArtifactRef(digest, size, kind, serializer.tag, True, text)
        if previous is not None and previous.size == size and not previous.inline:
            digest = _hash(_pack(parts))
            if digest == previous.hash:
                return previous
        return ArtifactRef(self._put(_pack(parts)), size, kind, serializer.tag)

    def load(self, ref: ArtifactRef, what: str) -> Any:
        """Return the value behind ``ref``. ``what`` names it in errors: ``artifact 'x' of …``.

        Raises:
            IntegrityError: the stored bytes are missing or not those that were written.
            FormatError: they were written in a newer format.
            ArtifactError: they cannot be turned into a value here, for example for want of a class.
        """
        if ref.inline and ref.serializer == "json":
            return ref.value
        if ref.inline:
            content: Buffer = bytearray(binascii.a2b_base64(ref.value))
            _verify(content, ref.hash, ref.size, what, "its manifest")
        else:
            content = self._content(ref.hash, ref.size, what)
        serializer = self._serializers.for_tag(ref.serializer, what)
        parts = unpack(content, what)
        try:
            return serializer.load(parts)
        except Exception as error:
            hint = f"it is a {ref.type}: install or import what defines it"
            raise _unreadable(what, error, hint) from error

    def summary(self, ref: ArtifactRef, what: str, width: int = 60, limit: int = 10_000) -> str:
        """Return a value in one line for people: as Python shows it where it is small.

        Larger ones, and those that cannot be read here, by their type and size. Never fails.

        Args:
            ref: the reference.
            what: as for `load`.
            width: characters, at most.
            limit: bytes up to which a value is read.

        Since 0.1.
        """
        size = f"{ref.type}, {ref.size:,} B"
        if ref.size > limit:
            return size
        try:
            shown = repr(self.load(ref, what))
        except Exception:  # of the value's own __repr__ too: this is for people who look around
            return size
        if "\n" in shown:
            shown = " ".join(shown.split())
        return shown if len(shown) <= width else f"{shown[: width - 1]}…"

    def unchanged(self, value: Any, loaded: Any) -> bool:
        """Whether ``value`` is ``loaded`` itself, of a type that cannot change in place."""
        return value is loaded and type(value) in _IMMUTABLE

    # --- foreach items --------------------------------------------------------------------------

    def save_items(self, name: str, values: Iterable[Any]) -> tuple[ArtifactRef, int]:
        """Store the items of a foreach one by one; return the reference and their number."""
        from flow_core.pickling import dump_in_band

        rows: list[bytes] = []
        total = 0

        def content() -> Iterator[Buffer]:
            nonlocal total
            for number, value in enumerate(values):
                packed = dump_in_band(f"{name}[{number}]", value)
                rows.append(_ROW.pack(total, len(packed), blake3(packed).digest(16)))
                total += len(packed)
                yield packed
            yield b"".join(rows)

        stream = content()
        small: list[Buffer] = []
        for chunk in stream:
            small.append(chunk)
            if total > self._inline_limit:
                break
        size = total + len(rows) * _ROW.size
        if total <= self._inline_limit and size <= 2 * self._inline_limit:
            packed = b"".join(small)
            text = _to_text(packed)
            ref = ArtifactRef(blake3(packed).hexdigest(), size, "items", "items", True, text)
            return ref, len(rows)
        digest = self._put_stream(itertools.chain(small, stream))
        return ArtifactRef(digest, total + len(rows) * _ROW.size, "items", "items"), len(rows)

    def load_item(self, ref: ArtifactRef, index: int, count: int, what: str) -> Any:
        """Return item ``index`` of ``count``; errors as `load`."""
        import pickle

        read = self._item_reader(ref, what)
        offset, length, digest = _row(ref, index, count, read)
        packed = read(offset, length) if offset + length <= ref.size else b""
        if len(packed) != length or blake3(packed).digest(16) != digest:
            raise _damaged(what, "its bytes do not have the hash that belongs to them", ref.hash)
        try:
            return pickle.loads(packed)
        except Exception as error:
            raise _unreadable(what, error) from error

    def item_hash(self, ref: ArtifactRef, index: int, count: int, what: str) -> str:
        """Return the hash of item ``index`` of ``count``; errors as `load`."""
        return _row(ref, index, count, self._item_reader(ref, what))[2].hex()

    def _item_reader(self, ref: ArtifactRef, what: str) -> Callable[[int, int], bytes]:
        if ref.inline:
            packed = binascii.a2b_base64(ref.value)
            return lambda offset, length: packed[offset : offset + length]

        def read(offset: int, length: int) -> bytes:
            piece = self.store.read_range(blob_key(ref.hash), offset, length)
            if piece is None:
                raise _damaged(what, "it is missing", ref.hash)
            return piece

        return read

    # --- raw bytes ------------------------------------------------------------------------------

    def put_bytes(self, data: bytes) -> str:
        """Store raw bytes, such as a code snapshot; return their hash."""
        digest = blake3(data).hexdigest()
        key = blob_key(digest)
        size = self.store.size(key)
        sound = size == len(data)
        if sound and self.store.capabilities.mappable:  # elsewhere reading it back costs too much
            sound = next(iter(self.store.read([key]))) == data
        if not (sound and self.store.refresh(key)):
            self.store.write([(key, data)], create_only=size is None)
        return digest

    def get_bytes(self, digest: str, what: str) -> bytes:
        """Return raw bytes by their hash; `IntegrityError` when missing or damaged."""
        return bytes(self._content(digest, None, what))

    # --- blobs ----------------------------------------------------------------------------------

    def _put(self, chunks: Iterable[Buffer]) -> str:
        if self.store.capabilities.mappable:
            return self._put_stream(chunks)
        packed = b"".join(chunks)
        digest = blake3(packed).hexdigest()
        content = compress_if_it_pays(packed)
        # Without a shared disk only the size is compared: reading it back costs as much as writing.
        key = blob_key(digest)
        if self.store.size(key) != len(content) or not self.store.refresh(key):
            self.store.write([(key, content)])
        return digest

    def _put_stream(self, chunks: Iterable[Buffer]) -> str:
        hasher = blake3()

        def hashed() -> Iterator[Buffer]:
            for chunk in chunks:
                hasher.update(chunk)
                yield chunk

        self.store.write_content(hashed(), lambda: blob_key(hasher.hexdigest()))
        return hasher.hexdigest()

    def _content(self, digest: str, size: int | None, what: str) -> Buffer:
        mapped = self.store.capabilities.mappable and size is not None and size >= _MAPPED
        content = self._map(digest) if mapped else None
        if content is None:
            content = self._fetch(digest, size)
        if content is None:
            raise _damaged(what, "it is missing", digest)
        _verify(content, digest, size, what, f"blob {digest[:16]}…")
        return content

    def _map(self, digest: str) -> Buffer | None:
        """Return a view of the file; None where it cannot be had: reading tells why, or succeeds."""
        import mmap

        path = self.store.local_path(blob_key(digest))
        assert path is not None, "a mappable store gives local paths"
        try:
            with open(path, "rb") as file:
                # Copy-on-write: a step may change the value in place, the blob stays as it is.
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
        except (OSError, ValueError):  # missing, empty, or too many open files
            return None

    def _fetch(self, digest: str, size: int | None) -> Buffer | None:
        raw = next(iter(self.store.read([blob_key(digest)])))
        if raw is None:
            return None
        # Raw bytes of unknown size are never compressed, but may be a zstd frame themselves.
        if size is not None and raw[:4] == _ZSTD_MAGIC:
            import zstandard

            try:
                if zstandard.frame_content_size(raw) != size:
                    return b""  # a damaged head may claim any size: nothing is allocated for it
                raw = zstandard.ZstdDecompressor().decompress(raw)
            except zstandard.ZstdError:
                return b""  # a damaged frame; it fails verification
        return bytearray(raw)


def _row(
    ref: ArtifactRef, index: int, count: int, read: Callable[[int, int], bytes]
) -> tuple[int, int, bytes]:
    """Return offset, length and hash of an item."""
    row = read(ref.size - (count - index) * _ROW.size, _ROW.size)
    return _ROW.unpack(row) if len(row) == _ROW.size else (0, 0, b"")


class _Serializers:
    """Finds the serializer for a value (write side) or a tag (read side)."""

    def __init__(self, index: PluginIndex) -> None:
        self._index = index
        self._loaded: dict[str, Serializer] = {"json": _JsonSerializer()}

    def for_value(self, value: Any, prefer: Sequence[str] = ()) -> Iterator[Serializer]:
        """Yield those that may store ``value``, in the order in which they are asked."""
        for tag in dict.fromkeys((*prefer, *self._index.names("flow.serializers"))):
            if tag == "pickle":
                break
            # A value of pandas exists only where pandas is imported: others are not even loaded.
            if tag.partition(".")[0] in sys.modules and self._get(tag).can(value):
                yield self._get(tag)
        yield self._get("pickle")

    def for_tag(self, tag: str, what: str) -> Serializer:
        known = ("pickle", *self._loaded, *self._index.names("flow.serializers"))
        if tag not in known:
            raise ArtifactError(
                f"{what[:1].upper()}{what[1:]} was stored by the serializer '{tag}', "
                "which is not installed",
                hint=f"install the plugin that provides the serializer '{tag}'",
            )
        return self._get(tag)

    def _get(self, tag: str) -> Serializer:
        if tag == "pickle" and tag not in self._loaded:
            from flow_core.pickling import PickleSerializer

            self._loaded[tag] = PickleSerializer()
        if tag not in self._loaded:
            provider = self._index.load("flow.serializers", tag)
            self._loaded[tag] = provider() if isinstance(provider, type) else provider
        return self._loaded[tag]


class _JsonSerializer:
    tag = "json"
    safe = True

    def can(self, value: Any) -> bool:
        return _is_json_scalar(value, sys.maxsize)

    def dump(self, value: Any) -> Sequence[Buffer]:
        import json

        return [json.dumps(value).encode()]

    def load(self, parts: Sequence[Buffer]) -> Any:
        import json

        return json.loads(bytes(parts[0]))


def _unreadable(what: str, error: Exception, hint: str | None = None) -> ArtifactError:
    """Return the error for a value that cannot be made of its bytes; who reads it may know why."""
    why = f"{type(error).__name__}: {error}"
    if isinstance(error, ArtifactError):
        why, hint = "\n".join(filter(None, (error.what, error.why))), error.hint
    return ArtifactError(f"{what[:1].upper()}{what[1:]} cannot be read back", why=why, hint=hint)


def _is_json_scalar(value: Any, limit: int) -> bool:
    """Scalars that JSON gives back exactly, in every language."""
    kind = type(value)
    if kind is str:
        return len(value) <= limit // 4 and bool(value.isprintable())
    if kind is int:
        return bool(-(2**53) < value < 2**53)
    return bool(value is None or kind is bool or (kind is float and math.isfinite(value)))


def _json_ref(value: Any, kind: str) -> ArtifactRef:
    import json

    packed = f"json {kind} {json.dumps(value)}".encode()
    return ArtifactRef(blake3(packed).hexdigest(), len(packed), kind, "json", True, value)


# --- container ----------------------------------------------------------------------------------


def _offsets(parts: Sequence[Buffer]) -> list[int]:
    position = 16 + 16 * len(parts)
    offsets = []
    for number, part in enumerate(parts):
        if number:
            position += -position % ALIGN
        offsets.append(position)
        position += memoryview(part).nbytes
    return offsets


def _packed_size(parts: Sequence[Buffer]) -> int:
    return _offsets(parts)[-1] + memoryview(parts[-1]).nbytes


def _pack(parts: Sequence[Buffer]) -> Iterator[Buffer]:
    """Yield the container in pieces of at most `CHUNK` bytes, without copying big parts."""
    offsets = _offsets(parts)
    head = bytearray(MAGIC + struct.pack("<II", len(parts), 0))
    for offset, part in zip(offsets, parts, strict=True):
        head += struct.pack("<QQ", offset, memoryview(part).nbytes)
    yield bytes(head)
    position = len(head)
    for offset, part in zip(offsets, parts, strict=True):
        if offset > position:
            yield bytes(offset - position)
        view = memoryview(part)
        for start in range(0, view.nbytes, CHUNK):
            yield view[start : start + CHUNK]
        position = offset + view.nbytes


def unpack(content: Buffer, what: str) -> list[memoryview]:
    """Return the parts of a container as views of ``content``, which must be verified already."""
    view = memoryview(content)
    if bytes(view[:7]) != MAGIC[:7]:
        raise _damaged(what, "it is no artifact container", "")
    if bytes(view[:8]) != MAGIC:
        raise FormatError(
            f"{what[:1].upper()}{what[1:]} has a newer format",
            why="it was written by a newer version of flow-core",
            hint="pip install --upgrade flow-core",
        )
    (count, _) = struct.unpack_from("<II", view, 8)
    table = [struct.unpack_from("<QQ", view, 16 + 16 * n) for n in range(count)]
    return [view[offset : offset + length] for offset, length in table]


def _hash(chunks: Iterable[Buffer]) -> str:
    hasher = blake3()
    for chunk in chunks:
        hasher.update(chunk)
    return hasher.hexdigest()


def _verify(content: Buffer, digest: str, size: int | None, what: str, where: str) -> None:
    length = memoryview(content).nbytes
    if size is not None and length != size:
        raise _damaged(what, f"it has {length} bytes instead of {size}", digest, where)
    hasher = blake3(max_threads=blake3.AUTO) if length > 64 * CHUNK else blake3()
    hasher.update(content)
    if hasher.hexdigest() != digest:
        raise _damaged(what, "its bytes do not have the hash that names them", digest, where)


def _damaged(what: str, why: str, digest: str, where: str | None = None) -> IntegrityError:
    return IntegrityError(
        f"The stored data of {what} is damaged",
        where=where or (f"blob {digest}" if digest else None),
        why=why,
        hint="restore it from a copy of the store, or run the step again (resume)",
    )


def compress_if_it_pays(packed: bytes) -> bytes:
    """Return a zstd frame when a sample of 64 KiB shrinks by a tenth, else the bytes themselves.

    Raw content never begins with zstd's magic number: containers begin with their own.
    """
    import zstandard

    compressor = zstandard.ZstdCompressor(level=3)
    middle = max(0, len(packed) // 2 - 32768)
    sample = packed[middle : middle + 65536]
    if len(compressor.compress(sample)) > 0.9 * len(sample):
        return packed
    return compressor.compress(packed)


def _to_text(packed: bytes) -> str:
    return binascii.b2a_base64(packed, newline=False).decode()


def _dump(
    order: Iterable[Serializer], name: str, value: Any
) -> tuple[Serializer, Sequence[Buffer]]:
    """Return the first serializer that does not decline, and the parts that it makes."""
    declined: dict[str, list[str]] = {}  # reason → tags
    for serializer in order:
        try:
            parts = serializer.dump(value)
        except Declined as error:
            declined.setdefault(error.what, []).append(serializer.tag)
        except Exception as error:
            from flow_core.pickling import unstorable

            raise unstorable(name, value, error) from error
        else:
            for why, tags in declined.items():
                sys.stderr.write(
                    f"Artifact '{name}' is stored by {serializer.tag}, "
                    f"since {' and '.join(tags)} cannot store it exactly: {why}\n"
                )
            return serializer, parts
    raise AssertionError("pickle comes last and declines nothing")

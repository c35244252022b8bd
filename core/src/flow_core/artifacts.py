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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from flow_core.blobs import LARGE, Blobs, damaged, hash_of, verify
from flow_core.errors import ArtifactError, Declined, FormatError
from flow_core.index import PluginIndex
from flow_core.interfaces import Buffer, Serializer, Store
from flow_core.records import ArtifactRef
from flow_core.text import type_name

if TYPE_CHECKING:
    from flow_core.blob_cache import BlobCache

MAGIC = b"FLOWART1"
ALIGN = 64
CHUNK = 1 << 20
_ITEMS_AT_ONCE = 256 << 10
"""Bytes of all items of a foreach up to which a task reads them at once, instead of its own by two
requests."""
_WIDE, _WIDE_ITEMS, _ROOM = 4, 16, 32
"""What travels in a manifest of a store that is no disk of this machine, in multiples of
``inline_limit``: of one value, of the items of a foreach, of all values. See docs/design/0029."""
_MOST_WAITING = 32 << 20
_ROW = struct.Struct("<QQ16s")
_IMMUTABLE = (str, bytes, int, float, bool, complex, type(None))


class Batch:
    """The values of one manifest: what travels in it, and small blobs that are written together.

    Made by `ArtifactStore.batch`.
    """

    def __init__(self, blobs: Blobs, limit: int, wide: int, room: int) -> None:
        self._blobs = blobs
        self._limit = limit
        self._wide = wide
        self._room = room
        self._waiting: dict[str, bytes] = {}

    def has_room(self, size: int) -> bool:
        """Whether a packed value of ``size`` bytes travels in the manifest; then its room is used."""
        if size <= self._limit:
            return True
        if size > min(self._wide, self._room):
            return False
        self._room -= size
        return True

    def add(self, packed: bytes) -> str:
        """Let a small blob be written with the others, by `flush` at the latest; return its hash."""
        digest = blake3(packed).hexdigest()
        self._waiting[digest] = packed
        if sum(map(len, self._waiting.values())) > _MOST_WAITING:
            self.flush()
        return digest

    def flush(self) -> None:
        """Write what waits, at the same time; a reference counts only after that."""
        if self._waiting:
            self._blobs.put_small(self._waiting)
            self._waiting = {}


class ArtifactStore:
    """Saves values to a store and loads them back.

    Args:
        store: where the blobs lie.
        index: where serializers of plugins are found.
        inline_limit: bytes up to which a packed value is kept in its reference.
        prefer: tags of serializers that are asked first.
        cache: what this machine keeps of the blobs, as from `open_cache`; None = nothing.
    """

    def __init__(
        self,
        store: Store,
        index: PluginIndex,
        inline_limit: int = 4096,
        prefer: Sequence[str] = (),
        cache: BlobCache | None = None,
    ) -> None:
        self.store = store
        self._blobs = Blobs(store, cache)
        self._inline_limit = inline_limit
        self._prefer = tuple(prefer)
        self._serializers = _Serializers(index)
        self._items: tuple[str, Buffer] = ("", b"")

    def batch(self, inherited: Mapping[str, ArtifactRef], *, wide: bool = True) -> Batch:
        """Return what the values of one manifest are saved with, one after the other.

        Args:
            inherited: references that travel in it already.
            wide: whether larger values may travel in it too, where a blob costs a request. They are
                copied into each manifest that inherits them.
        """
        limit = self._inline_limit
        if self.store.capabilities.mappable or not wide:
            return Batch(self._blobs, limit, limit, 0)
        taken = sum(ref.size for ref in inherited.values() if self._is_wide(ref))
        return Batch(self._blobs, limit, _WIDE * limit, _ROOM * limit - taken)

    def save(
        self,
        name: str,
        value: Any,
        previous: ArtifactRef | None = None,
        prefer: Sequence[str] = (),
        batch: Batch | None = None,
    ) -> ArtifactRef:
        """Store ``value`` and return the reference to it.

        Args:
            name: name of the artifact, for errors.
            value: any value that a serializer takes.
            previous: the reference that the value was loaded from: when it has not changed since,
                nothing is written.
            prefer: tags of serializers that are asked before all others.
            batch: with what else it is written; None = it is in the store on return.

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
        if batch.has_room(size) if batch else size <= self._inline_limit:
            packed = b"".join(_pack(parts))
            text = _to_text(packed)
            digest = blake3(packed).hexdigest()
            return ArtifactRef(digest, size, kind, serializer.tag, True, text)
        known = None
        if previous is not None and previous.size == size and not previous.inline:
            known = hash_of(_pack(parts, LARGE), size)
            if known == previous.hash:
                return previous
        if batch is not None and size <= LARGE and not self.store.capabilities.mappable:
            digest = batch.add(b"".join(_pack(parts)))
        else:
            longest = CHUNK if self.store.capabilities.mappable else LARGE
            digest = self._blobs.put(lambda: _pack(parts, longest), size, known)
        return ArtifactRef(digest, size, kind, serializer.tag)

    def narrowed(self, table: Mapping[str, ArtifactRef], batch: Batch) -> dict[str, ArtifactRef]:
        """Return references of which only those of small values travel with a value.

        A value that was worth a place in one manifest is not worth one in each of a thousand.

        Args:
            table: references by name.
            batch: what the other values become blobs with.
        """
        return {
            name: ref._replace(
                hash=batch.add(binascii.a2b_base64(ref.value)), inline=False, value=None
            )
            if self._is_wide(ref)
            else ref
            for name, ref in table.items()
        }

    def _is_wide(self, ref: ArtifactRef) -> bool:
        return ref.inline and ref.serializer != "json" and ref.size > self._inline_limit

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
            verify(content, ref.hash, ref.size, what, "its manifest")
        else:
            content = self._blobs.get(ref.hash, ref.size, what)
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
            if total > LARGE:
                digest = self._blobs.put_stream(itertools.chain(small, stream))
                return _items_ref(digest, total, rows)
        size = total + len(rows) * _ROW.size
        if self._items_travel(total, size):
            packed = b"".join(small)
            text = _to_text(packed)
            ref = ArtifactRef(blake3(packed).hexdigest(), size, "items", "items", True, text)
            return ref, len(rows)
        return _items_ref(self._put_items(small, size), total, rows)

    def _items_travel(self, total: int, size: int) -> bool:
        """Whether the items of a foreach travel in the manifest of the task that splits, which each
        of its tasks reads anyway; as a blob they cost each of them a request more."""
        limit = self._inline_limit
        if self.store.capabilities.mappable:
            return total <= limit and size <= 2 * limit
        return size <= _WIDE_ITEMS * limit

    def _put_items(self, content: Iterable[Buffer], size: int) -> str:
        if not self._read_at_once(size):
            return self._blobs.put_stream(content)
        packed = b"".join(content)
        digest = blake3(packed).hexdigest()
        self._blobs.put_small({digest: packed})
        return digest

    def _read_at_once(self, size: int) -> bool:
        """Whether the items of a foreach, of ``size`` bytes, are a blob that is read as a whole."""
        return size <= _ITEMS_AT_ONCE and not self.store.capabilities.mappable

    def load_item(self, ref: ArtifactRef, index: int, count: int, what: str) -> Any:
        """Return item ``index`` of ``count``; errors as `load`."""
        import pickle

        read = self._item_reader(ref, what)
        offset, length, digest = _row(ref, index, count, read)
        packed = read(offset, length) if offset + length <= ref.size else b""
        if len(packed) != length or blake3(packed).digest(16) != digest:
            raise damaged(what, "its bytes do not have the hash that belongs to them", ref.hash)
        try:
            return pickle.loads(packed)
        except Exception as error:
            raise _unreadable(what, error) from error

    def item_hash(self, ref: ArtifactRef, index: int, count: int, what: str) -> str:
        """Return the hash of item ``index`` of ``count``; errors as `load`."""
        return _row(ref, index, count, self._item_reader(ref, what))[2].hex()

    def _item_reader(self, ref: ArtifactRef, what: str) -> Callable[[int, int], bytes]:
        whole = self._all_items(ref, what)
        if whole is not None:
            return lambda offset, length: bytes(whole[offset : offset + length])

        def read(offset: int, length: int) -> bytes:
            piece = self._blobs.part(ref.hash, offset, length)
            if piece is None:
                raise damaged(what, "it is missing", ref.hash)
            return piece

        return read

    def _all_items(self, ref: ArtifactRef, what: str) -> memoryview | None:
        """Return all items of a foreach, where they came with the manifest or are read at once."""
        if not ref.inline and not self._read_at_once(ref.size):
            return None
        digest, content = self._items
        if digest != ref.hash:
            if ref.inline:
                content = binascii.a2b_base64(ref.value)
            else:
                content = self._blobs.get(ref.hash, ref.size, what)
            self._items = (ref.hash, content)  # a task asks for the hash of its item, too
        return memoryview(content)

    # --- raw bytes ------------------------------------------------------------------------------

    def put_bytes(self, data: bytes) -> str:
        """Store raw bytes, such as a code snapshot; return their hash."""
        return self._blobs.put_raw(data)

    def has_bytes(self, digest: str, size: int) -> bool:
        """Return whether raw bytes are there, whole, and stay there for now."""
        return self._blobs.has_raw(digest, size)

    def get_bytes(self, digest: str, what: str) -> bytes:
        """Return raw bytes by their hash; `IntegrityError` when missing or damaged."""
        return bytes(self._blobs.get(digest, None, what))

    def read_ahead(self, refs: Iterable[ArtifactRef]) -> None:
        """Read values that will be loaded soon, at the same time, as far as they are small."""
        self._blobs.ahead({ref.hash: ref.size for ref in refs if not ref.inline})


def _items_ref(digest: str, total: int, rows: Sequence[bytes]) -> tuple[ArtifactRef, int]:
    size = total + len(rows) * _ROW.size
    return ArtifactRef(digest, size, "items", "items"), len(rows)


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


def _pack(parts: Sequence[Buffer], longest: int = CHUNK) -> Iterator[Buffer]:
    """Yield the container in pieces of at most ``longest`` bytes, without copying big parts."""
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
        for start in range(0, view.nbytes, longest):
            yield view[start : start + longest]
        position = offset + view.nbytes


def unpack(content: Buffer, what: str) -> list[memoryview]:
    """Return the parts of a container as views of ``content``, which must be verified already."""
    view = memoryview(content)
    if bytes(view[:7]) != MAGIC[:7]:
        raise damaged(what, "it is no artifact container", "")
    if bytes(view[:8]) != MAGIC:
        raise FormatError(
            f"{what[:1].upper()}{what[1:]} has a newer format",
            why="it was written by a newer version of flow-core",
            hint="pip install --upgrade flow-core",
        )
    (count, _) = struct.unpack_from("<II", view, 8)
    table = [struct.unpack_from("<QQ", view, 16 + 16 * n) for n in range(count)]
    return [view[offset : offset + length] for offset, length in table]


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
            if isinstance(error, ModuleNotFoundError) and serializer.tag != "pickle":
                # The plugin came along to an environment that lacks its library.
                why = f"there is no module '{error.name}' here"
                declined.setdefault(why, []).append(serializer.tag)
                continue
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

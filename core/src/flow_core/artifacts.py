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

import base64
import functools
import io
import itertools
import math
import mmap
import os
import pickle
import re
import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import FunctionType
from typing import Any

from blake3 import blake3

from flow_core.errors import ArtifactError, FormatError, IntegrityError
from flow_core.index import PluginIndex
from flow_core.interfaces import Buffer, Serializer, Store
from flow_core.records import ArtifactRef, blob_key

MAGIC = b"FLOWART1"
ALIGN = 64
CHUNK = 1 << 20
_MAPPED = 1 << 20
"""Bytes from which a blob is mapped: each mapping holds a file descriptor, of which a process has a
thousand, and a join may read more arrays than that. Smaller ones are as soon read."""
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ROW = struct.Struct("<QQ16s")
_LONGEST_PATH, _LONGEST_LABEL = 200, 60
_IMMUTABLE = (str, bytes, int, float, bool, complex, type(None))


class ArtifactStore:
    """Saves values to a store and loads them back.

    Args:
        store: where the blobs lie.
        index: where serializers of plugins are found.
        inline_limit: bytes up to which a packed value is kept in its reference.
    """

    def __init__(self, store: Store, index: PluginIndex, inline_limit: int = 4096) -> None:
        self.store = store
        self._inline_limit = inline_limit
        self._pickle = PickleSerializer()
        self._serializers = _Serializers(index, self._pickle)

    def save(self, name: str, value: Any, previous: ArtifactRef | None = None) -> ArtifactRef:
        """Store ``value`` and return the reference to it.

        Args:
            name: name of the artifact, for errors.
            value: any value that a serializer takes.
            previous: the reference that the value was loaded from: when it has not changed since,
                nothing is written.

        Raises:
            ArtifactError: the value cannot be stored; names the path to the part that cannot.
            StoreError: the store refused it.
        """
        kind = _type_name(value)
        if _is_json_scalar(value, self._inline_limit):
            return _json_ref(value, kind)
        serializer = self._serializers.for_value(value)
        parts = _dump(serializer, name, value)
        size = _packed_size(parts)
        if size <= self._inline_limit:
            packed = b"".join(_pack(parts))
            text = base64.b64encode(packed).decode()
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
            content: Buffer = bytearray(base64.b64decode(ref.value))
            _verify(content, ref.hash, ref.size, what, "its manifest")
        else:
            content = self._content(ref.hash, ref.size, what)
        serializer = self._serializers.for_tag(ref.serializer, what)
        parts = unpack(content, what)
        try:
            return serializer.load(parts)
        except Exception as error:
            raise ArtifactError(
                f"{what[:1].upper()}{what[1:]} cannot be read back",
                why=f"{type(error).__name__}: {error}",
                hint=f"it is a {ref.type}: install or import what defines it",
            ) from error

    def unchanged(self, value: Any, loaded: Any) -> bool:
        """Whether ``value`` is ``loaded`` itself, of a type that cannot change in place."""
        return value is loaded and type(value) in _IMMUTABLE

    # --- foreach items --------------------------------------------------------------------------

    def save_items(self, name: str, values: Iterable[Any]) -> tuple[ArtifactRef, int]:
        """Store the items of a foreach one by one; return the reference and their number."""
        rows: list[bytes] = []
        total = 0

        def content() -> Iterator[Buffer]:
            nonlocal total
            for number, value in enumerate(values):
                packed = _dump_in_band(f"{name}[{number}]", value)
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
            text = base64.b64encode(packed).decode()
            ref = ArtifactRef(blake3(packed).hexdigest(), size, "items", "items", True, text)
            return ref, len(rows)
        digest = self._put_stream(itertools.chain(small, stream))
        return ArtifactRef(digest, total + len(rows) * _ROW.size, "items", "items"), len(rows)

    def load_item(self, ref: ArtifactRef, index: int, count: int, what: str) -> Any:
        """Return item ``index`` of ``count``; errors as `load`."""
        read = self._item_reader(ref, what)
        row = read(ref.size - (count - index) * _ROW.size, _ROW.size)
        offset, length, digest = _ROW.unpack(row) if len(row) == _ROW.size else (0, 0, b"")
        packed = read(offset, length) if offset + length <= ref.size else b""
        if len(packed) != length or blake3(packed).digest(16) != digest:
            raise _damaged(what, "its bytes do not have the hash that belongs to them", ref.hash)
        try:
            return pickle.loads(packed)
        except Exception as error:
            raise ArtifactError(
                f"{what[:1].upper()}{what[1:]} cannot be read back",
                why=f"{type(error).__name__}: {error}",
            ) from error

    def _item_reader(self, ref: ArtifactRef, what: str) -> Callable[[int, int], bytes]:
        if ref.inline:
            packed = base64.b64decode(ref.value)
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
        if not sound:
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
        if self.store.size(blob_key(digest)) != len(content):
            self.store.write([(blob_key(digest), content)])
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


class PickleSerializer:
    """Pickle protocol 5 with the buffers out of band: for every value that has no serializer.

    Functions, and classes of the flow's own file, are stored by value (cloudpickle), so that a
    reader in another script or notebook, which does not have them, gets them back. Inside the flow
    the file's own class is used.
    """

    tag = "pickle"
    safe = False

    def can(self, value: Any) -> bool:
        """Always True: whether it really can be stored shows when it is tried."""
        return True

    def dump(self, value: Any) -> Sequence[Buffer]:
        """Return the pickle stream and the buffers."""
        buffers: list[pickle.PickleBuffer] = []
        stream = _dump_stream(value, buffers.append)
        return [stream, *(_flat(b) for b in buffers)]

    def load(self, parts: Sequence[Buffer]) -> Any:
        """Undo `dump`."""
        return pickle.loads(parts[0], buffers=parts[1:])


class _Serializers:
    """Finds the serializer for a value (write side) or a tag (read side)."""

    def __init__(self, index: PluginIndex, fallback: PickleSerializer) -> None:
        self._index = index
        self._fallback = fallback
        self._loaded: dict[str, Serializer] = {"pickle": fallback, "json": _JsonSerializer()}

    def for_value(self, value: Any) -> Serializer:
        for tag in self._index.names("flow.serializers"):
            # A value of pandas exists only where pandas is imported: others are not even loaded.
            if tag.partition(".")[0] in sys.modules and self._get(tag).can(value):
                return self._get(tag)
        return self._fallback

    def for_tag(self, tag: str, what: str) -> Serializer:
        if tag not in self._loaded and tag not in self._index.names("flow.serializers"):
            raise ArtifactError(
                f"{what[:1].upper()}{what[1:]} was stored by the serializer '{tag}', "
                "which is not installed",
                hint=f"install the plugin that provides the serializer '{tag}'",
            )
        return self._get(tag)

    def _get(self, tag: str) -> Serializer:
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


def _flat(buffer: pickle.PickleBuffer) -> memoryview:
    """Return a view of the buffer's bytes; `raw` of it fails for arrays that are not contiguous,
    which pickle therefore never passes here."""
    return buffer.raw()


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


# --- pickle -------------------------------------------------------------------------------------


class _Pickler(pickle.Pickler):
    """Stores what only this process knows by value: the flow file's classes, and functions."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, (type, FunctionType)) and _only_here(value):
            payload = _by_value(value)
            return restore_local, (_main_file(), value.__module__, value.__qualname__, payload)
        return NotImplemented


def _main_file() -> str:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.realpath(file) if file else ""


def _by_value(value: Any) -> bytes:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            reduced = super().reducer_override(obj)
            if isinstance(obj, type) and isinstance(reduced, tuple):
                # cloudpickle gives each class a random number, so that a process that reads it
                # twice gets one class. Our payloads must be equal for equal code; `_restored`
                # does the same by the payload.
                make, arguments, *rest = reduced
                plain = tuple(None if _is_tracker(a) else a for a in arguments)
                reduced = (make, plain, *rest)
            return reduced

    buffer = io.BytesIO()
    Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()


def _is_tracker(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


@functools.lru_cache(maxsize=256)
def _restored(payload: bytes) -> Any:
    return pickle.loads(payload)


def _only_here(value: Any) -> bool:
    module = getattr(value, "__module__", None)
    return module == "__main__" or "<" in getattr(value, "__qualname__", "")


def restore_local(file: str, module: str, qualname: str, payload: bytes) -> Any:
    """Return a class or function that was stored by value. Its name is part of the stored format.

    In the flow's own process this is the object of the flow file, so that ``isinstance`` holds.
    """
    if module == "__main__" and file and _main_file() == file:
        found: Any = sys.modules.get("__main__")
        for part in qualname.split("."):
            found = getattr(found, part, None)
        if found is not None:
            return found
    return _restored(payload)


def _dump_stream(value: Any, take: Callable[[pickle.PickleBuffer], Any] | None) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5, buffer_callback=take).dump(value)
    return buffer.getvalue()


def _dump(serializer: Serializer, name: str, value: Any) -> Sequence[Buffer]:
    try:
        return serializer.dump(value)
    except Exception as error:
        raise _unstorable(name, value, error) from error


def _dump_in_band(name: str, value: Any) -> bytes:
    try:
        return _dump_stream(value, None)
    except Exception as error:
        raise _unstorable(name, value, error) from error


def _unstorable(name: str, value: Any, error: Exception) -> ArtifactError:
    path, culprit = find_unpicklable(f"self.{name}", value)
    what = f"Artifact '{name}' cannot be stored: {path} is a {_type_name(culprit)}"
    private = f"give it a name that is not kept: self.__{name.partition('[')[0].lstrip('_')}"
    why = f"{type(error).__name__}: {error}"
    if isinstance(error, RecursionError):
        return ArtifactError(
            f"{what} with too many levels below it",
            why=why,
            hint="store it flat, such as a list of nodes that refer to each other by number, "
            f"or {private}",
        )
    return ArtifactError(
        what,
        why=why,
        hint="keep what can be stored (data, not connections, locks, files or generators), "
        f"or {private}",
    )


def find_unpicklable(path: str, value: Any) -> tuple[str, Any]:
    """Return the path to, and the value of, the innermost part of ``value`` that pickle refuses.

    Of a long path the middle is left out.
    """
    seen: set[int] = set()
    labels = [path]
    while id(value) not in seen:
        seen.add(id(value))
        for label, child in _children(value):
            if not _picklable(child):
                labels.append(_shorten(label, _LONGEST_LABEL))
                value = child
                break
        else:
            break
    return _shorten("".join(labels), _LONGEST_PATH), value


def _shorten(text: str, most: int) -> str:
    """Return ``text`` with at most ``most`` characters, of which ``…`` stands for the middle."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def _picklable(value: Any) -> bool:
    try:
        _dump_stream(value, None)
    except Exception:  # of any type: it cannot be stored
        return False
    return True


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"[{_repr(key)}]", item
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield f"[{number}]", item
    elif isinstance(value, (set, frozenset)):
        for item in value:
            yield "{…}", item
    elif not isinstance(value, type):
        for name, item in _state(value).items():
            yield f".{name}", item


def _repr(key: Any) -> str:
    try:
        return repr(key)
    except Exception:  # of the user's class, or nested too deeply
        return f"<{_type_name(key)}>"


def _state(value: Any) -> dict[str, Any]:
    """Return the attributes that pickle would store; none when the class sees to that itself."""
    kind: Any = type(value)
    if kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:
        return {}
    try:
        # Objects have __getstate__ from Python 3.11 on.
        state = value.__getstate__() if hasattr(value, "__getstate__") else value.__dict__
    except Exception:
        return {}  # the class refuses: the object itself is what cannot be stored
    parts = state if isinstance(state, tuple) else (state,)
    return {k: v for part in parts if isinstance(part, dict) for k, v in part.items()}


def _type_name(value: Any) -> str:
    kind = type(value)
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"

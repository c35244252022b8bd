"""Manifests in the store: each under its own key, or many together in a *pack*.

A task that runs commits its manifest under its own key, create-only. The launcher reuses tasks by
the thousand, and a folder for each would cost more than all the rest: their manifests lie in packs,
of a few hundred each. All who read manifests do it through this module.

Pack: a line ``flow-pack FORMAT HASH``, a line of JSON (place → offset and length), then the
manifests as they would lie under their own keys. HASH is the BLAKE3 of the second line; each
manifest carries its own.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from flow_core.errors import FlowError, IntegrityError
from flow_core.records import Manifest, check_format, manifest_key, run_prefix

if TYPE_CHECKING:
    from flow_core.interfaces import Store

_FOLDER = "reused.d/"
_KIND = b"flow-pack"
_BATCH = 500
_KEPT = 4


def packs_prefix(flow: str, run: str) -> str:
    """The packs of a run lie below this. No step can have a name with a dot."""
    return run_prefix(flow, run) + _FOLDER


def pack(manifests: Sequence[Manifest]) -> tuple[str, bytes]:
    """Return key and content of the pack of some manifests of one run, at least one.

    Since 0.1.
    """
    from blake3 import blake3

    table: dict[str, tuple[int, int]] = {}
    contents, position = [], 0
    for manifest in manifests:
        content = manifest.encode()
        table[f"{manifest.step}/{manifest.task}/{manifest.attempt}"] = (position, len(content))
        contents.append(content)
        position += len(content)
    tasks = [m.task for m in manifests]
    head = json.dumps({"format": 1, "places": table}, separators=(",", ":")).encode()
    first = f"flow-pack 1 {blake3(head).hexdigest()}".encode()
    key = f"{packs_prefix(manifests[0].flow, manifests[0].run)}{min(tasks)}-{max(tasks)}"
    return key, b"\n".join((first, head, b"".join(contents)))


def unpack(content: bytes, key: str) -> dict[str, bytes]:
    """Return the stored manifests of a pack by ``step/task/attempt``.

    Raises:
        IntegrityError: the bytes are not what was written.
        FormatError: a newer format.
    """
    from blake3 import blake3

    first, _, rest = content.partition(b"\n")
    head, _, body = rest.partition(b"\n")
    words = first.split(b" ")
    if len(words) == 3 and words[0] == _KIND and words[1].isdigit():
        check_format({"format": int(words[1])}, "pack of records", key)
        if blake3(head).hexdigest().encode() == words[2]:
            places = json.loads(head)["places"]
            return {place: body[at : at + length] for place, (at, length) in places.items()}
    raise IntegrityError(
        "A pack of records of reused tasks is damaged",
        where=key,
        why="its bytes do not have the hash that it carries",
        hint="restore the file from a copy, or run the flow again",
    )


unpack_manifests = unpack
"""Its name among those of all modules."""


class ManifestReader:
    """Reads manifests, wherever they lie; the packs that were read last are kept.

    Args:
        store: where they lie.

    Since 0.1.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._names: dict[str, list[str]] = {}
        self._pack = functools.lru_cache(_KEPT)(self._read_pack)  # safe among threads

    def raw(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the stored form of each manifest, in order; None where there is none.

        Args:
            keys: as from `manifest_key`.
        """
        # Of a run that is known to have packs they are looked at first: most of its tasks lie there.
        packed = {key: found for key in keys if (found := self._known(key)) is not None}
        stored = iter(self._store.read([key for key in keys if key not in packed]))
        for key in keys:
            content = packed[key] if key in packed else next(stored)
            yield content if content is not None else self._packed(key)

    def read(self, keys: Sequence[str]) -> Iterator[Manifest | None]:
        """Yield each manifest, in order; None where there is none.

        Raises:
            IntegrityError: one is damaged.
        """
        for key, content in zip(keys, self.raw(keys), strict=True):
            yield None if content is None else Manifest.decode(content, key)

    def one(self, flow: str, run: str, step: str, task: int, attempt: int) -> Manifest | None:
        """Return the manifest of one attempt, or None; errors as `read`."""
        return next(self.read([manifest_key(flow, run, step, task, attempt)]))

    def _known(self, key: str) -> bytes | None:
        """Return what the packs have that are known already."""
        place = _place_of(key) if self._names else None
        if place is None:
            return None
        prefix, name, task = place
        return self._find(prefix, self._names.get(prefix, ()), name, task)

    def _packed(self, key: str) -> bytes | None:
        """Return what the packs have: a run that goes on gets further ones."""
        place = _place_of(key)
        if place is None:
            return None
        prefix, name, task = place
        known = self._names.get(prefix, [])
        found = self._find(prefix, known, name, task)
        if found is None:
            self._names[prefix] = self._store.folders(prefix)
            found = self._find(
                prefix, [n for n in self._names[prefix] if n not in known], name, task
            )
        return found

    def _find(self, prefix: str, names: Iterable[str], place: str, task: int) -> bytes | None:
        packs = (self._pack(prefix + name) for name in names if _may_hold(name, task))
        return next((pack[place] for pack in packs if place in pack), None)

    def _read_pack(self, key: str) -> dict[str, bytes]:
        content = next(iter(self._store.read([key])))
        return {} if content is None else unpack(content, key)


def _place_of(key: str) -> tuple[str, str, int] | None:
    """Return below what the packs lie that may have a manifest, its place there, and its task."""
    parts = key.split("/")
    if len(parts) != 7 or parts[6] != "manifest":
        return None
    _, flow, run, step, task, attempt, _ = parts
    return packs_prefix(flow, run), f"{step}/{task}/{attempt}", int(task)


def _may_hold(name: str, task: int) -> bool:
    first, _, last = name.partition("-")
    return first.isdigit() and last.isdigit() and int(first) <= task <= int(last)


def list_manifests(
    store: Store,
    flow: str,
    run: str,
    problems: list[str] | None = None,
    known: set[str] | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yield key and stored form of all manifests of a run, packed ones too.

    Args:
        store: where the run lies.
        flow, run: which run.
        problems: one sentence is added for each pack that cannot be read; None = it is raised.
        known: keys of objects that are not read; what is read is added. None = all are read.

    Since 0.1.
    """
    # A listing of everything below costs a remote store far less than one of each folder.
    prefix = run_prefix(flow, run)
    keys = (o.key for o in store.list(prefix) if _is_record(o.key[len(prefix) :]))
    if known is not None:
        keys = (key for key in keys if key not in known)
    while batch := list(itertools.islice(keys, _BATCH)):
        if known is not None:
            known.update(batch)
        for key, content in zip(batch, store.read(batch), strict=True):
            if content is None:
                continue  # deleted since it was listed
            if not key.startswith(prefix + _FOLDER):
                yield key, content
                continue
            try:
                yield from _members(prefix, unpack(content, key))
            except FlowError as error:
                if problems is None:
                    raise
                problems.append(f"{key}: {error.what}" + (f": {error.why}" if error.why else ""))


def _members(prefix: str, packed: dict[str, bytes]) -> Iterable[tuple[str, bytes]]:
    return ((f"{prefix}{place}/manifest", content) for place, content in packed.items())


def _is_record(rest: str) -> bool:
    parts = rest.split("/")
    if len(parts) == 2:
        return parts[0] + "/" == _FOLDER
    return len(parts) == 4 and parts[3] == "manifest"

"""Copies runs from one store to another: verified, and in an order in which it may be cut short.

A run is copied in batches of its records: first the blobs that they name, then they themselves; at
the very end its ``run.json``, without which there is no run. What is there already is not copied
again, and never overwritten. See docs/stores.md.
"""

from __future__ import annotations

import functools
import itertools
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import (
    AttemptState,
    FlowError,
    IntegrityError,
    Manifest,
    ManifestReader,
    RunDocument,
    attempt_prefix,
    blob_key,
    compress_frames,
    heartbeat_key,
    numbers_prefix,
    result_key,
    run_key,
    run_prefix,
    tag_marks_prefix,
    tags_prefix,
    unpack_manifests,
)
from flow_stores import blobs

if TYPE_CHECKING:
    from flow_core.api import Attributes, Buffer, RunRecord, Store

CARRIERS = "flow.file_carriers"
"""Group of entry points of which each says how files of runs are copied: see `Carrier`."""
Carrier = Callable[
    ["Store", "Store", Sequence[str]],
    "Iterable[tuple[str, Attributes | None, tuple[str, bytes] | None]]",
]
"""What a plugin offers there: for keys of files that the source has, the key of each that is to be
copied, the attributes that it is written with, and an object that is written after it, (key, content)."""

_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_LOGS = ("stdout", "stderr", "stdout.times", "stderr.times", "logs")
_PACKS = "reused.d"
_BATCH = 500
_BYTES = 8 << 20
"""Bytes of objects that are copied together, and from which on one is copied in pieces."""
_FRAMED = 8 << 20
"""Bytes of content above which readers look for several frames, and not for one."""
_KEPT = 4
_MOMENT = 0.2
"""Seconds between two looks whether what another thread copies is there."""
_STREAMS = 8
_FILES = "files"


class Ended(NamedTuple):
    """What became of one run.

    Attributes:
        pathspec: ``Flow/run``.
        outcome: ``copied``; ``there``: nothing was missing; ``conflict``: there is another one of
            its name; ``failed``.
        objects, bytes: what was copied, of it and of what it reaches.
        notes: what a person should know.
    """

    pathspec: str
    outcome: str
    objects: int
    bytes: int
    notes: tuple[str, ...] = ()


class Stopped(Exception):
    """The copying was ended: what has begun is left as it is."""


class Copier:
    """Copies runs between two stores; its methods may be called from several threads.

    Args:
        source, target: the stores.
        runs: all runs that are copied, (flow, run).
        carrier: says how files are copied; None = as they are.
        dry: only look what would be copied.
        verify: read again what is in the target already, too.

    Attributes:
        objects, bytes: what has been copied, or would be.
        stop: set to end it at the next object.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        runs: Iterable[tuple[str, str]] = (),
        *,
        carrier: Carrier | None = None,
        dry: bool = False,
        verify: bool = False,
    ) -> None:
        self.source = source
        self.target = target
        self.carrier = carrier
        self.objects = 0
        self.bytes = 0
        self.stop = threading.Event()
        self._runs = {*runs}
        self._dry = dry
        self._verify = verify
        self._lock = threading.Lock()
        self._done: set[str] = set()
        self._claimed: set[str] = set()
        self._freed = threading.Condition()
        self._outputs = functools.lru_cache(_KEPT)(self._list_outputs)

    def reserve(self, runs: Iterable[RunRecord]) -> None:
        """See to it that no launcher gives a new run of the target the number of one that comes."""
        for flow, group in itertools.groupby(sorted(runs), key=lambda run: run.flow):
            prefix = numbers_prefix(flow)
            numbers = [run.run for run in group] + self.source.folders(prefix)
            highest = max((int(number) for number in numbers if number.isdigit()), default=0)
            there = [int(n) for n in self.target.folders(prefix) if n.isdigit()]
            if highest > max(there, default=0) and not self._dry:
                self.target.write([(f"{prefix}{highest}", b"")], create_only=True)

    def run(self, run: RunRecord) -> Ended:
        """Copy one run with all that it reaches.

        Raises:
            StoreError: a store cannot be reached.
        """
        job = _Job(self, run)
        try:
            return job.carry_out()
        except IntegrityError as error:
            notes = (*job.notes, f"{error.what}: {error.where}")
            return Ended(run.pathspec, "failed", job.objects, job.bytes, notes)

    @contextmanager
    def claimed(self, digests: set[str]) -> Iterator[list[str]]:
        """Give those blobs that nobody else is copying, sorted; runs that are copied at the same time
        share some. If there are none, it is after a moment in which one may have come."""
        with self._freed:
            if digests <= self._claimed:
                self._freed.wait(_MOMENT)
            own = digests - self._claimed - self._done
            self._claimed |= own
        try:
            yield sorted(own)
        finally:
            with self._freed:
                self._claimed -= own
                self._freed.notify_all()

    def others(self, keys: Iterable[tuple[str, int]]) -> Ended:
        """Copy objects of plugins, (key, bytes), with what they reach."""
        job = _Job(self, None)
        job.copy([*keys], {}, whole=False)
        return Ended("", "copied", job.objects, job.bytes, tuple(job.notes))

    def _list_outputs(self, flow: str, run: str) -> dict[str, list[tuple[str, int]]]:
        """Return what attempts of a run have left besides manifests, by their prefix."""
        found: dict[str, list[tuple[str, int]]] = {}
        for entry in self.source.list(run_prefix(flow, run)):
            parts = entry.key.split("/")
            if len(parts) > 6 and parts[5].isdigit() and parts[6:] != ["manifest"]:
                found.setdefault("/".join(parts[:6]) + "/", []).append((entry.key, entry.size))
        return found


class _Job:
    """The copying of one run; of objects of plugins if it is None."""

    def __init__(self, copier: Copier, run: RunRecord | None) -> None:
        self.copier = copier
        self.run = run
        self.objects = 0
        self.bytes = 0
        self.notes: list[str] = []
        self._manifests = ManifestReader(copier.source)

    # --- a run ----------------------------------------------------------------------------------

    def carry_out(self) -> Ended:
        assert self.run is not None
        flow, run = self.run.flow, self.run.run
        source, target = self.copier.source, self.copier.target
        start = next(iter(source.read([run_key(flow, run)])))
        if start is None:
            return self._ended("failed", "it was removed meanwhile")
        there = next(iter(target.read([run_key(flow, run)])))
        if there is not None and there != start:
            return self._ended("conflict", "the target has another run of this name")
        self._copy_parts(flow, run, whole=there is not None)
        if there is None:
            self._copy_references(start, self._required(start, run_key(flow, run)))
            if not self._write([(run_key(flow, run), start)])[0]:
                return self._ended("conflict", "another run of this name was started meanwhile")
        return self._ended("copied" if self.objects else "there")

    def _ended(self, outcome: str, note: str = "") -> Ended:
        assert self.run is not None
        notes = (*dict.fromkeys(self.notes), *([note] if note else []))
        return Ended(self.run.pathspec, outcome, self.objects, self.bytes, notes)

    def _copy_parts(self, flow: str, run: str, *, whole: bool) -> None:
        """Copy all that lies below a run but its ``run.json``."""
        prefixes = (
            f"{_FILES}/{flow}/{run}/",
            run_prefix(flow, run),
            f"{tag_marks_prefix(flow)}{run}/",
        )
        have = {e.key: e.size for prefix in prefixes for e in self.copier.target.list(prefix)}
        late = (run_key(flow, run), heartbeat_key(flow, run), result_key(flow, run))
        tags = (tag_marks_prefix(flow), tags_prefix(flow, run))
        # The tags of a run that is there whole have a life of their own.
        own = tags if whole and any(key.startswith(tags) for key in have) else ()
        found = (e for prefix in prefixes for e in self.copier.source.list(prefix))
        keys = [(e.key, e.size) for e in found if e.key not in late and not e.key.startswith(own)]
        ends = [(e.key, e.size) for e in self.copier.source.list(late[2]) if e.key == late[2]]
        files = [(key, size) for key, size in keys if key.startswith(prefixes[0])]
        self.copy([pair for pair in keys if pair not in {*files}], have, whole=whole)
        self._copy_files(files, have, whole=whole)
        self.copy(ends, have, whole=whole)

    def _copy_files(
        self, files: Sequence[tuple[str, int]], have: dict[str, int], *, whole: bool
    ) -> None:
        """Copy files of the run, with their content types and metadata in the form of the target."""
        if self.copier.carrier is None:
            self.copy(files, have, whole=whole)
            return
        sizes = dict(files)
        for batch in _batches((key, 0) for key in sizes):
            found = [*self.copier.carrier(self.copier.source, self.copier.target, batch)]
            new = [(key, a) for key, a, _ in found if a is not None and key not in have]
            streamed = {key for key, _ in new}
            rest = [(key, sizes[key]) for key, _, _ in found if key not in streamed]
            self.copy(rest, have, whole=whole)
            self._stream_files(new, sizes)
            beside = [pair for _, _, pair in found if pair is not None]
            self._write([pair for pair in beside if pair[0] not in have])

    def _stream_files(self, files: Sequence[tuple[str, Attributes]], sizes: dict[str, int]) -> None:
        """Copy files that are written with attributes, some at the same time."""

        def one(key: str, attributes: Attributes) -> bool:
            stored = self.copier.source.stream(key)
            return stored is not None and self._stream(key, stored, attributes)

        if files:
            with ThreadPoolExecutor(_STREAMS) as pool:
                written = [*pool.map(lambda pair: one(*pair), files)]
            new = [sizes[key] for (key, _), done in zip(files, written, strict=True) if done]
            self._count(len(new), sum(new))

    def copy(self, keys: Sequence[tuple[str, int]], have: dict[str, int], *, whole: bool) -> None:
        """Copy objects, (key, bytes), with what they reach.

        Args:
            keys: the objects.
            have: those that the target has, and their sizes.
            whole: whether what those reach is there, too.
        """
        for key, size in keys:
            if key in have and have[key] != size:
                self.notes.append(f"it differs, and was left as it is: {key}")
        if whole and not self.copier._verify:
            keys = [(key, size) for key, size in keys if key not in have]
        at_once = [(key, size) for key, size in keys if size <= _BYTES or _is_record(key)]
        for batch in _batches(at_once):
            contents = self.copier.source.read(batch)
            pairs = [(k, c) for k, c in zip(batch, contents, strict=True) if c is not None]
            self._copy_batch(pairs, have)
        for key, size in keys:
            if size > _BYTES and not _is_record(key):
                self._copy_large(key, size, have)

    def _copy_batch(self, pairs: Sequence[tuple[str, bytes]], have: dict[str, int]) -> None:
        self._check_stop()
        words: set[str] = set()
        required: set[str] = set()
        reused: list[Manifest] = []
        for key, content in pairs:
            if _may_refer(key):
                _check_record(key, content)
                words.update(_words(content))
                for manifest in _manifests_of(key, content):
                    required |= _hashes_of(manifest)
                    if manifest.state is AttemptState.REUSED:
                        reused.append(manifest)
        self._copy_blobs(words, required)
        self._copy_outputs(reused, have)
        if self.copier._verify:
            self._compare([(k, c) for k, c in pairs if have.get(k) == len(c)])
        self._write([pair for pair in pairs if pair[0] not in have])

    def _compare(self, pairs: Sequence[tuple[str, bytes]]) -> None:
        found = self.copier.target.read([key for key, _ in pairs])
        for (key, content), there in zip(pairs, found, strict=True):
            if there != content:
                self.notes.append(f"it differs, and was left as it is: {key}")

    def _copy_large(self, key: str, size: int, have: dict[str, int]) -> None:
        """Copy an object in pieces. Whoever reads it knows what it must be: nothing refers from it,
        but for cards, which name what they show only to people."""
        if key in have:
            return
        stored = self.copier.source.stream(key)
        if stored is not None and (self.copier._dry or self._stream(key, stored)):
            self._count(1, size)

    def _required(self, start: bytes, key: str) -> set[str]:
        document = RunDocument.decode(start, key)
        refs = (*document.parameters.values(), *document.constants.values())
        code = {document.code} if document.code else set()
        locks = {entry["lock"] for entry in document.environments.values()}
        return {ref.hash for ref in refs if not ref.inline} | code | locks

    # --- logs and cards of reused tasks ---------------------------------------------------------

    def _copy_outputs(self, reused: Sequence[Manifest], have: dict[str, int]) -> None:
        """Give to reused tasks what the tasks wrote which they were taken from, if that stays behind."""
        for manifest in reused:
            own = attempt_prefix(*manifest[:5])
            outputs = self.copier._outputs(manifest.flow, manifest.run)
            if outputs.get(own):
                continue
            for place in self._origins(manifest):
                left = attempt_prefix(*place)
                found = self.copier._outputs(*place[:2]).get(left)
                if found:
                    if not self._comes_along(*place[:2]):
                        self._copy_renamed(found, left, own, have)
                    break

    def _origins(self, manifest: Manifest) -> Iterator[tuple[str, str, str, int, int]]:
        earlier: Manifest | None = manifest
        while earlier is not None and earlier.origin:
            flow, run, step, task, attempt = earlier.origin.split("/")
            place = flow, run, step, int(task), int(attempt)
            yield place
            earlier = self._manifests.one(*place)

    def _comes_along(self, flow: str, run: str) -> bool:
        return (flow, run) in self.copier._runs

    def _copy_renamed(
        self, found: Sequence[tuple[str, int]], left: str, own: str, have: dict[str, int]
    ) -> None:
        missing = [(k, s) for k, s in found if own + k.removeprefix(left) not in have]
        for key, size in missing:
            if size > _BYTES:
                stored = self.copier.source.stream(key)
                if stored is not None and self._stream(own + key.removeprefix(left), stored):
                    self._count(1, size)
        for batch in _batches([(k, s) for k, s in missing if s <= _BYTES]):
            pairs = zip(batch, self.copier.source.read(batch), strict=True)
            contents = [(own + k.removeprefix(left), c) for k, c in pairs if c is not None]
            self._copy_blobs({w for _, c in contents for w in _words(c)}, set())
            self._write(contents)

    # --- blobs ----------------------------------------------------------------------------------

    def _copy_references(self, content: bytes, required: set[str]) -> None:
        self._copy_blobs({*_words(content)}, required)

    def _copy_blobs(self, words: set[str], required: set[str]) -> None:
        """Copy the blobs among ``words``; those ``required`` must be there.

        Those that are being copied for another run are waited for.
        """
        left = words | required
        while left := left - self.copier._done:
            self._check_stop()
            with self.copier.claimed(left) as own:
                for start in range(0, len(own), _BATCH):
                    self._copy_some_blobs(own[start : start + _BATCH], required)
            left.difference_update(own)

    def _copy_some_blobs(self, digests: Sequence[str], required: set[str]) -> None:
        copier = self.copier
        infos = copier.source.describe([blob_key(digest) for digest in digests])
        sizes = {d: i.size for d, i in zip(digests, infos, strict=True) if i is not None}
        for digest in required.intersection(digests) - sizes.keys():
            self.notes.append(f"the source has lost blob {digest}")
        missing = self._missing(sizes)
        copier._done.update(sizes.keys() - missing.keys())
        for batch in _batches([(d, s) for d, s in missing.items() if s <= _BYTES]):
            self._copy_small_blobs(batch)
            copier._done.update(batch)  # of one operation, which threads cannot cut
        for digest, size in missing.items():
            if size > _BYTES:
                self._copy_large_blob(digest, size)
                copier._done.add(digest)

    def _missing(self, sizes: dict[str, int]) -> dict[str, int]:
        """Return the blobs that the target has not, and will not have if a gc runs there now."""
        keys = [blob_key(digest) for digest in sizes]
        infos = self.copier.target.describe(keys)
        there = {d for d, info in zip(sizes, infos, strict=True) if info is not None}
        if self.copier._verify:
            there -= {digest for digest in there if not self._is_sound(digest)}
        if not self.copier._dry:
            there = {digest for digest in there if self.copier.target.refresh(blob_key(digest))}
        return {digest: size for digest, size in sizes.items() if digest not in there}

    def _is_sound(self, digest: str) -> bool:
        def stored() -> Iterable[Buffer]:
            return self.copier.target.stream(blob_key(digest)) or ()

        if blobs.has_hash(stored(), digest):
            return True
        try:
            for _ in blobs.verified_content(stored(), digest, self.copier.target.url):
                pass
        except IntegrityError:
            self.notes.append(f"blob {digest} was damaged in the target, and is written again")
            if not self.copier._dry:
                self.copier.target.delete([blob_key(digest)])
            return False
        return True

    def _copy_small_blobs(self, digests: Sequence[str]) -> None:
        self._check_stop()
        found = self.copier.source.read([blob_key(digest) for digest in digests])
        items: list[tuple[str, bytes]] = []
        for digest, stored in zip(digests, found, strict=True):
            content = None if stored is None else blobs.plain(stored, digest)
            if stored is None or content is None:
                raise blobs.damaged(digest, self.copier.source.url)
            items.append((blob_key(digest), self._form(stored, content)))
        self._write(items)

    def _form(self, stored: bytes, content: bytes) -> bytes:
        """Return the form in which the target keeps a blob."""
        if self.copier.target.capabilities.mappable:
            return content
        same = stored is content and self.copier.source.capabilities.mappable
        return blobs.compressed(content) if same else stored

    def _copy_large_blob(self, digest: str, size: int) -> None:
        self._check_stop()
        key, source = blob_key(digest), self.copier.source
        if self.copier._dry:
            self._count(1, size)
            return

        def stored() -> Iterable[Buffer]:
            found = source.stream(key)
            if found is None:
                raise blobs.damaged(digest, source.url)
            return found

        pieces: Iterable[Buffer]
        if not blobs.is_compressed(source.read_range(key, 0, 4) or b"") or blobs.has_hash(
            stored(), digest
        ):
            pieces = blobs.verified(stored(), digest, source.url)
            if self._is_worth_compressing(key, size):
                pieces = compress_frames(pieces)
        elif self.copier.target.capabilities.mappable:
            pieces = blobs.verified_content(stored(), digest, source.url)
        else:
            pieces = blobs.verified_frames(stored(), digest, source.url)
        if self._stream(key, pieces):
            self._count(1, size)

    def _is_worth_compressing(self, key: str, size: int) -> bool:
        """Whether the target keeps content compressed that the source keeps as files, and it shrinks."""
        source, target = self.copier.source, self.copier.target
        if target.capabilities.mappable or not source.capabilities.mappable or size <= _FRAMED:
            return False
        places = ((0, 64), (size // 2, blobs.SAMPLE))
        head, sample = (source.read_range(key, start, length) or b"" for start, length in places)
        return blobs.shrinks(head, sample)

    # --- writing --------------------------------------------------------------------------------

    def _write(self, items: Sequence[tuple[str, bytes]]) -> list[bool]:
        self._check_stop()
        if self.copier._dry:
            written = [True] * len(items)
        else:
            written = self.copier.target.write(items, create_only=True) if items else []
        new = [content for (_, content), is_new in zip(items, written, strict=True) if is_new]
        self._count(len(new), sum(map(len, new)))
        return written

    def _stream(
        self, key: str, pieces: Iterable[Buffer], attributes: Attributes | None = None
    ) -> bool:
        if self.copier._dry:
            return True
        chunks = self._stoppable(pieces)
        return self.copier.target.write_stream(key, chunks, create_only=True, attributes=attributes)

    def _stoppable(self, pieces: Iterable[Buffer]) -> Iterator[Buffer]:
        for piece in pieces:
            self._check_stop()
            yield piece

    def _count(self, objects: int, size: int) -> None:
        self.objects += objects
        self.bytes += size
        with self.copier._lock:
            self.copier.objects += objects
            self.copier.bytes += size

    def _check_stop(self) -> None:
        if self.copier.stop.is_set():
            raise Stopped


def copy_all(
    copier: Copier,
    runs: Sequence[RunRecord],
    workers: int,
    tell: Callable[[int], object],
    pace: float = 0.2,
) -> list[Ended]:
    """Copy runs, some at the same time; return what became of them, in order.

    Args:
        copier: copies them.
        runs: the runs.
        workers: how many at the same time.
        tell: called now and then with how many are done.
        pace: seconds between two calls of it.
    """
    with ThreadPoolExecutor(workers) as pool:
        futures: list[Future[Ended]] = [pool.submit(copier.run, run) for run in runs]
        waiting: set[Future[Ended]] = {*futures}
        try:
            while waiting:
                done, waiting = wait(waiting, pace, FIRST_COMPLETED)
                for future in done:
                    future.result()  # an error that concerns all of them
                tell(len(futures) - len(waiting))
        except BaseException:
            copier.stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    return [future.result() for future in futures]


# --- records --------------------------------------------------------------------------------------


def _batches(keys: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Yield keys in batches of bounded number and size."""
    batch: list[str] = []
    total = 0
    for key, size in keys:
        if batch and (len(batch) >= _BATCH or total + size > _BYTES):
            yield batch
            batch, total = [], 0
        batch.append(key)
        total += size
    if batch:
        yield batch


def _may_refer(key: str) -> bool:
    return not key.startswith(f"{_FILES}/") and key.rpartition("/")[2] not in _LOGS


def _is_record(key: str) -> bool:
    """Whether an object is read whole however large it is, since blobs hang on it."""
    parts = key.split("/")
    return parts[0] == "runs" and (parts[6:] == ["manifest"] or parts[3:4] == [_PACKS])


def _words(content: bytes) -> Iterator[str]:
    """Yield the hashes that an object names: every word of 64 hex digits, as for `flow gc`."""
    return (word.decode() for word in _HASH.findall(content))


def _check_record(key: str, content: bytes) -> None:
    """Raise `IntegrityError` for a record of flow-core whose own hash does not fit."""
    from blake3 import blake3

    head, _, body = content.partition(b"\n")
    words = head.split(b" ")
    if len(words) != 3 or not words[0].startswith(b"flow-") or not words[1].isdigit():
        return  # no record, or a card
    if words[0] == b"flow-pack":
        body = body.partition(b"\n")[0]
    if blake3(body).hexdigest().encode() != words[2]:
        raise IntegrityError("A record is damaged", where=key)


def _manifests_of(key: str, content: bytes) -> Iterator[Manifest]:
    parts = key.split("/")
    try:
        if parts[0] == "runs" and parts[6:] == ["manifest"]:
            yield Manifest.decode(content, key)
        elif parts[0] == "runs" and parts[3:4] == [_PACKS]:
            for raw in unpack_manifests(content, key).values():
                yield Manifest.decode(raw, key)
    except IntegrityError:
        raise
    except FlowError as error:  # of a newer flow-core
        raise IntegrityError(error.what, where=key, why=error.why, hint=error.hint) from error


def _hashes_of(manifest: Manifest) -> set[str]:
    refs = [*manifest.artifacts.values()]
    if manifest.transition is not None and manifest.transition.items is not None:
        refs.append(manifest.transition.items)
    return {ref.hash for ref in refs if not ref.inline}

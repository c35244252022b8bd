"""What is reached: the blobs that records name, found without knowing what the records are."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import run_key

if TYPE_CHECKING:
    from flow_core.api import Store, StoredObject

BLOBS = "blobs/"
RUNS = "runs/"
FILES = "files/"
PACKAGES = "packages/"
RUNTIMES = "runtime/"
_HASH = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_LOGS = ("stdout", "stderr", "logs")
_BATCH = 200
_LARGE = 8 << 20


class Entry(NamedTuple):
    """An object below a run: key, size in bytes, time of the last change."""

    key: str
    size: int
    modified: float


class Folder(NamedTuple):
    """All that lies below one run."""

    flow: str
    run: str
    entries: tuple[Entry, ...]

    @property
    def place(self) -> tuple[str, str]:
        """Flow and run."""
        return self.flow, self.run

    @property
    def size(self) -> int:
        """Bytes of all of it."""
        return sum(entry.size for entry in self.entries)

    @property
    def modified(self) -> float:
        """Time of the last change of any of it."""
        return max(entry.modified for entry in self.entries)

    def has(self, name: str) -> bool:
        """Whether there is an object of this name directly below the run."""
        key = f"{RUNS}{self.flow}/{self.run}/{name}"
        return any(entry.key == key for entry in self.entries)


def folders(store: Store, flow: str = "", run: str = "") -> Iterator[Folder]:
    """Yield what lies below each run, or one run, by one listing."""
    prefix = RUNS + (f"{flow}/{run}/" if run else "")
    parts = ((entry.key.split("/", 3), entry) for entry in store.list(prefix))
    inside = ((tuple(p[1:3]), e) for p, e in parts if len(p) == 4)
    for (name, number), group in itertools.groupby(inside, key=lambda pair: pair[0]):
        yield Folder(name, number, tuple(Entry(*entry) for _, entry in group))


def files(store: Store) -> dict[tuple[str, str], int]:
    """Return the bytes of the files beside each run, whether there is such a run or not."""
    sizes: dict[tuple[str, str], int] = {}
    for entry in store.list(FILES):
        parts = entry.key.split("/", 3)
        if len(parts) == 4:
            place = parts[1], parts[2]
            sizes[place] = sizes.get(place, 0) + entry.size
    return sizes


def references(store: Store, entries: Iterable[Entry]) -> set[bytes]:
    """Return the hashes that objects name, as bytes.

    Every word of 64 hex digits counts, wherever it stands: in what plugins note, in records of a
    later format, in records that are damaged. That keeps now and then what nobody needs, and never
    loses what somebody does.
    """
    found: set[bytes] = set()
    named = (entry for entry in entries if entry.key.rpartition("/")[2] not in _LOGS)
    keys = [entry for entry in named if entry.size]
    for start in range(0, len(keys), _BATCH):
        batch = keys[start : start + _BATCH]
        small = [entry.key for entry in batch if entry.size <= _LARGE]
        for content in store.read(small):
            found.update(_words(content or b""))
        for entry in batch:
            if entry.size > _LARGE:
                found.update(itertools.chain.from_iterable(map(_words, _pieces(store, entry))))
    return found


def _words(content: bytes) -> Iterator[bytes]:
    return (bytes.fromhex(word.decode()) for word in _HASH.findall(content))


def _pieces(store: Store, entry: Entry) -> Iterator[bytes]:
    """Yield an object in pieces that overlap, so that no word is cut in two."""
    offset = 0
    while piece := store.read_range(entry.key, max(0, offset - 128), _LARGE):
        yield piece
        if len(piece) < _LARGE:
            return
        offset = max(0, offset - 128) + len(piece)


def others(store: Store) -> Iterator[Entry]:
    """Yield what lies neither below runs nor among the blobs: that of plugins.

    Files that people put beside runs, packages of environments, and the runtimes of tasks elsewhere
    name no blobs, and may be of any size: nobody reads them.
    """
    for name in store.folders():
        if f"{name}/" not in (BLOBS, RUNS, FILES, PACKAGES, RUNTIMES, "gc/"):
            for entry in store.list(name):
                if entry.key == name or entry.key.startswith(f"{name}/"):
                    yield Entry(*entry)


Finder = Callable[["Store", Callable[[str, str], bool]], Iterable["StoredObject"]]
"""What a plugin offers in the group ``flow.leftovers``: it is given the store and whether a run is
gone, and says which of its own objects are of no use any more."""


def useless(
    store: Store, finders: Sequence[Finder], going: Collection[tuple[str, str]]
) -> list[Entry]:
    """Return what plugins keep of runs that are not there, or are ``going``."""

    @functools.cache
    def gone(flow: str, run: str) -> bool:
        return (flow, run) in going or not store.exists([run_key(flow, run)])[0]

    return [Entry(*found) for finder in finders for found in finder(store, gone)]


def blobs(store: Store) -> Iterator[tuple[bytes, Entry]]:
    """Yield the hash of each blob, and the blob."""
    for entry in store.list(BLOBS):
        name = entry.key.rpartition("/")[2]
        if re.fullmatch("[0-9a-f]{64}", name):
            yield bytes.fromhex(name), Entry(*entry)

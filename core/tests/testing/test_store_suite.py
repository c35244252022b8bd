"""The suite for stores finds each promise that a store breaks, and passes one that keeps them."""

from __future__ import annotations

import os
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from flow_core.errors import StoreError
from flow_core.interfaces import Buffer, Store, StoreCapabilities, StoredObject
from flow_core.testing import FaultyStore, MemoryStore, StoreSuite, failures

# --- in memory: each breaks one promise -----------------------------------------------------


class Forgetful(MemoryStore):
    """Does not heed create_only."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        return super().write(items)


class Tombstones(MemoryStore):
    """Never gives a key away again."""

    def __init__(self) -> None:
        super().__init__()
        self._gone: set[str] = set()

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        listed = [*keys]
        self._gone.update(listed)
        super().delete(listed, older_than=older_than)

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        alive = [(k, c) for k, c in items if not (create_only and k in self._gone)]
        return super().write(alive, create_only=create_only) or [False]


class LooksFirst(MemoryStore):
    """Looks whether the key is free, and writes later."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for key, content in items:
            free = not (create_only and self.exists([key])[0])
            time.sleep(0.001)
            if free:
                super().write([(key, content)])
            written.append(free)
        return written


class TakesKeyFirst(MemoryStore):
    """Takes a key before its content is there."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for key, content in items:
            written += super().write([(key, b"")], create_only=create_only)
            if written[-1]:
                time.sleep(0.001)
                super().write([(key, content)])
        return written


class TwoParts(MemoryStore):
    """Writes an object in two parts."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for key, content in items:
            whole = bytes(content)
            if len(whole) > 1000 and not create_only:
                super().write([(key, whole[: len(whole) // 2])])
                time.sleep(0.001)
            written += super().write([(key, whole)], create_only=create_only)
        return written


class AllAtTheEnd(MemoryStore):
    """Answers for all items with one answer."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = super().write(items, create_only=create_only)
        return [all(written)] * len(written)


class ReadsSorted(MemoryStore):
    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        return super().read(sorted(keys))


class NothingIsEmpty(MemoryStore):
    """Gives an empty content for a missing key."""

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for content in super().read(keys):
            yield content or b""


class EmptyIsNothing(MemoryStore):
    """Takes an empty object for a missing one."""

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for content in super().read(keys):
            yield content or None


class RangeFromTheEnd(MemoryStore):
    """Lets a negative offset count from the end, as a slice does."""

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        (content,) = self.read([key])
        return None if content is None else content[offset:][: max(length, 0)]


class RangeToTheEnd(MemoryStore):
    """Takes a length of 0 for all that follows."""

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        return super().read_range(key, offset, length or 1 << 40)


class Unsorted(MemoryStore):
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return iter([*super().list(prefix)][::-1])


class FirstPage(MemoryStore):
    """Lists the first page, as of a service that gives them in pages."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return iter([*super().list(prefix)][:50])


class WholeParts(MemoryStore):
    """Takes a prefix for the name of a folder."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        found = super().list(prefix)
        whole = prefix.rstrip("/") + "/" if prefix else ""
        return (o for o in found if o.key.startswith(whole))


class DeepFolders(MemoryStore):
    def folders(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type, unused-ignore]
        return sorted(o.key[len(prefix) :] for o in self.list(prefix))


class Normalises(MemoryStore):
    """Makes one key of two that look alike."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        alike = [(unicodedata.normalize("NFC", key), content) for key, content in items]
        return super().write(alike, create_only=create_only)

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        return super().read([unicodedata.normalize("NFC", key) for key in keys])


class Strips(MemoryStore):
    """Takes spaces away from the ends of keys."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        return super().write([(k.strip(), c) for k, c in items], create_only=create_only)

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        return super().read([key.strip() for key in keys])


class GoesUp(MemoryStore):
    """Writes wherever a key leads."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        clean = [(os.path.normpath(f"/{k}").lstrip("/") or "root", c) for k, c in items]
        return super().write(clean, create_only=create_only)


class RemembersBuffers(MemoryStore):
    """Keeps the caller's buffer instead of its content."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Buffer] = {}

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        listed = [*items]
        self._kept.update(listed)
        return super().write(listed, create_only=create_only)

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for key, found in zip(keys, super().read(keys), strict=True):
            yield None if found is None else bytes(self._kept.get(key, found))


class KeepsHalves(MemoryStore):
    """Leaves what it has of a content whose chunks break off."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        content = b""
        for chunk in chunks:
            content += bytes(chunk)
            self.write([("half", content)])
        self.delete(["half"])
        return super().write_content([content], key)


class StaysLocked(MemoryStore):
    """Forgets to take its lock away when a write fails."""

    locked = False

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        if self.locked:
            raise StoreError("Somebody else writes")
        self.locked = True
        written = super().write_content(chunks, key)
        self.locked = False
        return written


class AsksTooEarly(MemoryStore):
    """Asks for the key before the chunks are used up."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        name = key()
        return super().write_content(chunks, lambda: name)


class TakesErrorsForItsOwn(MemoryStore):
    """Takes an error of the chunks for one of the disk."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        try:
            return super().write_content(chunks, key)
        except OSError as error:
            raise StoreError("The disk is broken", why=str(error)) from error


class AlwaysNew(MemoryStore):
    """Says of each content that it was not there."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        super().write_content(chunks, key)
        return True


class KeepsChunks(MemoryStore):
    """Collects chunks without copying them."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        return super().write_content([*chunks], key)


class CaresForMissing(MemoryStore):
    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        for key in keys:
            if self.exists([key]) == [False]:
                raise StoreError(f"There is no object '{key}'")
            super().delete([key], older_than=older_than)


class DeletesBelow(MemoryStore):
    """Deletes what lies below a key, too."""

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        for key in keys:
            super().delete([o.key for o in self.list(f"{key}/")], older_than=older_than)
            super().delete([key], older_than=older_than)


class DeletesYoung(MemoryStore):
    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        super().delete(keys)


class NeverRefreshes(MemoryStore):
    def refresh(self, key: str, age: float = 300.0) -> bool:
        return self.exists([key])[0]


class RefreshesWhatIsGone(MemoryStore):
    def refresh(self, key: str, age: float = 300.0) -> bool:
        if not super().refresh(key, age):
            self.write([(key, b"")])
        return True


class PromisesFiles(MemoryStore):
    """Gives a path although it keeps no files."""

    def local_path(self, key: str) -> str | None:
        return f"/nowhere/{key}"


class HasNoScheme(MemoryStore):
    @property
    def url(self) -> str:
        return self.root


class ListsWithoutLock(MemoryStore):
    """Goes through its objects while others change them."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        for key in self._objects:
            time.sleep(0)
            if key.startswith(prefix):
                yield StoredObject(key, 0, time.time())


class LeavesThreads(MemoryStore):
    """Starts a thread for each reading that nobody ends."""

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        return super().read(keys)


class LeavesFiles(MemoryStore):
    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        _OPEN.append(os.open(os.devnull, os.O_RDONLY))
        return super().write(items, create_only=create_only)


_OPEN: list[int] = []

# --- in files, for what happens when a process dies -------------------------------------------


class Files:
    """A careless store: it writes each file at its place."""

    capabilities = StoreCapabilities()

    def __init__(self, root: str) -> None:
        self.root = root
        os.makedirs(root, exist_ok=True)

    @property
    def url(self) -> str:
        return f"files://{self.root}"

    def _path(self, key: str) -> str:
        return os.path.join(self.root, quote(key, safe=""))

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for key in keys:
            try:
                yield Path(self._path(key)).read_bytes()
            except FileNotFoundError:
                yield None

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for key, content in items:
            try:
                with open(self._path(key), "xb" if create_only else "wb", 0) as file:
                    whole = memoryview(bytes(content))
                    for start in range(0, len(whole), 1 << 14):
                        file.write(whole[start : start + (1 << 14)])
                        time.sleep(0.001)  # so that it dies here, and not between two objects
                written.append(True)
            except FileExistsError:
                written.append(False)
        return written

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        with open(self._path("half"), "wb", 0) as file:
            file.writelines(chunks)
        os.replace(self._path("half"), self._path(key()))
        return True

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [os.path.exists(self._path(key)) for key in keys]

    def size(self, key: str) -> int | None:
        return os.stat(self._path(key)).st_size if self.exists([key])[0] else None

    def folders(self, prefix: str = "") -> list[str]:
        return sorted({o.key[len(prefix) :].partition("/")[0] for o in self.list(prefix)})

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        for key in sorted(map(unquote, os.listdir(self.root))):
            if key.startswith(prefix):
                found = os.stat(self._path(key))
                yield StoredObject(key, found.st_size, found.st_mtime)

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        for key in keys:
            os.unlink(self._path(key))

    def refresh(self, key: str, age: float = 300.0) -> bool:
        return self.exists([key])[0]

    def local_path(self, key: str) -> str | None:
        return None


class CollectsItems(Files):
    """Writes the items of a call into one file first, and never looks for what is left of it."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        with open(self._path("journal"), "wb", 0) as file:
            kept = []
            for key, content in items:
                file.write(bytes(content))
                kept.append((key, content))
        os.unlink(self._path("journal"))
        return super().write(kept, create_only=create_only)


BROKEN: list[tuple[type[Any], str]] = [
    (Forgetful, "test_create_only_keeps_the_first"),
    (Forgetful, "test_create_only_answers_for_each_item"),
    (Tombstones, "test_create_only_after_delete"),
    (Forgetful, "test_threads_race_for_a_key"),
    (LooksFirst, "test_threads_race_for_a_key"),
    (TakesKeyFirst, "test_who_loses_a_race_reads_what_the_winner_wrote"),
    (TwoParts, "test_reader_never_sees_half_an_object"),
    (TwoParts, "test_reader_sees_what_comes_and_goes_whole_or_not_at_all"),
    (TakesKeyFirst, "test_reader_sees_what_comes_and_goes_whole_or_not_at_all"),
    (AllAtTheEnd, "test_create_only_answers_for_each_item"),
    (ReadsSorted, "test_read_keeps_the_order"),
    (NothingIsEmpty, "test_missing_is_none"),
    (EmptyIsNothing, "test_empty_object"),
    (RangeFromTheEnd, "test_negative_range_is_refused"),
    (RangeToTheEnd, "test_read_range"),
    (Unsorted, "test_list_is_sorted_by_key"),
    (FirstPage, "test_list_while_writing"),
    (WholeParts, "test_prefix_need_not_end_at_a_slash"),
    (DeepFolders, "test_folders_are_one_level"),
    (Normalises, "test_odd_key"),
    (Strips, "test_odd_key"),
    (Strips, "test_similar_keys_are_different"),
    (GoesUp, "test_invalid_key_is_refused"),
    (GoesUp, "test_refused_key_among_others"),
    (RemembersBuffers, "test_content_is_taken_at_the_call"),
    (KeepsHalves, "test_failure_between_chunks_leaves_nothing"),
    (KeepsHalves, "test_system_error_of_the_chunks_passes_unchanged"),
    (AsksTooEarly, "test_key_is_asked_when_the_chunks_are_used_up"),
    (TakesErrorsForItsOwn, "test_system_error_of_the_chunks_passes_unchanged"),
    (AlwaysNew, "test_content_that_exists_is_not_written_again"),
    (KeepsChunks, "test_chunk_buffer_may_be_used_again"),
    (CaresForMissing, "test_delete_of_missing_is_no_error"),
    (CaresForMissing, "test_threads_delete_the_same_objects"),
    (DeletesBelow, "test_deleting_a_folder_deletes_nothing"),
    (DeletesYoung, "test_delete_of_what_is_old"),
    (NeverRefreshes, "test_refresh"),
    (RefreshesWhatIsGone, "test_refresh_of_what_is_missing"),
    (PromisesFiles, "test_no_local_path_unless_mappable"),
    (HasNoScheme, "test_url_has_a_scheme"),
    (ListsWithoutLock, "test_list_while_others_write_and_delete"),
    (LeavesThreads, "test_round_trip"),
    (LeavesFiles, "test_round_trip"),
    (Files, "test_killed_in_the_middle_of_a_content"),
    (Files, "test_killed_while_overwriting"),
    (Files, "test_killed_while_creating"),
    (StaysLocked, "test_write_again_after_a_failure"),
    (CollectsItems, "test_killed_between_items"),
    (CollectsItems, "test_failure_between_items_leaves_whole_objects"),
]


def suite(make: Callable[[Path], Any], **more: Any) -> type[StoreSuite]:
    """Return the suite for a store."""

    class TestIt(StoreSuite):
        @pytest.fixture
        def store(self, tmp_path: Path) -> Any:
            return make(tmp_path)

        def reopen(self, store: Store) -> Store:
            return store

    for name, value in more.items():
        setattr(TestIt, name, value)
    return TestIt


def suite_of(store: type[Any]) -> type[StoreSuite]:
    if issubclass(store, Files):
        return suite(lambda path: store(str(path / "store")))
    return suite(lambda _: store(), in_process=True)


@pytest.mark.parametrize(("store", "case"), BROKEN)
def test_it_finds(store: type[Any], case: str) -> None:
    found = failures(suite_of(store), case)
    assert {name.partition("[")[0] for name in found} == {case}


@pytest.mark.parametrize("case", ["write", "create_only", "write_content"])
@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, False),
        (StoreError("It is full"), True),
        (OSError(28, "No space left on device"), True),
    ],
)
def test_it_finds_what_does_not_explain_itself(
    case: str, error: Exception | None, found: bool
) -> None:
    def unwritable(self: Any, tmp_path: Path) -> Store:
        store = FaultyStore(MemoryStore())
        store.fail("*", error=error, times=None)
        return store

    made = suite(lambda _: MemoryStore(), in_process=True, unwritable=unwritable)
    failed = failures(made, "test_place_that_cannot_be_written")
    assert (f"test_place_that_cannot_be_written[{case}]" in failed) is found


def test_it_has_many_cases() -> None:
    cases = {name for name in dir(StoreSuite) if name.startswith("test_")}
    assert len(cases) >= 60, "tests, each counted once whatever its parameters"

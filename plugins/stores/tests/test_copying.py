"""Copying runs between stores: all of it, in a safe order, whatever ends it and wherever."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flow_core.api import (
    Attributes,
    Buffer,
    ObjectInfo,
    RunRecord,
    Session,
    Store,
    StoreError,
    blob_key,
    list_manifests,
    run_key,
)
from flow_core.testing import MemoryStore
from flow_stores import copying
from flow_stores.copying import Copier, Ended, copy_all
from flow_stores.selection import Wanted, select


class Target(MemoryStore):
    """Keeps the order of what is written, and fails when so many writes were done."""

    def __init__(self, fails_after: int | None = None) -> None:
        super().__init__("target")
        self.order: list[str] = []
        self.left = fails_after

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        assert create_only, "nothing is overwritten"
        return [self._one(key, content) for key, content in items]

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        assert create_only
        return self._one(key, b"".join(map(bytes, chunks)))

    def _one(self, key: str, content: Buffer) -> bool:
        if self.left == 0:
            raise StoreError("Killed", where=self.url)
        (written,) = super().write([(key, content)], create_only=True)
        if written:
            self.order.append(key)
            self.left = self.left and self.left - 1
        return written


def runs_of(session: Session, **wanted: object) -> Sequence[RunRecord]:
    return select(session.store, session.metadata, Wanted(**wanted)).runs  # type: ignore[arg-type]


def copy(source: Store, target: Store, runs: Sequence[RunRecord], **options: bool) -> list[Ended]:
    copier = Copier(source, target, [run[:2] for run in runs], **options)
    copier.reserve(runs)
    return copy_all(copier, runs, 1, lambda done: None)


def contents(store: Store, prefix: str = "") -> dict[str, bytes]:
    keys = [found.key for found in store.list(prefix)]
    return {k: c for k, c in zip(keys, store.read(keys), strict=True) if c is not None}


def values(session: Session, flow: str = "F") -> dict[str, dict[str, object]]:
    """Return all artifacts of all runs that a store has."""
    from flow_core.api import ArtifactStore, Manifest, installed

    artifacts = ArtifactStore(session.store, installed())
    found: dict[str, dict[str, object]] = {}
    for run in session.store.folders(f"runs/{flow}/"):
        for key, raw in list_manifests(session.store, flow, run):
            manifest = Manifest.decode(raw, key)
            found[key] = {n: artifacts.load(r, n) for n, r in manifest.artifacts.items()}
    return found


def test_all_of_it_comes_and_the_run_itself_comes_last(local: Session) -> None:
    target = Target()
    runs = runs_of(local)
    ended = copy(local.store, target, runs)
    assert [(e.pathspec, e.outcome, e.notes) for e in ended] == [
        (f"F/{number}", "copied", ()) for number in (1, 2, 3)
    ]
    source, there = contents(local.store, "runs/"), contents(target, "runs/")
    assert there == source
    assert contents(target, "tags/") == contents(local.store, "tags/")
    assert set(contents(target, "blobs/")) == set(contents(local.store, "blobs/"))
    places = {key: place for place, key in enumerate(target.order)}
    for number in ("1", "2", "3"):
        own = [key for key in target.order if key.startswith(f"runs/F/{number}/")]
        assert own[-1] == run_key("F", number)
        assert own[-2].endswith("finished.json")
    first = next(k for k in target.order if k.startswith("blobs/"))
    manifest = next(k for k in target.order if k.endswith("/manifest"))
    assert places[first] < places[manifest]
    assert sum(e.objects for e in ended) + 1 == len(target.order)  # and the number that is reserved


def test_a_second_time_nothing_is_copied(local: Session) -> None:
    target = Target()
    runs = runs_of(local)
    copy(local.store, target, runs)
    target.order.clear()
    for verify in (False, True):
        ended = copy(local.store, target, runs, verify=verify)
        assert {(e.outcome, e.objects, e.bytes) for e in ended} == {("there", 0, 0)}
        assert target.order == []


def test_it_may_be_cut_short_anywhere(local: Session) -> None:
    runs = runs_of(local)
    whole = Target()
    copy(local.store, whole, runs)
    expected = contents(whole)
    for place in range(len(whole.order)):
        target = Target(fails_after=place)
        with pytest.raises(StoreError):
            copy(local.store, target, runs)
        seen = [key for key in target.order if key.endswith("run.json")]
        for key in seen:  # each run that can be seen is whole
            prefix = key.removesuffix("run.json")
            assert contents(target, prefix) == contents(local.store, prefix)
        target.left = None
        copy(local.store, target, runs)
        assert contents(target) == expected
        assert len(target.order) == len({*target.order}) == len(whole.order)


@pytest.mark.parametrize("workers", [1, 4])
def test_to_and_fro_everything_can_be_read(
    local: Session, opened: Callable[[str], Session], tmp_path: Path, workers: int
) -> None:
    far, back = MemoryStore(), opened(f"local://{tmp_path}/back")
    runs = runs_of(local)
    for source, target in ((local.store, far), (far, back.store)):
        copier = Copier(source, target, [run[:2] for run in runs])
        copier.reserve(runs)
        ended = copy_all(copier, runs, workers, lambda done: None)
        assert {e.outcome for e in ended} == {"copied"}
    # What was compressed on its way is as it was, byte for byte.
    assert contents(back.store, "blobs/") == contents(local.store, "blobs/")
    sizes = {found.key: found.size for found in local.store.list("blobs/")}
    assert sum(found.size for found in far.list("blobs/")) < sum(sizes.values())
    assert values(back) == values(local)
    session = opened("far://x")
    session.__dict__["store"] = far
    assert values(session) == values(local)


def test_dry_runs_count_the_same_and_write_nothing(local: Session) -> None:
    runs = runs_of(local)
    target = Target(fails_after=0)
    looked = copy(local.store, target, runs, dry=True)
    assert target.order == []
    done = copy(local.store, Target(), runs)
    assert [e.objects for e in looked] == [e.objects for e in done]


@pytest.mark.parametrize("dry", [False, True])
def test_runs_that_are_copied_at_the_same_time_share_blobs(local: Session, dry: bool) -> None:
    """Each is sent once, and counted once."""

    class Slow(Target):
        sent = 0

        def write_stream(self, key: str, chunks: Iterable[Buffer], **options: Any) -> bool:
            self.sent += key.startswith("blobs/")
            time.sleep(0.05)
            return super().write_stream(key, chunks, **options)

        def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
            time.sleep(0.05)  # so that all look before one has written
            return super().describe(keys)

    runs = runs_of(local)
    target, alone = Slow(), Target()
    copier = Copier(local.store, target, [run[:2] for run in runs], dry=dry)
    together = copy_all(copier, runs, len(runs), lambda done: None)
    expected = copy(local.store, alone, runs)
    assert {e.outcome for e in together} == {"copied"}
    assert copier.objects == sum(e.objects for e in together) == sum(e.objects for e in expected)
    large = [found for found in local.store.list("blobs/") if found.size > copying._BYTES]
    assert target.sent == (0 if dry else len(large))


def test_a_run_whose_blob_another_one_cannot_copy_tries_it_itself(local: Session) -> None:
    copier = Copier(local.store, Target())
    with copier.claimed({"a", "b"}) as own:
        assert own == ["a", "b"]
        with copier.claimed({"b", "c"}) as others:
            assert others == ["c"]
        with copier.claimed({"b"}) as none:
            assert none == []
    with copier.claimed({"b"}) as again:
        assert again == ["b"]


def test_another_run_of_the_name_is_told_and_left(local: Session) -> None:
    target = Target()
    MemoryStore.write(target, [(run_key("F", "2"), b"somebody else's")])
    ended = copy(local.store, target, runs_of(local))
    assert [e.outcome for e in ended] == ["copied", "conflict", "copied"]
    assert ended[1].notes == ("the target has another run of this name",)
    assert contents(target, "runs/F/2/") == {run_key("F", "2"): b"somebody else's"}


def test_what_differs_is_told_and_left(local: Session) -> None:
    runs = runs_of(local, runs=(("F", "3"),))
    target = Target()
    copy(local.store, target, runs)
    key = next(k for k in contents(target) if k.endswith("start/1/0/stdout"))
    MemoryStore.write(target, [(key, b"other")])
    (ended,) = copy(local.store, target, runs)
    assert ended.notes == (f"it differs, and was left as it is: {key}",)
    MemoryStore.write(target, [(key, b"hallo\n")])  # of the same length
    assert copy(local.store, target, runs)[0].notes == ()
    (ended,) = copy(local.store, target, runs, verify=True)
    assert ended.notes == (f"it differs, and was left as it is: {key}",)
    assert contents(target)[key] == b"hallo\n"


def test_verifying_mends_damaged_blobs_of_the_target(local: Session) -> None:
    runs = runs_of(local)
    target = Target()
    copy(local.store, target, runs)
    key = next(iter(contents(target, "blobs/")))
    right = contents(target)[key]
    MemoryStore.write(target, [(key, right[:-1] + b"?")])
    ended = copy(local.store, target, runs, verify=True)
    assert any("was damaged in the target" in note for e in ended for note in e.notes)
    assert contents(target)[key] == right


def test_a_damaged_source_is_not_spread(
    team_folder: Path, opened: Callable[[str], Session]
) -> None:
    session = opened(f"local://{team_folder}/.flow")
    runs = runs_of(session, runs=(("F", "1"), ("F", "3")))
    largest = max(session.store.list("blobs/"), key=lambda found: found.size)
    path = session.store.local_path(largest.key)
    assert path is not None
    with open(path, "r+b") as file:
        file.seek(1000)
        file.write(b"?")
    target = Target()
    ended = copy(session.store, target, runs)
    assert {e.outcome for e in ended} == {"failed"}
    assert ended[0].notes[0].startswith("A blob is damaged: blob ")
    assert largest.key not in contents(target)
    assert not any(key.endswith("run.json") for key in target.order)


def test_a_damaged_record_is_not_spread(
    team_folder: Path, opened: Callable[[str], Session]
) -> None:
    session = opened(f"local://{team_folder}/.flow")
    key = next(f.key for f in session.store.list("runs/F/3/") if f.key.endswith("/manifest"))
    raw = next(iter(session.store.read([key])))
    assert raw is not None
    session.store.write([(key, raw[:-3] + b"?" + raw[-2:])])
    (ended,) = copy(session.store, Target(), runs_of(session, runs=(("F", "3"),)))
    assert (ended.outcome, ended.notes) == ("failed", (f"A record is damaged: {key}",))


def test_a_lost_blob_is_told(team_folder: Path, opened: Callable[[str], Session]) -> None:
    session = opened(f"local://{team_folder}/.flow")
    largest = max(session.store.list("blobs/"), key=lambda found: found.size)
    session.store.delete([largest.key])
    (ended,) = copy(session.store, Target(), runs_of(session, runs=(("F", "3"),)))
    assert ended.outcome == "copied"
    assert ended.notes == (f"the source has lost blob {largest.key.rpartition('/')[2]}",)


def test_reused_tasks_bring_what_their_origins_wrote(local: Session) -> None:
    target = Target()
    (ended,) = copy(local.store, target, runs_of(local, runs=(("F", "2"),)))
    assert ended.outcome == "copied"
    assert {key.split("/")[2] for key in contents(target, "runs/")} == {"2"}
    assert contents(target)["runs/F/2/start/1/0/stdout"] == b"hello\n"
    # With the run from which they come, they are read there.
    both = Target()
    copy(local.store, both, runs_of(local, runs=(("F", "1"), ("F", "2"))))
    assert "runs/F/2/start/1/0/stdout" not in contents(both)


def test_no_later_run_gets_a_number_that_comes(local: Session) -> None:
    local.store.write([("numbers/F/7", b"")], create_only=True)
    try:
        target = Target()
        copy(local.store, target, runs_of(local))
        assert target.order[0] == "numbers/F/7"
    finally:
        local.store.delete(["numbers/F/7"])


def test_tags_that_were_changed_in_the_target_stay(local: Session) -> None:
    runs = runs_of(local, runs=(("F", "3"),))
    target = Target()
    copy(local.store, target, runs)
    key = "runs/F/3/tags.d/1"
    MemoryStore.write(target, [(key, b"of the target, and longer than before" * 20)])
    (ended,) = copy(local.store, target, runs)
    assert (ended.outcome, ended.notes) == ("there", ())


def test_large_blobs_are_compressed_on_their_way_from_files(
    team_folder: Path, opened: Callable[[str], Session]
) -> None:
    from flow_core.api import ArtifactStore, installed

    session = opened(f"local://{team_folder}/.flow")
    text, noise = "word " * (2 << 20), random.Random(1).randbytes(9 << 20)
    artifacts = ArtifactStore(session.store, installed())
    refs = [artifacts.save("x", value) for value in (text, noise)]
    session.store.write([("mine/object", " ".join(ref.hash for ref in refs).encode())])
    target = Target()
    Copier(session.store, target).others([("mine/object", 200)])
    small, large = (target.size(blob_key(ref.hash)) for ref in refs)
    assert small is not None
    assert small < 100_000
    assert large == refs[1].size
    there = ArtifactStore(target, installed())
    assert [there.load(ref, "x") for ref in refs] == [text, noise]

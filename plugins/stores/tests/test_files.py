"""Files of runs on their way to another store: with their content types and metadata."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from flow_core.api import Attributes, Session, Store, StoreError, installed
from flow_core.testing import MemoryStore
from flow_stores.copying import CARRIERS, Copier, copy_all
from flow_stores.selection import Wanted, select

GIVEN = {
    "plain.txt": None,
    "folder/table.csv": Attributes("text/csv", {"made-by": "ada", "Ünusual": "ä\n"}),
    "large.bin": Attributes("image/png", {}),
    "typeless.bin": Attributes("application/octet-stream", {}),
}
CONTENT = {name: name.encode() * (40_000 if "large" in name else 1) for name in GIVEN}


@pytest.fixture
def beside(opened: Callable[[str], Session], team_folder: Path) -> Session:
    """A session of a store of files, in which run 1 has some."""
    from flow_files import Files, FileUpload

    session = opened(f"local://{team_folder}/.flow")
    with Files(root=f"local://{team_folder}/.flow/files/F/1") as files:
        files.put_many(
            FileUpload(name, CONTENT[name], None, a and a.content_type, None, a and a.metadata)
            for name, a in GIVEN.items()
        )
    return session


class Ending(MemoryStore):
    """Ends the copying at some write of a file."""

    left = 100

    def write_stream(self, key, chunks, **options):  # type: ignore[no-untyped-def]
        if key.startswith("files/"):
            self.left -= 1
            if self.left < 0:
                raise StoreError("Killed", where=self.url)
        return super().write_stream(key, chunks, **options)


def migrate(session: Session, source: Store, target: Store, **options: bool) -> int:
    carrier = installed().load(CARRIERS, "files")
    runs = select(source, session.metadata, Wanted(runs=(("F", "1"),))).runs
    copier = Copier(source, target, [run[:2] for run in runs], carrier=carrier, **options)
    copy_all(copier, runs, 1, lambda done: None)
    return copier.objects


def described(store: Store) -> dict[str, Attributes]:
    from flow_files.attributes import decode_metadata, describe, is_beside

    keys = [one.key for one in store.list("files/F/1/") if not is_beside(one.key)]
    found = {}
    for key, info in zip(keys, describe(store, keys), strict=True):
        assert info is not None
        name = key.removeprefix("files/F/1/")
        metadata = info.attributes.metadata
        if store.capabilities.attributes:
            metadata = decode_metadata(metadata)
        found[name] = Attributes(info.attributes.content_type, metadata)
    return found


def contents(store: Store) -> dict[str, bytes | None]:
    keys = [f"files/F/1/{name}" for name in GIVEN]
    return dict(zip(GIVEN, store.read(keys), strict=True))


WANTED = {name: given or Attributes() for name, given in GIVEN.items()}


def test_they_keep_what_was_put_with_them(
    beside: Session, opened: Callable[[str], Session], tmp_path: Path
) -> None:
    team = MemoryStore("team")
    assert migrate(beside, beside.store, team, dry=True) > len(GIVEN)
    assert list(team.list()) == []
    migrate(beside, beside.store, team)
    assert contents(team) == CONTENT
    assert described(team) == WANTED
    assert not [one.key for one in team.list() if ".attributes" in one.key]
    other = MemoryStore("other")
    migrate(beside, team, other)
    typeless = {**WANTED, "typeless.bin": Attributes()}
    assert described(other) == typeless, "what services call a type that nobody told is none"
    back = opened(f"local://{tmp_path}/back").store
    migrate(beside, team, back)
    assert (contents(back), described(back)) == (CONTENT, typeless)
    for source, target in ((beside.store, team), (team, back)):
        assert migrate(beside, source, target) == migrate(beside, source, target, verify=True) == 0
    assert (contents(back), described(back)) == (CONTENT, typeless)


def test_it_may_be_ended_between_them(beside: Session) -> None:
    target = Ending("target")
    for done in range(2):
        target.left = 1
        with pytest.raises(StoreError):
            migrate(beside, beside.store, target)
        assert next(iter(target.read(["runs/F/1/run.json"]))) is None, done
    target.left = 100
    migrate(beside, beside.store, target)
    assert (contents(target), described(target)) == (CONTENT, WANTED)

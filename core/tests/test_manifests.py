"""Packs: many manifests in one object, read as if each lay under its own key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.errors import FormatError, IntegrityError
from flow_core.manifests import ManifestReader, list_manifests, pack, packs_prefix, unpack
from flow_core.overlay import OverlayStore
from flow_core.records import AttemptState, Manifest, manifest_key
from flow_core.testing.fakes import MemoryStore


def manifest(step="work", task=1, attempt=0):
    return Manifest("F", "1", step, task, attempt, AttemptState.REUSED, notes={"n": task})


def key(step="work", task=1, attempt=0):
    return manifest_key("F", "1", step, task, attempt)


tasks = st.lists(st.integers(1, 500), unique=True, min_size=1, max_size=40)


@given(tasks, tasks)
def test_each_is_found_wherever_it_lies(packed, alone):
    store = MemoryStore()
    alone = [n for n in alone if n not in packed]
    store.write([(key(task=n), manifest(task=n).encode()) for n in alone])
    for start in range(0, len(packed), 7):  # their ranges overlap
        store.write([pack([manifest(task=n) for n in packed[start : start + 7]])])
    wanted = [*packed, *alone, 501]
    found = list(ManifestReader(store).read([key(task=n) for n in wanted]))
    assert found == [*(manifest(task=n) for n in [*packed, *alone]), None]
    listed = {k: Manifest.decode(raw, k) for k, raw in list_manifests(store, "F", "1")}
    assert listed == {key(task=n): manifest(task=n) for n in [*packed, *alone]}


def test_packs_that_come_later_are_seen():
    store = MemoryStore()
    reader = ManifestReader(store)
    assert reader.one("F", "1", "work", 1, 0) is None
    store.write([pack([manifest()])])
    assert reader.one("F", "1", "work", 1, 0) == manifest()
    store.write([pack([manifest(task=7), manifest(task=9)])])
    assert reader.one("F", "1", "work", 9, 0) == manifest(task=9)
    assert reader.one("F", "1", "work", 8, 0) is None


def test_other_keys_are_no_manifests_of_packs():
    store = MemoryStore()
    store.write([pack([manifest()]), ("runs/F/1/work/1/0/stdout", b"text")])
    assert list(ManifestReader(store).read(["blobs/ab/abc"])) == [None]
    assert [k for k, _ in list_manifests(store, "F", "1")] == [key()]


def test_the_place_of_a_pack_is_no_step():
    where, _ = pack([manifest(task=3), manifest(task=12)])
    assert where == packs_prefix("F", "1") + "3-12"
    assert "." in packs_prefix("F", "1").split("/")[3]


@pytest.mark.parametrize("damage", [b"", b"flow-pack 1 0\n", b"flow-pack 1 abc\n{}\n"])
def test_a_damaged_pack_is_not_believed(damage):
    with pytest.raises(IntegrityError, match="pack of records of reused tasks is damaged"):
        unpack(damage, "runs/F/1/reused.d/1-2")


def test_a_damaged_pack_is_named_and_the_rest_is_listed():
    store = MemoryStore()
    store.write([pack([manifest()]), ("runs/F/1/reused.d/8-9", b"half")])
    problems = []
    assert [k for k, _ in list_manifests(store, "F", "1", problems)] == [key()]
    (problem,) = problems
    assert problem.startswith("runs/F/1/reused.d/8-9: A pack of records")
    with pytest.raises(IntegrityError):
        list(list_manifests(store, "F", "1"))


def test_a_damaged_member_is_not_believed():
    where, content = pack([manifest(), manifest(task=2)])
    store = MemoryStore()
    store.write([(where, content.replace(b'"n":2', b'"n":3'))])
    reader = ManifestReader(store)
    assert reader.one("F", "1", "work", 1, 0) == manifest()
    with pytest.raises(IntegrityError, match="manifest record is damaged"):
        reader.one("F", "1", "work", 2, 0)


def test_a_newer_pack_is_refused_by_name():
    _, content = pack([manifest()])
    with pytest.raises(FormatError, match="pack of records has format 2"):
        unpack(content.replace(b"flow-pack 1", b"flow-pack 2"), "x")


def test_below_an_overlay():
    base, own = MemoryStore(), MemoryStore()
    base.write([pack([manifest(), manifest(task=2)])])
    own.write([(key(task=2), manifest(task=2, step="work")._replace(host="own").encode())])
    store = OverlayStore(own, base, lambda k: k)
    one, two, three = ManifestReader(store).read([key(), key(task=2), key(task=3)])
    assert one == manifest()
    assert two.host == "own"
    assert three is None

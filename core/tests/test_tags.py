"""Tags that change after a run's start: kept in the store, seen in the index."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from flow_core.errors import IntegrityError, NotFound, UsageError
from flow_core.interfaces import StoreCapabilities
from flow_core.records import RunDocument, RunRecord, RunState, TagRevision
from flow_core.tags import LONGEST_TAG, MOST_TAGS, change_tags, stored_tags
from flow_core.testing.fakes import MemoryMetadata, MemoryStore


@pytest.fixture
def metadata():
    return indexed("a", "b")


@pytest.fixture
def store():
    return MemoryStore()


def indexed(*tags):
    metadata = MemoryMetadata()
    metadata.register_run(
        RunRecord("F", "1", RunState.RUNNING, 1.0, tags=tags, system_tags=("user:ada",))
    )
    return metadata


def revisions(store):
    return [o.key for o in store.list("runs/F/1/tags.d/")]


def test_a_change_is_in_the_store_and_in_the_index(metadata, store):
    assert change_tags(metadata, store, "F", "1", add=["c"], remove=["a"]) == ("b", "c")
    assert stored_tags(store, "F", "1") == ("b", "c")
    assert metadata.run("F", "1").tags == ("b", "c")


def test_each_change_is_an_object_of_its_own(metadata, store):
    change_tags(metadata, store, "F", "1", add=["c"])
    change_tags(metadata, store, "F", "1", remove=["c"])
    first, second = (TagRevision.decode(next(iter(store.read([k]))), k) for k in revisions(store))
    assert (first.number, first.tags) == (1, ("a", "b", "c"))
    assert (second.number, second.tags) == (2, ("a", "b"))


def test_no_change_writes_nothing(metadata, store):
    assert change_tags(metadata, store, "F", "1", add=["a"], remove=["x"]) == ("a", "b")
    assert revisions(store) == []
    assert stored_tags(store, "F", "1") is None


def test_adding_wins_over_removing(metadata, store):
    assert change_tags(metadata, store, "F", "1", add=["a"], remove=["a"]) == ("a", "b")


def test_more_than_nine_changes_keep_their_order(metadata, store):
    for number in range(12):
        change_tags(metadata, store, "F", "1", add=[f"t{number}"])
    assert "t11" in stored_tags(store, "F", "1")


class RacingStore(MemoryStore):
    """Somebody else writes a revision between our reading and our writing."""

    other = TagRevision("F", "1", 1, ("a", "b", "theirs"), 2.0)

    def write(self, items, *, create_only=False):
        if self.other is not None:
            other, self.other = self.other, None
            super().write([(other.key, other.encode())], create_only=True)
        return super().write(items, create_only=create_only)


def test_who_comes_second_keeps_the_other_change(metadata):
    store = RacingStore()
    assert change_tags(metadata, store, "F", "1", add=["mine"]) == ("a", "b", "mine", "theirs")
    assert stored_tags(store, "F", "1") == ("a", "b", "mine", "theirs")
    assert metadata.run("F", "1").tags == ("a", "b", "mine", "theirs")


class SlowIndex(MemoryMetadata):
    """While we write to the index, another's later change has reached the store."""

    store = None

    def change_tags(self, flow, run, *, add=(), remove=()):
        if self.store is not None:
            store, self.store = self.store, None
            other = TagRevision("F", "1", 2, ("later",), 2.0)
            store.write([(other.key, other.encode())], create_only=True)
        return super().change_tags(flow, run, add=add, remove=remove)


def test_the_index_ends_with_the_last_change(store):
    metadata = SlowIndex()
    metadata.register_run(RunRecord("F", "1", RunState.RUNNING, 1.0))
    metadata.store = store
    assert change_tags(metadata, store, "F", "1", add=["mine"]) == ("later",)
    assert metadata.run("F", "1").tags == ("later",)


def test_many_at_once_lose_nothing(store):
    metadata = indexed()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: change_tags(metadata, store, "F", "1", add=[f"t{n}"]), range(20)))
    expected = tuple(sorted(f"t{n}" for n in range(20)))
    assert stored_tags(store, "F", "1") == expected
    assert metadata.run("F", "1").tags == expected
    assert len(revisions(store)) == 20


def test_a_store_without_create_only(metadata):
    store = MemoryStore()
    store.capabilities = StoreCapabilities(create_only=False)
    change_tags(metadata, store, "F", "1", add=["c"])
    assert change_tags(metadata, store, "F", "1", remove=["a"]) == ("b", "c")
    assert len(revisions(store)) == 2


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"add": [""]}, "A tag has 1 to 500 characters, not 0"),
        ({"add": ["x" * (LONGEST_TAG + 1)]}, "A tag has 1 to 500 characters, not 501"),
        (
            {"add": [str(n) for n in range(MOST_TAGS)]},
            "A run carries at most 50 tags, not 52",
        ),
        ({"remove": ["user:ada"]}, "The tag 'user:ada' cannot be removed"),
    ],
)
def test_what_is_refused_changes_nothing(metadata, store, changes, what):
    with pytest.raises(UsageError) as caught:
        change_tags(metadata, store, "F", "1", **changes)
    assert caught.value.what == what
    assert revisions(store) == []
    assert metadata.run("F", "1").tags == ("a", "b")


def test_adding_a_system_tag_changes_nothing(metadata, store):
    assert change_tags(metadata, store, "F", "1", add=["user:ada"]) == ("a", "b")


def test_a_run_that_is_not_known(metadata, store):
    with pytest.raises(NotFound, match="There is no run 'F/9'"):
        change_tags(metadata, store, "F", "9", add=["a"])


def test_a_damaged_revision_is_told(metadata, store):
    change_tags(metadata, store, "F", "1", add=["c"])
    store.write([(revisions(store)[0], b"flow-tag-revision 1 0\n{}")])
    with pytest.raises(IntegrityError, match="The tag-revision record is damaged"):
        stored_tags(store, "F", "1")


def test_the_index_is_made_anew_with_the_tags(metadata, store):
    document = RunDocument("F", "1", 1.0, {}, {}, None, {}, {}, tags=("a", "b"))
    store.write([("runs/F/1/run.json", document.encode())])
    change_tags(metadata, store, "F", "1", add=["c"], remove=["a"])
    anew = MemoryMetadata()
    assert anew.rebuild(store) == 1
    assert anew.run("F", "1").tags == ("b", "c")


def test_too_many_tags_at_the_start_claim_no_number(flowtester):
    from flow_core.run import RunRequest

    outcome = flowtester.run(
        """
        from flow_core import FlowSpec, step
        class F(FlowSpec):
            @step
            def start(self):
                self.next(self.end)
            @step
            def end(self):
                pass
        """,
        request=RunRequest(tags=("",)),
    )
    assert outcome.error.what == "A tag has 1 to 500 characters, not 0"
    assert outcome.store.folders("runs/") == []

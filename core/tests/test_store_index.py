"""The index of a store that has none beside it, as it is seen from several machines."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from flow_core import store_index
from flow_core.errors import IntegrityError, StoreError
from flow_core.finding import seen_state
from flow_core.records import (
    AttemptRecord,
    AttemptState,
    Manifest,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    heartbeat_key,
    manifest_key,
    result_key,
    run_key,
)
from flow_core.session import Session
from flow_core.settings import Settings
from flow_core.store_index import StoreIndex
from flow_core.tags import change_tags
from flow_core.testing import MemoryMetadata, MemoryStore


class CountingStore(MemoryStore):
    """Counts the objects that are read, and the listings."""

    def __init__(self) -> None:
        super().__init__("team")
        self.reads: list[str] = []
        self.listings = 0

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        self.reads += keys
        return super().read(keys)

    def folders(self, prefix: str = "") -> list[str]:
        self.listings += 1
        return super().folders(prefix)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


@pytest.fixture
def index(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> StoreIndex:
    """That of a machine which has not seen the store before; it looks anew at each question."""
    monkeypatch.setattr(store_index, "FRESH", 0.0)
    return StoreIndex(MemoryMetadata(), store)


def begin(store: MemoryStore, run: str, **changes: Any) -> RunDocument:
    """Let a colleague's machine start a run."""
    document = RunDocument("F", run, time.time(), {}, {}, None, {"steps": {}}, {}, user="ada")
    document = document._replace(system_tags=("user:ada",), info={"host": "far"}, **changes)
    store.write([(run_key("F", run), document.encode())])
    return document


def commit(store: MemoryStore, run: str, task: int, attempt: int = 0) -> None:
    manifest = Manifest("F", run, "work", task, attempt, AttemptState.SUCCEEDED, started=1.0)
    store.write([(manifest.key, manifest.encode())])


def end(store: MemoryStore, run: str, state: RunState = RunState.SUCCEEDED) -> None:
    result = RunResult("F", run, state, time.time(), "so it ended")
    store.write([(result_key("F", run), result.encode())])


def test_runs_of_others_are_found(store: CountingStore, index: StoreIndex) -> None:
    for number in ("1", "2", "10"):
        begin(store, number, created_at=float(number))
        commit(store, number, 1)
        end(store, number)
    assert index.flows() == ["F"]
    assert [run.run for run in index.runs("F")] == ["10", "2", "1"]
    one = index.run("F", "2")
    assert one is not None
    assert (one.state, one.user, one.host) == (RunState.SUCCEEDED, "ada", "far")
    assert one.message == "so it ended"
    assert index.run("F", "3") is None
    assert index.run("G", "1") is None
    (attempt,) = index.attempts("F", "10", step="work")
    assert (attempt.task, attempt.state) == (1, AttemptState.SUCCEEDED)
    assert [step.tasks for step in index.steps("F", "1")] == [1]


def test_one_run_is_found_without_a_look_at_the_others(
    store: CountingStore, index: StoreIndex
) -> None:
    for number in range(1, 50):
        begin(store, str(number))
    assert index.run("F", "7") is not None
    assert store.reads == [run_key("F", "7"), result_key("F", "7")]


def test_the_latest_runs_are_read_first(store: CountingStore, index: StoreIndex) -> None:
    for number in range(1, 300):
        begin(store, str(number), created_at=float(number))
        end(store, str(number))
    (latest,) = index.runs("F", limit=1)
    assert latest.run == "299"
    assert len(store.reads) == 2 * 20
    # The next page, of the same list, goes on where that one ended.
    older = index.runs("F", before=latest, limit=290)
    assert [run.run for run in older][:2] == ["298", "297"]
    assert len(older) == 290
    assert len(index.runs("F", limit=1000)) == 299
    store.reads.clear()
    assert len(index.runs("F", limit=1000)) == 299
    assert store.reads == []


def test_pages_of_one_moment_miss_nothing(store: CountingStore) -> None:
    index = StoreIndex(MemoryMetadata(), store)
    for number in range(1, 61):
        begin(store, str(number), created_at=float(number))
        end(store, str(number))
    found, before = [], None
    while page := index.runs("F", before=before, limit=7):
        found += [int(run.run) for run in page]
        before = page[-1]
    assert found == [*range(60, 0, -1)]


def test_what_has_ended_is_not_read_again(store: CountingStore, index: StoreIndex) -> None:
    begin(store, "1")
    commit(store, "1", 1)
    end(store, "1")
    assert len(index.attempts("F", "1")) == 1
    store.reads.clear()
    assert len(index.attempts("F", "1")) == 1
    assert len(index.steps("F", "1")) == 1
    assert store.reads == []


def test_a_run_that_goes_on_elsewhere(store: CountingStore, index: StoreIndex) -> None:
    begin(store, "1")
    commit(store, "1", 1)
    found = index.run("F", "1")
    assert found is not None
    assert found.state is RunState.RUNNING
    assert [a.task for a in index.attempts("F", "1")] == [1]
    commit(store, "1", 2)
    assert [a.task for a in index.attempts("F", "1")] == [1, 2]
    assert store.reads.count(manifest_key("F", "1", "work", 1, 0)) == 1
    commit(store, "1", 3)
    end(store, "1", RunState.FAILED)
    found = index.run("F", "1")
    assert found is not None
    assert found.state is RunState.FAILED
    assert [a.task for a in index.attempts("F", "1")] == [1, 2, 3]


def test_it_ends_while_only_lists_are_looked_at(store: CountingStore, index: StoreIndex) -> None:
    begin(store, "1")
    commit(store, "1", 1)
    index.attempts("F", "1")
    commit(store, "1", 2)
    end(store, "1")
    assert [run.state for run in index.runs("F")] == [RunState.SUCCEEDED]
    assert len(index.attempts("F", "1")) == 2


def test_its_sign_of_life(store: CountingStore, index: StoreIndex) -> None:
    begin(store, "1", created_at=time.time() - 3600)
    (found,) = index.runs("F")
    assert seen_state(found) == "lost"
    store.write([(heartbeat_key("F", "1"), b"")])
    (found,) = index.runs("F")
    assert seen_state(found) == "running"
    again = index.run("F", "1")
    assert again == found


def test_a_run_of_this_machine_is_its_launchers_matter(
    store: CountingStore, index: StoreIndex
) -> None:
    import os

    record = begin(store, "1").record(RunState.CREATED)
    here = record._replace(pid=os.getpid(), host=os.uname().nodename, heartbeat_at=time.time())
    index.register_run(here)
    index.update_run("F", "1", state=RunState.RUNNING)
    index.write_attempts([AttemptRecord("F", "1", "work", 1, 0, AttemptState.RUNNING)])
    store.listings = 0
    assert index.run("F", "1") is not None
    assert [a.state for a in index.attempts("F", "1")] == [AttemptState.RUNNING]
    assert (store.reads, store.listings) == ([], 0)


def test_a_launcher_that_died_is_looked_after(store: CountingStore, index: StoreIndex) -> None:
    old = time.time() - 3600
    record = begin(store, "1", created_at=old).record(RunState.CREATED)
    index.register_run(record._replace(pid=1, host="gone", heartbeat_at=old))
    index.update_run("F", "1", state=RunState.RUNNING)
    index.write_attempts([AttemptRecord("F", "1", "work", 1, 0, AttemptState.RUNNING)])
    commit(store, "1", 1)
    end(store, "1")  # the last that it did
    found = index.run("F", "1")
    assert found is not None
    assert found.state is RunState.SUCCEEDED
    assert [a.state for a in index.attempts("F", "1")] == [AttemptState.SUCCEEDED]


def test_registering_what_somebody_found_a_moment_before(
    store: CountingStore, index: StoreIndex
) -> None:
    document = begin(store, "1")
    assert index.run("F", "1") is not None
    index.register_run(document.record(RunState.CREATED)._replace(pid=7))
    found = index.run("F", "1")
    assert found is not None
    assert found.pid == 7


def test_a_run_that_was_removed(store: CountingStore, index: StoreIndex) -> None:
    for number in ("1", "2"):
        begin(store, number)
        end(store, number)
    assert len(index.runs("F")) == 2
    store.delete([run_key("F", "1"), result_key("F", "1")])
    assert index.run("F", "1") is None
    store.delete([run_key("F", "2"), result_key("F", "2")])
    assert index.runs("F") == []


def test_tags_that_somebody_changed(store: CountingStore, index: StoreIndex) -> None:
    elsewhere = StoreIndex(MemoryMetadata(), store)
    for number in ("1", "2"):
        begin(store, number, tags=("first",))
        end(store, number)
    assert len(index.runs("F", tags=["first"])) == 2
    change_tags(elsewhere, store, "F", "1", add=["good"], remove=["first"])
    assert [run.run for run in index.runs("F", tags=["good"])] == ["1"]
    assert [run.run for run in index.runs("F", tags=["first"])] == ["2"]
    change_tags(elsewhere, store, "F", "1", add=["better"])
    found = index.run("F", "1")
    assert found is not None
    assert found.tags == ("better", "good")
    assert len(list(store.list("tags/"))) == 1
    fresh = StoreIndex(MemoryMetadata(), store)
    assert [run.run for run in fresh.runs("F", tags=["better"])] == ["1"]


def test_a_damaged_record_hides_no_other(store: CountingStore, index: StoreIndex) -> None:
    begin(store, "1")
    store.write([(run_key("F", "2"), b"rubbish")])
    assert [run.run for run in index.runs("F")] == ["1"]
    with pytest.raises(IntegrityError):
        index.run("F", "2")


def test_following_takes_in_everything(store: CountingStore, index: StoreIndex) -> None:
    for number in range(1, 31):
        begin(store, str(number))
        commit(store, str(number), 1)
        if number > 1:
            end(store, str(number))
    store.write([(run_key("F", "99"), b"rubbish")])
    told: list[tuple[int, int]] = []
    assert index.follow(lambda done, count: told.append((done, count))) == (30, 30)
    assert told[0] == (0, 30)
    assert told[-1] == (30, 30)
    assert [p.partition(":")[0] for p in index.problems] == [run_key("F", "99")]
    store.reads.clear()
    assert index.follow() == (30, 0)
    read = {key.split("/")[2] for key in store.reads}
    assert read == {"1", "99"}  # what goes on, and what could not be read
    end(store, "1")
    assert index.follow() == (30, 1)


def test_following_forgets_flows_that_are_gone(store: CountingStore, index: StoreIndex) -> None:
    begin(store, "1")
    index.follow()
    store.delete([run_key("F", "1")])
    assert index.follow() == (0, 0)
    assert index.flows() == []


def test_a_store_that_does_not_answer_is_asked_again_at_once(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(store, "1")
    index = StoreIndex(MemoryMetadata(), store)

    def fail(prefix: str = "") -> list[str]:
        raise StoreError("The network is down")

    with monkeypatch.context() as patch:
        patch.setattr(store, "folders", fail)
        for _ in range(2):
            with pytest.raises(StoreError, match="The network is down"):
                index.runs("F")
            with pytest.raises(StoreError, match="The network is down"):
                index.run("F", "1")
    assert [run.run for run in index.runs("F")] == ["1"]


def test_it_can_be_made_anew(store: CountingStore, index: StoreIndex) -> None:
    stale = RunRecord("Gone", "1", RunState.SUCCEEDED, 1.0)
    index.register_run(stale)
    begin(store, "1")
    assert index.rebuild(store) == 1
    assert [run.run for run in index.runs("F")] == ["1"]


# --- which index a session has --------------------------------------------------------------------


def settings_of(folder: Path, **variables: str) -> Settings:
    named = {f"FLOW_{name.upper()}": value for name, value in variables.items()}
    return Settings({"HOME": str(folder), **named}, str(folder))


def test_each_store_has_a_folder_of_its_own(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, datastore="far://b")
    assert settings.index_is_apart(["local"])
    one, other = (settings.index_place(["local"], url) for url in ("far://b/x", "far://b-x"))
    assert one != other
    start = f"local://{tmp_path}/.cache/flow/indexes/far-b-x-"
    assert one.startswith(start)
    assert other.startswith(start)
    assert "secret" not in settings.index_place(["local"], "sftp://ada:secret@host/x")


@pytest.mark.parametrize(
    ("chosen", "place"),
    [
        ({"datastore": "local"}, "local"),
        ({"datastore": "local:///x"}, "local:///x"),
        ({"datastore": "far://b", "metadata": "local:///y"}, "local:///y"),
        ({"datastore": "far://b", "metadata": "local"}, "local"),
        ({"datastore": "local:///x", "metadata": "store"}, "local:///x"),
    ],
)
def test_an_index_beside_the_store_or_a_chosen_one(
    tmp_path: Path, chosen: dict[str, str], place: str
) -> None:
    settings = settings_of(tmp_path, **chosen)
    assert not settings.index_is_apart(["local"])
    assert settings.index_place(["local"], "far://b") == place


def test_the_own_index_can_be_asked_for(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, datastore="far://b", metadata="store://anywhere")
    assert settings.index_is_apart(["local"])


def test_stores_of_one_url_are_told_apart(tmp_path: Path) -> None:
    opened: list[str] = []

    def open_provider(text: str) -> MemoryMetadata:
        opened.append(text)
        return MemoryMetadata()

    settings = settings_of(tmp_path, datastore="far://b")
    for identity in ("far://b", "far://b at one", "far://b at another"):
        store = MemoryStore("b")
        store.identity = identity  # type: ignore[attr-defined]
        store_index.open_store_index(settings, ["local"], store, open_provider)
    assert len({*opened}) == 3


def test_a_session_follows_its_store(tmp_path: Path) -> None:
    providers = {("store", "far"): MemoryStore("b"), ("metadata", "local"): MemoryMetadata()}
    with Session(settings=settings_of(tmp_path, datastore="far://b"), providers=providers) as one:
        assert isinstance(one.metadata, StoreIndex)
        assert one.metadata.url.startswith("store://")
    begin(providers["store", "far"], "1")  # type: ignore[arg-type]
    with Session(settings=settings_of(tmp_path, datastore="far://b"), providers=providers) as two:
        assert two.metadata.run("F", "1") is not None

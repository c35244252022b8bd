"""What is the local metadata provider's own: its file, its errors, its limits, its plans."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_core.api import (
    AttemptRecord,
    AttemptState,
    FlowError,
    FormatError,
    IntegrityError,
    Metadata,
    RunDocument,
    RunQuery,
    RunRecord,
    RunState,
    StoreError,
    UsageError,
    find_runs,
    run_key,
)
from flow_core.testing import MemoryMetadata, MemoryStore, in_children
from flow_metadata_local import database, rows, schema
from flow_metadata_local.metadata import LocalMetadata

RUN = RunRecord("F", "1", RunState.CREATED, 1000.0)


def attempt(task: int, number: int = 0, step: str = "work", run: str = "1") -> AttemptRecord:
    return AttemptRecord("F", run, step, task, number, AttemptState.SUCCEEDED)


@pytest.fixture
def metadata(tmp_path: Path) -> Iterator[LocalMetadata]:
    metadata = LocalMetadata(str(tmp_path / "index"))
    yield metadata
    metadata.close()


@pytest.fixture
def file(metadata: LocalMetadata) -> Path:
    return Path(metadata.root, "metadata.db")


class TestFile:
    def test_provider_is_metadata(self, metadata: LocalMetadata) -> None:
        typed: Metadata = metadata
        assert repr(typed) == f"<LocalMetadata {typed.url}>"
        assert typed.url == f"local://{metadata.root}"

    def test_default_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a/b").mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "a/b")
        assert LocalMetadata().root == str(tmp_path / "a/b/.flow")
        (tmp_path / ".flow").mkdir()
        assert LocalMetadata(None).root == str(tmp_path / ".flow")

    def test_reading_and_refused_changes_make_nothing(self, metadata: LocalMetadata) -> None:
        assert metadata.flows() == []
        assert metadata.runs("F") == []
        assert metadata.attempts("F", "1") == []
        changes: list[Callable[[], object]] = [
            lambda: metadata.update_run("F", "1", message="x"),
            lambda: metadata.change_tags("F", "1", add=["x"]),
            lambda: metadata.write_attempts([attempt(0)]),
        ]
        for change in changes:
            with pytest.raises(FlowError):
                change()
        metadata.close()
        assert not os.path.exists(metadata.root)

    def test_write_ahead_log(self, metadata: LocalMetadata, file: Path) -> None:
        metadata.register_run(RUN)
        with metadata._database.reading() as connection:
            assert connection is not None
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA synchronous").fetchone() == (1,)
            assert connection.execute("PRAGMA busy_timeout").fetchone() == (30_000,)
        metadata.close()
        assert [p.name for p in file.parent.iterdir()] == ["metadata.db"], "the log is folded in"

    def test_odd_folder_name(self, tmp_path: Path) -> None:
        odd = LocalMetadata(str(tmp_path / "what? 100%#ö"))
        odd.register_run(RUN)
        odd.close()
        assert LocalMetadata(odd.root).runs("F", limit=0) == []
        assert (tmp_path / "what? 100%#ö/metadata.db").exists()

    def test_newer_format(self, metadata: LocalMetadata, file: Path) -> None:
        metadata.register_run(RUN)
        metadata.close()
        _execute(file, "PRAGMA user_version = 99")
        with pytest.raises(FormatError) as caught:
            metadata.flows()
        assert str(caught.value) == (
            "The index of runs has format 99; this flow-metadata-local reads formats up to 2\n"
            f"  where: {file}\n"
            "  why:   it was written by a newer version of flow-metadata-local\n"
            "  try:   pip install --upgrade flow-metadata-local"
        )

    def test_an_index_without_parameters_gets_them(
        self, metadata: LocalMetadata, file: Path
    ) -> None:
        file.parent.mkdir()
        with closing(sqlite3.connect(file)) as old:
            schema.MIGRATIONS[0](old)
            old.execute("PRAGMA user_version = 1")
            values = "1, 'F', '1', 'created', 1000.0, NULL, '', '', 0, NULL, NULL, ''"
            old.execute(f"INSERT INTO runs VALUES ({values})")
            old.commit()
        assert metadata.run("F", "1") == RUN
        assert metadata.runs("F", parameters={"alpha": ["3"]}) == []

    def test_older_format_is_brought_up_to_date(
        self, metadata: LocalMetadata, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        metadata.register_run(RUN)
        metadata.close()

        def add_column(connection: sqlite3.Connection) -> None:
            connection.execute("ALTER TABLE runs ADD COLUMN extra TEXT")

        monkeypatch.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, add_column))
        monkeypatch.setattr(database, "VERSION", 3)
        assert metadata.run("F", "1") == RUN, "the rows stay"
        metadata.close()
        assert _execute(file, "PRAGMA user_version") == [(3,)]
        assert _execute(file, "SELECT extra FROM runs") == [(None,)]

    def test_failed_upgrade_changes_nothing(
        self, metadata: LocalMetadata, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(connection: sqlite3.Connection) -> None:
            connection.execute("DROP TABLE runs")
            raise ZeroDivisionError

        metadata.register_run(RUN)
        metadata.close()
        with monkeypatch.context() as patch:
            patch.setattr(database, "MIGRATIONS", (*schema.MIGRATIONS, fail))
            patch.setattr(database, "VERSION", 3)
            with pytest.raises(ZeroDivisionError):
                metadata.flows()
        assert metadata.flows() == ["F"]


def _execute(file: Path, statement: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(file)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


class TestErrors:
    def test_run_exists(self, metadata: LocalMetadata, file: Path) -> None:
        metadata.register_run(RUN)
        with pytest.raises(FlowError) as caught:
            metadata.register_run(RUN)
        assert str(caught.value) == (
            "Run 'F/1' exists already\n"
            f"  where: {file}\n"
            "  why:   another process registered a run with this id\n"
            "  try:   start the run again: it gets an id of its own"
        )

    def test_unknown_run(self, metadata: LocalMetadata, file: Path) -> None:
        with pytest.raises(FlowError) as caught:
            metadata.update_run("F", "9")
        assert str(caught.value) == (
            "There is no run 'F/9'\n"
            f"  where: {file}\n"
            "  why:   the index of runs does not know it\n"
            "  try:   check the id and the folder; an index that lacks runs is made anew by:"
            " flow reindex"
        )

    def test_long_tag(self, metadata: LocalMetadata) -> None:
        metadata.register_run(RUN)
        with pytest.raises(UsageError) as caught:
            metadata.change_tags("F", "1", add=["x" * 501])
        assert str(caught.value) == (
            "A tag has 1 to 500 characters, not 501\n"
            f"  where: tag '{'x' * 40}'\n"
            "  why:   tags are for finding runs, not for keeping data\n"
            "  try:   shorten it, or keep the text as an artifact"
        )

    @pytest.mark.parametrize("content", [b"this is no database" * 100, b"SQLite format 3\0" * 300])
    def test_damaged_file(self, metadata: LocalMetadata, file: Path, content: bytes) -> None:
        file.parent.mkdir()
        file.write_bytes(content)
        uses: list[Callable[[], object]] = [metadata.flows, lambda: metadata.register_run(RUN)]
        for use in uses:
            with pytest.raises(IntegrityError) as caught:
                use()
            assert caught.value.what == "The index of runs is damaged"
            assert caught.value.where == str(file)
            assert caught.value.why == "file is not a database"
            assert caught.value.hint == (
                f"delete {file} (with its -wal and -shm files), then: flow reindex"
            )

    def test_overwritten_pages(self, metadata: LocalMetadata, file: Path) -> None:
        metadata.register_run(RUN)
        metadata.write_attempts([attempt(i) for i in range(2000)])
        metadata.close()
        content = bytearray(file.read_bytes())
        content[4096:] = os.urandom(len(content) - 4096)
        file.write_bytes(content)
        with pytest.raises(IntegrityError, match="The index of runs is damaged"):
            metadata.attempts("F", "1")

    def test_deleting_a_damaged_file_is_a_way_out(
        self, metadata: LocalMetadata, file: Path
    ) -> None:
        file.parent.mkdir()
        file.write_bytes(b"garbage" * 1000)
        with pytest.raises(IntegrityError):
            metadata.flows()
        file.unlink()
        store = MemoryStore()
        document = RunDocument("F", "1", 1000.0, {}, {}, None, {}, {})
        store.write([(run_key("F", "1"), document.encode())])
        assert metadata.rebuild(store) == 1
        assert metadata.flows() == ["F"]

    def test_locked(
        self, metadata: LocalMetadata, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(database, "PATIENCE", 0.1)
        metadata.register_run(RUN)
        other = sqlite3.connect(file, isolation_level=None)
        try:
            other.execute("BEGIN IMMEDIATE")
            assert metadata.flows() == ["F"], "readers do not wait for a writer"
            with pytest.raises(StoreError) as caught:
                metadata.update_run("F", "1", message="x")
        finally:
            other.close()
        assert str(caught.value) == (
            "The index of runs is locked\n"
            f"  where: {file}\n"
            "  why:   another process kept it locked for 0.1 seconds\n"
            f"  try:   find that process with: fuser -v '{file}'; or, when no flow runs, delete"
            f" {file} (with its -wal and -shm files), then: flow reindex"
        )
        metadata.update_run("F", "1", message="again")

    def test_folder_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("x")
        metadata = LocalMetadata(str(tmp_path / "file" / "index"))
        assert metadata.flows() == []
        with pytest.raises(StoreError) as caught:
            metadata.register_run(RUN)
        assert caught.value.what == "The index of runs cannot be made"
        assert caught.value.why == "Not a directory"

    def test_file_is_a_folder(self, metadata: LocalMetadata, file: Path) -> None:
        file.mkdir(parents=True)
        with pytest.raises(StoreError) as caught:
            metadata.flows()
        assert str(caught.value) == (
            "The index of runs cannot be opened or written\n"
            f"  where: {file}\n"
            "  why:   unable to open database file\n"
            f"  try:   check owner and mode with: ls -ld '{file}' '{file.parent}'"
        )

    def test_mistakes_of_callers_are_not_explained_away(self, metadata: LocalMetadata) -> None:
        metadata.register_run(RUN)
        with pytest.raises(sqlite3.IntegrityError):
            metadata.write_attempts([attempt(0)._replace(message=None)])  # type: ignore[arg-type]
        assert metadata.attempts("F", "1") == []


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("mounting a small disk needs root on Linux")
    folder = tmp_path / "disk"
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")


@pytest.mark.chaos
class TestDisk:
    def test_full(self, disk: Path) -> None:
        metadata = LocalMetadata(str(disk))
        metadata.register_run(RUN)
        with pytest.raises(StoreError) as caught:
            metadata.write_attempts([attempt(i)._replace(message="x" * 500) for i in range(5000)])
        assert str(caught.value) == (
            "The index of runs cannot be written\n"
            f"  where: {disk}/metadata.db\n"
            "  why:   the disk is full\n"
            f"  try:   free space on the disk that holds {disk}/metadata.db"
        )
        assert metadata.attempts("F", "1") == [], "all or nothing"
        metadata.write_attempts([attempt(0)])
        assert len(metadata.attempts("F", "1")) == 1, "the connection is of use again"
        metadata.close()

    def test_read_only(self, disk: Path) -> None:
        metadata = LocalMetadata(str(disk))
        metadata.register_run(RUN)
        metadata.close()
        _mount("-o", "remount,ro", str(disk))
        assert metadata.runs("F") == [RUN], "results can be read where nothing can be written"
        with pytest.raises(StoreError) as caught:
            metadata.update_run("F", "1", message="x")
        assert caught.value.why == "attempt to write a readonly database"
        metadata.close()


class TestProcesses:
    def test_sixteen_writers_lose_nothing(self, metadata: LocalMetadata) -> None:
        # None of them finds a file: they fight for making it, too.
        def write(number: int) -> None:
            mine = LocalMetadata(metadata.root)
            mine.register_run(RUN._replace(run=str(number)))
            for i in range(25):
                mine.write_attempts([attempt(i * 4 + j, run=str(number)) for j in range(4)])
                mine.update_run("F", str(number), heartbeat_at=float(i))
                mine.steps("F", str(number))
            mine.close()

        in_children(16, write)
        assert len(metadata.runs("F")) == 16
        for number in range(16):
            assert len(metadata.attempts("F", str(number))) == 100

    def test_many_open_and_close(self, metadata: LocalMetadata) -> None:
        # The last to close folds the log into the file, while others open it.
        def write(number: int) -> None:
            for i in range(15):
                mine = LocalMetadata(metadata.root)
                mine.register_run(RUN._replace(run=f"{number}-{i}"))
                mine.close()

        in_children(8, write)
        assert len(metadata.runs("F", limit=1000)) == 8 * 15

    def test_sixteen_change_the_tags_of_one_run(self, metadata: LocalMetadata) -> None:
        metadata.register_run(RUN)
        in_children(16, lambda n: metadata.change_tags("F", "1", add=[f"t{n}"]))
        found = metadata.run("F", "1")
        assert found is not None
        assert len(found.tags) == 16

    @pytest.mark.chaos
    def test_killed_writer_leaves_whole_batches(self, metadata: LocalMetadata) -> None:
        metadata.register_run(RUN)
        code = (
            "import sys, itertools; from flow_metadata_local.metadata import LocalMetadata;"
            "from flow_core.api import AttemptRecord, AttemptState as S;"
            "m = LocalMetadata(sys.argv[1]); base = int(sys.argv[2]); print('ready', flush=True)\n"
            "for b in itertools.count(base):\n"
            "  m.write_attempts([AttemptRecord('F', '1', 's', b * 10 + i, 0, S.SUCCEEDED)"
            " for i in range(10)])"
        )
        for life in range(6):
            command = [sys.executable, "-c", code, metadata.root, str(life * 10_000)]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
                assert writer.stdout is not None
                writer.stdout.readline()
                time.sleep(0.01 * life)
                writer.kill()
            batches: dict[int, int] = {}
            for record in metadata.attempts("F", "1", limit=1_000_000):
                batches[record.task // 10] = batches.get(record.task // 10, 0) + 1
            assert set(batches.values()) <= {10}, "a batch is written entirely or not at all"
        assert batches, "the writers came to write"


class TestRebuild:
    @pytest.fixture
    def store(self) -> MemoryStore:
        store = MemoryStore()
        document = RunDocument("F", "1", 1000.0, {}, {}, None, {}, {}, info={"host": "engine"})
        store.write([(run_key("F", "1"), document.encode())])
        return store

    def test_says_what_it_cannot_read(self, metadata: LocalMetadata, store: MemoryStore) -> None:
        store.write([("runs/F/1/work/1/0/manifest", b"flow-manifest 9 x")])
        store.write([("runs/F/2/run.json", b"flow-run 1 x\n{}"), ("runs/F/3/other", b"")])
        assert metadata.rebuild(store) == 1
        newer, damaged, missing = metadata.problems
        assert newer == (
            "runs/F/1/work/1/0/manifest: This manifest record has format 9; this flow-core reads"
            " formats up to 1: it was written by a newer version of flow-core"
        )
        assert damaged == (
            "runs/F/2/run.json: The run record is damaged: its bytes do not have the hash that it"
            " carries"
        )
        assert missing == "runs/F/3/run.json: there is no such record"
        store.delete(o.key for o in list(store.list("runs/F/1/work")))
        metadata.rebuild(store)
        assert len(metadata.problems) == 2, "the problems are those of the last time"

    def test_keeps_what_only_the_index_knows(
        self, metadata: LocalMetadata, store: MemoryStore
    ) -> None:
        alive = RUN._replace(state=RunState.RUNNING, heartbeat_at=5.0, pid=7, host="here")
        metadata.register_run(alive)
        assert metadata.rebuild(store) == 1
        assert metadata.run("F", "1") == alive

    def test_run_without_an_index(self, metadata: LocalMetadata, store: MemoryStore) -> None:
        metadata.rebuild(store)
        expected = RunRecord("F", "1", RunState.RUNNING, 1000.0, host="engine")
        assert metadata.run("F", "1") == expected

    def test_run_that_starts_meanwhile_stays(
        self, metadata: LocalMetadata, store: MemoryStore
    ) -> None:
        new = RUN._replace(run="2", created_at=time.time() + 60)
        metadata.register_run(new)
        metadata.write_attempts([attempt(0, run="2")])
        metadata.rebuild(store)
        assert metadata.run("F", "2") == new
        assert metadata.attempts("F", "2") == [attempt(0, run="2")]

    def test_unreadable_store_leaves_the_index(
        self, metadata: LocalMetadata, store: MemoryStore
    ) -> None:
        class Broken(MemoryStore):
            def folders(self, prefix: str = "") -> list[str]:
                raise StoreError("the store cannot be reached")

        metadata.register_run(RUN)
        with pytest.raises(StoreError):
            metadata.rebuild(Broken())
        assert metadata.flows() == ["F"]


class TestPlans:
    """Answers for big runs come from the right index; measuring time would depend on the machine."""

    def plan(self, metadata: LocalMetadata, statement: str, values: tuple[object, ...]) -> str:
        metadata.register_run(RUN)
        with metadata._database.reading() as connection:
            assert connection is not None
            found = connection.execute("EXPLAIN QUERY PLAN " + statement, values).fetchall()
        return " | ".join(row[3] for row in found)

    def test_steps(self, metadata: LocalMetadata) -> None:
        plan = self.plan(metadata, rows._COUNT_LATEST, (1,))
        assert plan == "SEARCH attempts USING COVERING INDEX attempts_latest (run_id=?)"

    def test_superseded(self, metadata: LocalMetadata) -> None:
        plan = self.plan(metadata, rows._SPAN_SUPERSEDED, (1,))
        assert plan == "SEARCH attempts USING COVERING INDEX attempts_superseded (run_id=?)"

    @pytest.mark.parametrize("states", [(), ("failed",), ("failed", "running")])
    @pytest.mark.parametrize("all_attempts", [False, True])
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_pages_of_attempts_are_not_sorted(
        self,
        metadata: LocalMetadata,
        states: tuple[str, ...],
        all_attempts: bool,
        newest_first: bool,
    ) -> None:
        metadata.register_run(RUN)
        wanted = rows.Wanted(
            1, 5, 90, None, states, all_attempts, newest_first, brief=False, limit=10
        )
        with metadata._database.reading() as connection:
            assert connection is not None
            statements: list[str] = []
            connection.set_trace_callback(statements.append)
            streams = list(rows.attempt_streams(connection, "work", wanted))
            connection.set_trace_callback(None)
            assert len(streams) == max(len(states), 1)
            for statement in statements:
                for row in connection.execute("EXPLAIN QUERY PLAN " + statement).fetchall():
                    assert row[3].startswith("SEARCH attempts USING"), "a seek, and no sorting"

    def test_pages_of_runs(self, metadata: LocalMetadata) -> None:
        plan = self.plan(
            metadata,
            "SELECT id FROM runs WHERE flow = ? AND (created_at, run) < (?, ?)"
            " ORDER BY created_at DESC, run DESC LIMIT ?",
            ("F", 1.0, "1", 10),
        )
        assert plan.startswith("SEARCH runs USING COVERING INDEX runs_by_time")
        assert "TEMP B-TREE" not in plan


ATTEMPTS = st.lists(
    st.builds(
        AttemptRecord,
        flow=st.just("F"),
        run=st.just("1"),
        step=st.sampled_from(["start", "work", "end"]),
        task=st.integers(0, 12),
        attempt=st.integers(0, 3),
        state=st.sampled_from(AttemptState),
        indices=st.lists(st.integers(0, 9), max_size=2).map(tuple),
        started_at=st.none() | st.integers(0, 50).map(float),
        finished_at=st.none() | st.integers(0, 50).map(float),
        cpu_seconds=st.floats(0, 1e9),
        peak_memory=st.integers(0, 1 << 50),
        origin=st.none() | st.just("F/0/work/1/0"),
        cause=st.sampled_from(["", "error"]),
        message=st.text(
            st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=5
        ),
    ),
    max_size=40,
)


class TestProperties:
    @settings(max_examples=60, deadline=None)
    @given(
        batches=st.lists(ATTEMPTS, max_size=3),
        states=st.lists(st.sampled_from(AttemptState), max_size=3),
        step=st.none() | st.sampled_from(["start", "work"]),
        all_attempts=st.booleans(),
        size=st.integers(1, 7),
    )
    def test_same_answers_as_the_fake_and_pages_are_the_whole(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        batches: list[list[AttemptRecord]],
        states: list[AttemptState],
        step: str | None,
        all_attempts: bool,
        size: int,
    ) -> None:
        local, fake = LocalMetadata(str(tmp_path_factory.mktemp("index"))), MemoryMetadata()
        for index in (local, fake):
            index.register_run(RUN)
            for batch in batches:
                index.write_attempts(batch)
        asked = {"step": step, "states": states, "all_attempts": all_attempts}
        everything = fake.attempts("F", "1", **asked)  # type: ignore[arg-type]
        pages: list[AttemptRecord] = []
        while page := local.attempts(
            "F",
            "1",
            step=step,
            states=states,
            all_attempts=all_attempts,
            limit=size,
            after=pages[-1].task if pages else -1,
        ):
            pages += page
        summaries = local.steps("F", "1"), fake.steps("F", "1")
        local.close()

        def order(record: AttemptRecord) -> tuple[int, int, str]:
            return record.task, record.attempt, record.step

        assert sorted(pages, key=order) == sorted(everything, key=order)
        assert [order(r)[:2] for r in pages] == sorted(order(r)[:2] for r in pages)
        assert sorted(summaries[0]) == sorted(summaries[1])

    @settings(max_examples=40, deadline=None)
    @given(
        created=st.lists(st.integers(0, 5), max_size=15),
        state=st.none() | st.sampled_from([RunState.CREATED, RunState.FAILED]),
        size=st.integers(1, 6),
    )
    def test_pages_of_runs_are_the_whole(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        created: list[int],
        state: RunState | None,
        size: int,
    ) -> None:
        local = LocalMetadata(str(tmp_path_factory.mktemp("index")))
        runs = [
            RunRecord("F", str(n), list(RunState)[n % 5], float(at)) for n, at in enumerate(created)
        ]
        for run in runs:
            local.register_run(run)
        pages: list[RunRecord] = []
        states = [state] if state else []
        while page := local.runs(
            "F", states=states, limit=size, before=pages[-1] if pages else None
        ):
            pages += page
        local.close()
        chosen = [run for run in runs if state in (None, run.state)]
        assert pages == sorted(chosen, key=lambda r: (r.created_at, r.run), reverse=True)


def test_ten_thousand_runs_are_fast(metadata: LocalMetadata) -> None:
    with metadata._database.writing() as connection:
        connection.executemany(
            "INSERT INTO runs (id, flow, run, state, created_at, user, host, pid, message)"
            " VALUES (?, 'F', ?, ?, ?, 'ada', '', 0, '')",
            [(n, str(n), "failed" if n == 7 else "succeeded", float(n)) for n in range(10_000)],
        )
        connection.executemany(
            "INSERT INTO tags (run_id, tag, system) VALUES (?, ?, 1)",
            [(n, "user:ada") for n in range(10_000)],
        )
        connection.executemany(
            "INSERT INTO parameters (run_id, name, value) VALUES (?, 'alpha', ?)",
            [(n, str(n % 5000)) for n in range(10_000)],
        )
    queries = [
        RunQuery(states=("failed",), tags=("user:ada",)),
        RunQuery(parameters={"alpha": ("3",)}, tags=("user:ada",)),
        RunQuery(since=5.0, until=10.0),
    ]
    began = time.perf_counter()
    found = [[r.run for r in find_runs(metadata, "F", query)] for query in queries]
    took = time.perf_counter() - began
    assert found == [["7"], ["5003", "3"], ["9", "8", "7", "6", "5"]]
    assert took < 1.0, "the index finds them: some milliseconds each on an idle machine"

"""The suite for metadata providers finds each promise that a provider breaks."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from flow_core.errors import FlowError, StateError, UsageError
from flow_core.interfaces import Metadata, Store
from flow_core.records import AttemptRecord, RunRecord, RunState, StepSummary
from flow_core.testing import MemoryMetadata, MemoryStore, MetadataSuite, failures


class LosesTags(MemoryMetadata):
    def register_run(self, run: RunRecord) -> None:
        super().register_run(run._replace(tags=()))


class TextsOnly(MemoryMetadata):
    """Loses the fractions of seconds."""

    def register_run(self, run: RunRecord) -> None:
        super().register_run(run._replace(created_at=float(int(run.created_at))))


class RegistersTwice(MemoryMetadata):
    def register_run(self, run: RunRecord) -> None:
        self.remove_run(run.flow, run.run)
        super().register_run(run)


class SetsAll(MemoryMetadata):
    """Changes also what is not given."""

    def update_run(self, flow: str, run: str, *, message: str | None = None, **more: Any) -> None:
        super().update_run(flow, run, message=message or "", **more)


class KeepsMessage(MemoryMetadata):
    """Takes '' for what is not given."""

    def update_run(self, flow: str, run: str, *, message: str | None = None, **more: Any) -> None:
        super().update_run(flow, run, message=message or None, **more)


class AnyTransition(MemoryMetadata):
    def update_run(
        self, flow: str, run: str, *, state: RunState | None = None, **more: Any
    ) -> None:
        try:
            super().update_run(flow, run, state=state, **more)
        except StateError:
            super().update_run(flow, run, **more)


class LooksFirst(MemoryMetadata):
    """Looks at the old state, and writes the new one later."""

    def update_run(
        self, flow: str, run: str, *, state: RunState | None = None, **more: Any
    ) -> None:
        before = self.run(flow, run)
        super().update_run(flow, run, **more)
        if before is None or state is None:
            return
        time.sleep(0.05)
        with self._lock:
            changed = self._existing(flow, run)._replace(state=before.state)
            self._runs[flow, run] = changed
            super().update_run(flow, run, state=state)


class TakesUnknown(MemoryMetadata):
    """Says nothing about a run that it does not know."""

    def update_run(self, flow: str, run: str, **more: Any) -> None:
        if self.run(flow, run) is not None:
            super().update_run(flow, run, **more)


class OldestFirst(MemoryMetadata):
    def runs(self, flow: str, **options: Any) -> list[RunRecord]:
        return super().runs(flow, **options)[::-1]


class PagesByTime(MemoryMetadata):
    """Begins a page behind the time of the last run, of which there may be several."""

    def runs(
        self, flow: str, *, before: RunRecord | None = None, limit: int = 100, **options: Any
    ) -> list[RunRecord]:
        found = super().runs(flow, limit=1000, **options)
        return [r for r in found if before is None or r.created_at < before.created_at][:limit]


class AnyTag(MemoryMetadata):
    def runs(self, flow: str, *, tags: Sequence[str] = (), **options: Any) -> list[RunRecord]:
        found = super().runs(flow, **options)
        return [r for r in found if not tags or {*tags} & {*r.tags, *r.system_tags}]


class LimitFirst(MemoryMetadata):
    """Filters what is left of a page."""

    def runs(self, flow: str, *, tags: Sequence[str] = (), **options: Any) -> list[RunRecord]:
        found = super().runs(flow, **options)
        return [r for r in found if {*tags} <= {*r.tags, *r.system_tags}]


class UntilIncluded(MemoryMetadata):
    def runs(self, flow: str, *, until: float | None = None, **options: Any) -> list[RunRecord]:
        later = None if until is None else until + 0.001
        return super().runs(flow, until=later, **options)


class OneValue(MemoryMetadata):
    """Heeds only the first value of a parameter."""

    def runs(self, flow: str, *, parameters: Any = None, **options: Any) -> list[RunRecord]:
        first = {name: texts[:1] for name, texts in (parameters or {}).items()}
        return super().runs(flow, parameters=first, **options)


class ForgetsHalf(MemoryMetadata):
    """Keeps the attempts of a run that is removed."""

    def remove_run(self, flow: str, run: str) -> bool:
        kept = self._attempts.get((flow, run), {})
        known = super().remove_run(flow, run)
        self._attempts[flow, run] = kept
        return known


class SystemTagsToo(MemoryMetadata):
    def change_tags(self, flow: str, run: str, **change: Any) -> tuple[str, ...]:
        with self._lock:
            tags = super().change_tags(flow, run, **change)
            old = self._existing(flow, run)
            kept = tuple(t for t in old.system_tags if t not in change.get("remove", ()))
            self._runs[flow, run] = old._replace(system_tags=kept)
            return tags


class LastChangeWins(MemoryMetadata):
    """Reads the tags, and writes all of them back later."""

    def change_tags(
        self, flow: str, run: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[str, ...]:
        old = self.run(flow, run)
        known = {*old.tags} if old else set()
        tags = tuple(sorted(known - {*remove} | {*add}))
        time.sleep(0.005)
        with self._lock:
            self._runs[flow, run] = self._existing(flow, run)._replace(tags=tags)
        return tags


class Unlimited(MemoryMetadata):
    def register_run(self, run: RunRecord) -> None:
        super().register_run(run._replace(tags=()))
        self._runs[run[:2]] = run


class OneByOne(MemoryMetadata):
    """Writes a batch until something is wrong with it."""

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        for record in records:
            super().write_attempts([record])


class FirstWins(MemoryMetadata):
    """Keeps what it knows of an attempt."""

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        known = {r[:5] for r in self.attempts("F", "1", all_attempts=True)}
        super().write_attempts([r for r in records if r[:5] not in known])


class FirstAttempt(MemoryMetadata):
    def attempts(self, flow: str, run: str, **options: Any) -> list[AttemptRecord]:
        return [r for r in super().attempts(flow, run, **options) if r.attempt == 0]


class TextOrder(MemoryMetadata):
    """Sorts numbers of attempts as texts."""

    def attempts(self, flow: str, run: str, **options: Any) -> list[AttemptRecord]:
        found = super().attempts(flow, run, **{**options, "all_attempts": True})
        ordered = sorted(found, key=lambda r: (str(r.task), str(r.attempt)))
        if options.get("all_attempts"):
            return ordered
        return list({(r.step, r.task): r for r in ordered}.values())


class CountsRecords(MemoryMetadata):
    """Lets the limit count attempts instead of tasks."""

    def attempts(
        self, flow: str, run: str, *, limit: int = 1000, **options: Any
    ) -> list[AttemptRecord]:
        return super().attempts(flow, run, **options)[:limit]


class FiltersFirst(MemoryMetadata):
    """Chooses by state before it looks which attempt is the last."""

    def attempts(
        self, flow: str, run: str, *, states: Sequence[Any] = (), **options: Any
    ) -> list[AttemptRecord]:
        every = super().attempts(flow, run, **{**options, "all_attempts": True})
        chosen = [r for r in every if not states or r.state in states]
        if options.get("all_attempts"):
            return chosen
        return list({(r.step, r.task): r for r in chosen}.values())


class ByStep(MemoryMetadata):
    """Gives the tasks of one step behind those of another."""

    def attempts(self, flow: str, run: str, **options: Any) -> list[AttemptRecord]:
        return sorted(super().attempts(flow, run, **options), key=lambda r: (r.step, r.task))


class Alphabetical(MemoryMetadata):
    def steps(self, flow: str, run: str) -> list[StepSummary]:
        return sorted(super().steps(flow, run), key=lambda s: s.step)


class CountsAttempts(MemoryMetadata):
    """Counts each attempt of a task."""

    def steps(self, flow: str, run: str) -> list[StepSummary]:
        every = self.attempts(flow, run, all_attempts=True)
        return [
            s._replace(tasks=len([r for r in every if r.step == s.step]))
            for s in super().steps(flow, run)
        ]


class BeginsWith(MemoryMetadata):
    """Takes the run '11' for one of those of '1'."""

    def steps(self, flow: str, run: str) -> list[StepSummary]:
        runs = [r for r in self._runs if r[0] == flow and r[1].startswith(run)]
        return [s for r in runs for s in super(BeginsWith, self).steps(*r)]


class AddsOnly(MemoryMetadata):
    """Keeps what the store does not have."""

    def rebuild(self, store: Store) -> int:
        runs, attempts = dict(self._runs), dict(self._attempts)
        number = super().rebuild(store)
        self._runs = {**runs, **self._runs}
        self._attempts = {**attempts, **self._attempts}
        return number


class GivesUp(MemoryMetadata):
    """Stops at the first record that is damaged."""

    def rebuild(self, store: Store) -> int:
        number = super().rebuild(store)
        if self.problems:
            raise FlowError(self.problems[0])
        return number


class FirstTags(MemoryMetadata):
    """Does not look for tags that were changed after the start of a run."""

    def rebuild(self, store: Store) -> int:
        behind = MemoryStore()
        kept = [o.key for o in store.list() if "/tags.d/" not in o.key]
        behind.write([(k, c or b"") for k, c in zip(kept, store.read(kept), strict=True)])
        return super().rebuild(behind)


class ForgetsChanges(MemoryMetadata):
    """Forgets the tags that only the index knows."""

    def rebuild(self, store: Store) -> int:
        self._runs = {}
        return super().rebuild(store)


class Closed(MemoryMetadata):
    """Cannot be used any more when it was closed."""

    open = True

    def close(self) -> None:
        self.open = False

    def run(self, flow: str, run: str) -> RunRecord | None:
        if not self.open:
            raise FlowError("It is closed")
        return super().run(flow, run)


class NoEmptyAnswers(MemoryMetadata):
    """Fails for what it does not know."""

    def attempts(self, flow: str, run: str, **options: Any) -> list[AttemptRecord]:
        self._existing(flow, run)
        return super().attempts(flow, run, **options)


class NoDefaults(MemoryMetadata):
    """Makes a text of what is not known."""

    def run(self, flow: str, run: str) -> RunRecord | None:
        found = super().run(flow, run)
        return found and found._replace(origin=found.origin or "")


class FlowsAsTheyCome(MemoryMetadata):
    def flows(self) -> list[str]:
        return list(dict.fromkeys(flow for flow, _ in self._runs))


class TouchesRun(MemoryMetadata):
    """Notes the time of each update, also of one of nothing."""

    def update_run(self, flow: str, run: str, **changes: Any) -> None:
        super().update_run(flow, run, **{"heartbeat_at": time.time(), **changes})


class FirstState(MemoryMetadata):
    """Heeds the first of several states."""

    def runs(self, flow: str, *, states: Sequence[RunState] = (), **options: Any) -> Any:
        return super().runs(flow, states=states[:1], **options)


class AnyUser(MemoryMetadata):
    def runs(self, flow: str, *, user: str | None = None, **options: Any) -> Any:
        return super().runs(flow, **options)


class PagesByNumber(MemoryMetadata):
    """Begins a page behind the number of runs that came before, as they are now."""

    def __init__(self) -> None:
        super().__init__()
        self._given = 0

    def runs(
        self, flow: str, *, before: RunRecord | None = None, limit: int = 100, **options: Any
    ) -> list[RunRecord]:
        self._given = 0 if before is None else self._given
        page = super().runs(flow, limit=1000, **options)[self._given :][:limit]
        self._given += len(page)
        return page


class NewTagsOnly(MemoryMetadata):
    """Answers with what was added."""

    def change_tags(self, flow: str, run: str, **change: Any) -> tuple[str, ...]:
        super().change_tags(flow, run, **change)
        return tuple(change.get("add", ()))


class RemovesLast(MemoryMetadata):
    """Adds tags first, and removes some then."""

    def change_tags(
        self, flow: str, run: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[str, ...]:
        super().change_tags(flow, run, add=add)
        return super().change_tags(flow, run, remove=remove)


class CountsBytes(MemoryMetadata):
    """Takes the bytes of a tag for its letters."""

    def change_tags(
        self, flow: str, run: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[str, ...]:
        if any(len(tag.encode()) > 500 for tag in add):
            raise UsageError("A tag has at most 500 letters")
        return super().change_tags(flow, run, add=add, remove=remove)


class SmallNumbers(MemoryMetadata):
    """Keeps numbers of 32 bits."""

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        cut = [r._replace(peak_memory=r.peak_memory % (1 << 32)) for r in records]
        super().write_attempts(cut)


class KnowsFewStates(MemoryMetadata):
    """Keeps those states that there were when it was written."""

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        known = {"succeeded", "failed", "running", "queued"}
        super().write_attempts([r for r in records if r.state.value in known])


class FirstOfBatch(MemoryMetadata):
    """Keeps the first record of an attempt in a batch."""

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        super().write_attempts([*records][::-1])


class WantsRecords(MemoryMetadata):
    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        self._existing(records[0].flow, records[0].run)
        super().write_attempts(records)


class OneRun(MemoryMetadata):
    """Takes all records of a batch for those of one run."""

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        super().write_attempts([r._replace(run=records[0].run) for r in records])


class LastCome(MemoryMetadata):
    """Takes the attempt that came last for the last one."""

    def attempts(self, flow: str, run: str, **options: Any) -> list[AttemptRecord]:
        if options.get("all_attempts"):
            return super().attempts(flow, run, **options)
        came = {(r.step, r.task): r for r in self._attempts.get((flow, run), {}).values()}
        return sorted(came.values(), key=lambda r: r.task)


class AnyStep(MemoryMetadata):
    def attempts(
        self, flow: str, run: str, *, step: str | None = None, **options: Any
    ) -> list[AttemptRecord]:
        return super().attempts(flow, run, **options)


class AnyTask(MemoryMetadata):
    def attempts(
        self, flow: str, run: str, *, task: int | None = None, **options: Any
    ) -> list[AttemptRecord]:
        return super().attempts(flow, run, **options)


class BeforeIncluded(MemoryMetadata):
    """Ends a page with the task that it should end before."""

    def attempts(
        self, flow: str, run: str, *, before: int | None = None, **options: Any
    ) -> list[AttemptRecord]:
        later = None if before is None else before + 1
        return super().attempts(flow, run, before=later, **options)


class PageOfTasks(MemoryMetadata):
    """Chooses a page, and then those of it that are wanted."""

    def attempts(
        self, flow: str, run: str, *, states: Sequence[Any] = (), **options: Any
    ) -> list[AttemptRecord]:
        found = super().attempts(flow, run, **options)
        return [r for r in found if not states or r.state in states]


class TooBrief(MemoryMetadata):
    """Leaves out of a brief record what tells one task of a foreach from another."""

    def attempts(
        self, flow: str, run: str, *, brief: bool = False, **options: Any
    ) -> list[AttemptRecord]:
        found = super().attempts(flow, run, **options)
        return [r._replace(indices=()) for r in found] if brief else found


class WaitingFirst(MemoryMetadata):
    def steps(self, flow: str, run: str) -> list[StepSummary]:
        return sorted(super().steps(flow, run), key=lambda s: s.started_at or 0.0)


class LosesRows(MemoryMetadata):
    """Reads its table, adds to it, and writes it back."""

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        for record in records:
            self._existing(record.flow, record.run)
        changed = dict(self._attempts.get(records[0][:2], {})) if records else {}
        time.sleep(0.0005)
        for record in records:
            changed[record[2:5]] = record
            self._attempts[record[:2]] = changed


class ForgetsAttempts(MemoryMetadata):
    """Makes the index of runs anew, and not that of attempts."""

    def rebuild(self, store: Store) -> int:
        number = super().rebuild(store)
        self._attempts = {key: {} for key in self._attempts}
        return number


class ForgetsReuse(MemoryMetadata):
    """Does not see where a result comes from."""

    def rebuild(self, store: Store) -> int:
        number = super().rebuild(store)
        for table in self._attempts.values():
            for key, record in table.items():
                table[key] = record._replace(origin=None)
        return number


class CountsNew(MemoryMetadata):
    """Answers how many runs it did not know."""

    def rebuild(self, store: Store) -> int:
        before = set(self._runs)
        super().rebuild(store)
        return len(set(self._runs) - before)


class LeavesHandlers(MemoryMetadata):
    """Changes the loggers of others."""

    def __init__(self) -> None:
        super().__init__()

    def register_run(self, run: RunRecord) -> None:
        import logging

        logging.getLogger("some.library").addHandler(logging.NullHandler())
        super().register_run(run)


# --- in a file, for what other processes see ----------------------------------------------------


class InFile(MemoryMetadata):
    """Reads a file before each use, and writes it after each change, without a lock."""

    def __init__(self, root: str) -> None:
        super().__init__(root)

    def _load(self) -> None:
        if os.path.exists(self.root):
            with open(self.root, "rb") as file:
                self._runs, self._attempts = pickle.load(file)

    def _save(self) -> None:
        time.sleep(0.002)
        with open(f"{self.root}.{os.getpid()}", "wb") as file:
            pickle.dump((self._runs, self._attempts), file)
        os.replace(file.name, self.root)

    def register_run(self, run: RunRecord) -> None:
        self._load()
        super().register_run(run)
        time.sleep(0.1)
        self._save()

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        self._load()
        super().write_attempts(records)
        self._save()

    def change_tags(self, flow: str, run: str, **change: Any) -> tuple[str, ...]:
        self._load()
        found = super().change_tags(flow, run, **change)
        self._save()
        return found

    def run(self, flow: str, run: str) -> RunRecord | None:
        self._load()
        return super().run(flow, run)

    def runs(self, flow: str, **options: Any) -> list[RunRecord]:
        self._load()
        return super().runs(flow, **options)

    def attempts(self, flow: str, run: str, **options: Any) -> list[AttemptRecord]:
        self._load()
        return super().attempts(flow, run, **options)


class OfOneProcess(InFile):
    """Cannot be used by a child of the process that made it."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._owner = os.getpid()

    def _load(self) -> None:
        if os.getpid() != self._owner:
            raise FlowError("The connection is that of another process")
        super()._load()


class OtherPlace(InFile):
    """Is called by a name under which others find something else."""

    @property
    def url(self) -> str:
        return f"file://{self.root}.other"


BROKEN: list[tuple[type[MemoryMetadata], str]] = [
    (LosesTags, "test_run_round_trip"),
    (LosesTags, "test_runs_by_tags"),
    (TextsOnly, "test_run_round_trip"),
    (RegistersTwice, "test_run_is_registered_once"),
    (SetsAll, "test_update_changes_what_is_given"),
    (KeepsMessage, "test_update_may_clear_the_message"),
    (AnyTransition, "test_illegal_transition_changes_nothing"),
    (LooksFirst, "test_only_one_ends_a_run"),
    (TakesUnknown, "test_changes_of_an_unknown_run_are_refused"),
    (OldestFirst, "test_runs_newest_first"),
    (PagesByTime, "test_pages_of_runs"),
    (AnyTag, "test_runs_by_tags"),
    (LimitFirst, "test_runs_by_tags"),
    (UntilIncluded, "test_runs_by_time"),
    (OneValue, "test_runs_by_parameters"),
    (ForgetsHalf, "test_remove_run"),
    (SystemTagsToo, "test_system_tags_are_not_the_users_to_change"),
    (LastChangeWins, "test_threads_change_tags"),
    (Unlimited, "test_tag_of_a_bad_length_is_refused"),
    (Unlimited, "test_number_of_tags_is_limited"),
    (Unlimited, "test_tags_come_back_sorted_and_once"),
    (OneByOne, "test_batch_is_all_or_nothing"),
    (FirstWins, "test_attempt_is_replaced"),
    (FirstWins, "test_step_counts_follow_replacements"),
    (FirstAttempt, "test_last_attempt_stands_for_the_task"),
    (TextOrder, "test_last_attempt_stands_for_the_task"),
    (CountsRecords, "test_limit_counts_tasks"),
    (FiltersFirst, "test_state_filters_what_would_be_returned"),
    (ByStep, "test_steps_are_merged_by_task"),
    (Alphabetical, "test_steps_in_the_order_of_their_start"),
    (CountsAttempts, "test_step_counts_tasks_by_the_state_of_their_last_attempt"),
    (BeginsWith, "test_runs_do_not_mix"),
    (AddsOnly, "test_rebuild_of_an_empty_store"),
    (GivesUp, "test_rebuild_leaves_out_what_is_damaged"),
    (FirstTags, "test_rebuild_reads_the_tags_of_the_store"),
    (ForgetsChanges, "test_rebuild_keeps_changed_tags"),
    (Closed, "test_use_after_close"),
    (LeavesHandlers, "test_run_round_trip"),
    (NoEmptyAnswers, "test_empty_index_gives_empty_answers"),
    (NoDefaults, "test_run_of_defaults_round_trip"),
    (FlowsAsTheyCome, "test_flows_are_sorted"),
    (TouchesRun, "test_update_of_nothing"),
    (FirstState, "test_runs_by_state"),
    (AnyUser, "test_runs_by_user"),
    (PagesByNumber, "test_pages_stay_while_runs_are_added"),
    (NewTagsOnly, "test_change_tags"),
    (RemovesLast, "test_added_and_removed_is_added"),
    (CountsBytes, "test_longest_tag"),
    (SmallNumbers, "test_attempt_round_trip"),
    (KnowsFewStates, "test_attempt_of_each_state"),
    (FirstOfBatch, "test_last_record_of_a_batch_wins"),
    (WantsRecords, "test_empty_batch"),
    (OneRun, "test_batch_over_several_runs"),
    (LastCome, "test_attempts_may_arrive_in_any_order"),
    (AnyStep, "test_attempts_of_a_step"),
    (AnyTask, "test_attempts_of_a_task"),
    (PageOfTasks, "test_pages_of_attempts"),
    (BeforeIncluded, "test_tasks_between_two_others"),
    (TooBrief, "test_brief_records_say_which_attempts_there_are"),
    (WaitingFirst, "test_step_that_waits_comes_last"),
    (LosesRows, "test_threads_write"),
    (ForgetsAttempts, "test_rebuild_finds_runs_and_attempts"),
    (ForgetsReuse, "test_rebuild_of_every_kind_of_end"),
    (CountsNew, "test_rebuild_again_changes_nothing"),
    (InFile, "test_processes_write"),
    (InFile, "test_processes_register_the_same_run"),
    (OfOneProcess, "test_use_in_a_forked_child"),
    (OtherPlace, "test_url_opens_the_same_index"),
]


def suite(provider: type[MemoryMetadata]) -> type[MetadataSuite]:
    """Return the suite for a provider in memory, or in a file."""

    class InMemory(MetadataSuite):
        in_process = True

        @pytest.fixture
        def metadata(self) -> Metadata:
            return provider()

        def reopen(self, metadata: Metadata) -> Metadata:
            return metadata

    class InAFile(MetadataSuite):
        @pytest.fixture
        def metadata(self, tmp_path: Path) -> Metadata:
            return provider(str(tmp_path / "index"))

    return InAFile if issubclass(provider, InFile) else InMemory


@pytest.mark.parametrize(("provider", "case"), BROKEN)
def test_it_finds(provider: type[MemoryMetadata], case: str) -> None:
    found = failures(suite(provider), case)
    assert {name.partition("[")[0] for name in found} == {case}


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(MetadataSuite) if name.startswith("test_")}
    assert cases == {case for _, case in BROKEN}

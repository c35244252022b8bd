"""Which runs are meant: read from the store itself, whatever an index knows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import (
    FlowError,
    NotFound,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    UsageError,
    did_you_mean,
    result_key,
    run_key,
    seems_lost,
    stored_tags,
)

if TYPE_CHECKING:
    from flow_core.api import Metadata, Store

_BATCH = 200


class Wanted(NamedTuple):
    """What is asked for; the default asks for all runs.

    Attributes:
        flows: names of flows; empty = all.
        runs: (flow, run); empty = all.
        tags: tags that a run carries, all of them.
        since: seconds since the epoch from which on it was started.
    """

    flows: tuple[str, ...] = ()
    runs: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    since: float | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == Wanted()


class Selection(NamedTuple):
    """The runs that are meant.

    Attributes:
        runs: the runs to copy, oldest first.
        going: runs that are meant, but go on.
        problems: one sentence for each run whose record cannot be read.
    """

    runs: tuple[RunRecord, ...]
    going: tuple[RunRecord, ...]
    problems: tuple[str, ...]


def select(store: Store, index: Metadata, wanted: Wanted) -> Selection:
    """Return the runs of ``store`` that are wanted.

    Args:
        store: where they lie.
        index: knows whether a run that has not ended goes on.
        wanted: what is asked for.

    Raises:
        NotFound: there is no such flow, or no such run.
    """
    problems: list[str] = []
    chosen = [run for run in _all(store, wanted, problems) if _is_wanted(store, run, wanted)]
    going = [run for run in chosen if run.finished_at is None and _goes_on(index, run)]
    rest = (run for run in chosen if run not in going)
    return Selection(
        tuple(sorted(rest, key=lambda run: run.created_at)), tuple(going), tuple(problems)
    )


def parse_run(text: str) -> tuple[str, str]:
    """``MyFlow/12`` → its parts; `UsageError` for anything else."""
    flow, slash, run = text.partition("/")
    if not (flow and slash and run) or "/" in run:
        raise UsageError(f"'{text}' names no run", where="--run", hint="--run MyFlow/12")
    return flow, run


def _all(store: Store, wanted: Wanted, problems: list[str]) -> Iterator[RunRecord]:
    there = store.folders("runs/")
    flows = {*wanted.flows, *(flow for flow, _ in wanted.runs)}
    for flow in sorted(flows):
        if flow not in there:
            raise NotFound(
                f"There is no run of a flow '{flow}'",
                where=store.url,
                hint=did_you_mean(flow, there)
                or f"all that there are: flow --datastore {store.url} runs --namespace ''",
            )
    for flow in there:
        if flows and flow not in flows:
            continue
        runs = [run for name, run in wanted.runs if name == flow]
        if not runs or flow in wanted.flows:
            runs = store.folders(f"runs/{flow}/")
        yield from _read(store, flow, runs, {*wanted.runs}, problems)


def _read(
    store: Store,
    flow: str,
    runs: Sequence[str],
    named: set[tuple[str, str]],
    problems: list[str],
) -> Iterator[RunRecord]:
    for start in range(0, len(runs), _BATCH):
        some = runs[start : start + _BATCH]
        keys = [key for run in some for key in (run_key(flow, run), result_key(flow, run))]
        contents = iter(store.read(keys))
        for run, first, last in zip(some, contents, contents, strict=False):
            if first is None and (flow, run) in named:
                raise NotFound(
                    f"There is no run {flow}/{run}",
                    where=store.url,
                    hint=f"those that there are: flow --datastore {store.url} runs --namespace ''",
                )
            if first is None:
                continue  # what is left of one that is gone
            try:
                yield _record(flow, run, first, last)
            except FlowError as error:
                problems.append(f"{flow}/{run}: {error.what}")


def _record(flow: str, run: str, first: bytes, last: bytes | None) -> RunRecord:
    record = RunDocument.decode(first, run_key(flow, run)).record(RunState.RUNNING)
    if last is None:
        return record
    result = RunResult.decode(last, result_key(flow, run))
    return record._replace(state=result.state, finished_at=result.finished_at)


def _is_wanted(store: Store, run: RunRecord, wanted: Wanted) -> bool:
    if wanted.since is not None and run.created_at < wanted.since:
        return False
    if not wanted.tags:
        return True
    changed = stored_tags(store, run.flow, run.run)
    tags = run.tags if changed is None else changed
    return {*wanted.tags} <= {*tags, *run.system_tags}


def _goes_on(index: Metadata, run: RunRecord) -> bool:
    found = index.run(run.flow, run.run)
    return not seems_lost(found or run)

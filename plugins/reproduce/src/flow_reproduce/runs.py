"""The run that is to be reproduced: what is recorded of it, and what stands in the way."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from flow_core.api import (
    CodeFile,
    CommandContext,
    NotFound,
    RunDocument,
    RunResult,
    RunState,
    Session,
    UsageError,
    did_you_mean,
    distributions,
    read_code,
    result_key,
    seems_lost,
)

_SHOWN = 4


class FoundRun(NamedTuple):
    """A run: what was fixed when it started, and how it ended; None = it has not, or was killed."""

    document: RunDocument
    result: RunResult | None

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return f"{self.document.flow}/{self.document.run}"

    @property
    def place(self) -> tuple[str, str]:
        """Flow and run."""
        return self.document.flow, self.document.run


def find_run(context: CommandContext, text: str) -> FoundRun:
    """Return the run that ``Flow/run`` names; in a flow file also ``run``.

    The store is asked, not the index: the run may be another machine's.

    Raises:
        UsageError: it has another form.
        NotFound: the store has no such run.
    """
    parts = text.strip("/").split("/")
    if len(parts) == 1 and context.flow is not None:
        parts.insert(0, context.flow.__name__)
    if len(parts) != 2 or not all(parts):
        there = _numbers(context.session(), parts[0]) if len(parts) == 1 else []
        example = f"{parts[0]}/{there[-1]}" if there else "MyFlow/3"
        raise UsageError(
            f"'{text}' names no run",
            where=f"the argument of '{context.name}'",
            why="a run is Flow/run, in a flow file also run",
            hint="3" if context.flow is not None else example,
        )
    return read_run(context.session(), *parts)


def read_run(session: Session, flow: str, run: str) -> FoundRun:
    """Return a run of the session's store; `NotFound` when there is none."""
    try:
        document = session.run_document(flow, run)
    except NotFound:
        raise _no_run(session, flow, run) from None
    key = result_key(flow, run)
    raw = next(iter(session.store.read([key])))
    return FoundRun(document, None if raw is None else RunResult.decode(raw, key))


def _no_run(session: Session, flow: str, run: str) -> NotFound:
    there = _numbers(session, flow)
    flows = session.store.folders("runs/")
    if there:
        hint = "the latest are: " + ", ".join(reversed(there[-5:]))
    else:
        hint = did_you_mean(flow, flows) or "another store: flow --datastore URL reproduce RUN"
    return NotFound(f"There is no run {flow}/{run}", where=session.store.url, hint=hint)


def _numbers(session: Session, flow: str) -> list[str]:
    """Return the numbers of a flow's runs in the store, the latest last."""
    found = session.store.folders(f"runs/{flow}/") if flow else []
    return sorted((n for n in found if n.isdigit()), key=int)


def code_of(session: Session, run: FoundRun) -> dict[str, CodeFile]:
    """Return the files that the run has kept.

    Raises:
        NotFound: it has kept none.
    """
    document = run.document
    what = f"the code of run {run.pathspec}"
    if document.code is None:
        raise NotFound(
            f"Run {run.pathspec} has kept no code, so it cannot be run again",
            where=session.store.url,
            why="its flow was in no file: it was typed at a prompt, or given to python -c",
            hint=f"compare it with another run: --against {document.flow}/RUN",
        )
    files = read_code(session.artifacts.get_bytes(document.code, what), what)
    script = str(document.info.get("script", ""))
    if script not in files:
        raise NotFound(
            f"The code of run {run.pathspec} lacks the flow's own file",
            where=session.store.url,
            why=f"there is no '{script}' in it",
            hint=f"look into it: flow code list {run.pathspec}",
        )
    return files


def check_state(session: Session, run: FoundRun) -> None:
    """Raise `UsageError` when the run still goes on."""
    if run.result is not None:
        return
    record = session.metadata.run(*run.place)
    if record is not None and record.state is RunState.RUNNING and not seems_lost(record):
        raise UsageError(
            f"Run {run.pathspec} still goes on",
            where=session.store.url,
            why="only what is finished can be compared",
            hint=f"wait for its end: flow status {run.pathspec}",
        )


def remarks(session: Session, run: FoundRun) -> Iterator[str]:
    """Yield, a sentence each, what may keep the run from being reproduced, as far as its record and
    this machine tell: before anything is run."""
    document = run.document
    yield from _of_its_end(run)
    if not str(document.graph.get("file", "")).endswith(".py"):
        yield (
            "its flow was in a notebook: of that only the cells are kept which define the flow and "
            "its functions"
        )
    left_out = document.info.get("left_out")
    if left_out:
        yield f"its code lacks {_listed(left_out)}, which were not kept"
    yield from _of_origin(session, document)
    yield from _of_python(document)
    yield from _of_steps(document)
    if document.scope:
        yield f"it ran as {'.'.join((*document.scope, document.flow))}; this one runs as yours"


def _of_its_end(run: FoundRun) -> Iterator[str]:
    result = run.result
    if result is None:
        yield "it was killed: only the tasks that it has finished can be compared"
    elif result.state is not RunState.SUCCEEDED:
        why = f": {result.message}" if result.message else ""
        yield f"it {result.state.value}{why}; what its tasks left is compared"


def _of_origin(session: Session, document: RunDocument) -> Iterator[str]:
    """Tasks that a resumed run took over have run with the code of another one."""
    if document.origin is None:
        return
    try:
        code = session.run_document(*document.origin.split("/")).code
    except NotFound:
        yield f"it went on after {document.origin}, which is gone; all runs with its own code now"
        return
    if code != document.code:
        yield (
            f"it went on after {document.origin}, which had other code; all runs with the later "
            "code now"
        )


def _of_python(document: RunDocument) -> Iterator[str]:
    """What of the launcher's Python is another now; steps in environments have locks of their own."""
    info = document.info
    version = installed_core()
    if info.get("flow_core") != version:
        yield f"it ran with flow-core {info.get('flow_core')}, this is {version}"
    without = [s for s in document.graph["steps"] if s not in document.environments]
    if not without:
        return
    of = "its steps" if len(without) == len(document.graph["steps"]) else _listed(without)
    here = ".".join(map(str, sys.version_info[:3]))
    if info.get("python") != here:
        yield f"{of} ran in Python {info.get('python')}, this is {here}"
    there = info.get("packages")
    if there is None:
        yield f"which packages {of} ran with is not recorded"
        return
    changes = [*_changes(there, distributions(sys.path))]
    if changes:
        yield f"{of} ran with other packages: {_listed(changes)}"


def _changes(old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(old):
        if name not in new:
            yield f"{name} {old[name]} (not here)"
        elif new[name] != old[name]:
            yield f"{name} {old[name]} → {new[name]}"


def _of_steps(document: RunDocument) -> Iterator[str]:
    secret = [name for name, plan in document.plans.items() if plan.get("secrets")]
    if secret:
        yield f"{_listed(secret)} asked for secrets, whose values are not recorded: today's count"


def _listed(names: Iterable[str]) -> str:
    found = [*names]
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def installed_core() -> str:
    """Return the version of flow-core that runs here."""
    from flow_core import __version__

    return str(__version__)

"""What is known of a run, out of the index and the store: a `CardRun`."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flow_cards.contract import CardLink, CardRun
from flow_cards.finding import follow
from flow_cards.reading import artifact_names, own_artifacts, read_artifacts, read_values
from flow_cards.storage import cards_of, run_cards_prefix
from flow_core.api import OK_STATES, AttemptRecord, AttemptState, Failure, ManifestReader, RunState

if TYPE_CHECKING:
    from flow_core.api import Manifest, Metadata, RunRecord, Session, Store

_PAGE = 5000
_TOLD = 10


def read_run(session: Session, record: RunRecord) -> CardRun:
    """Return what a card of a run is made from.

    It reads the records of all attempts, page by page, but hardly a manifest: those of the end task,
    and of ten that failed.

    Args:
        session: where the run lies.
        record: the run.
    """
    document = session.run_document(record.flow, record.run)
    metadata, store = session.metadata, session.store
    attempts = tuple(_attempts(metadata, record))
    end = _end_manifest(store, attempts, str(document.graph.get("end") or "end"))
    names = artifact_names(document, end) if end is not None else []
    return CardRun(
        record.flow,
        record.run,
        state=record.state.value,
        user=record.user,
        host=record.host,
        tags=record.tags,
        started=record.created_at,
        finished=record.finished_at or 0.0,
        seen=record.finished_at or record.heartbeat_at or record.created_at,
        origin=record.origin or "",
        failure=_failure(record),
        parameters=read_values(session, record.pathspec, document.parameters, "parameter"),
        graph=document.graph,
        flow_doc=str(document.graph.get("doc") or ""),
        attempts=attempts,
        failures=_failures(store, attempts),
        artifacts=read_artifacts(session, end, names) if end is not None else {},
        own=own_artifacts(end, names) if end is not None else (),
        find=functools.cache(functools.partial(_links, store, _with_cards(document.graph))),
    )


def _attempts(metadata: Metadata, record: RunRecord) -> Iterator[AttemptRecord]:
    after = -1
    while page := metadata.attempts(
        record.flow, record.run, all_attempts=True, after=after, limit=_PAGE
    ):
        yield from page
        after = page[-1].task


def _end_manifest(store: Store, attempts: tuple[AttemptRecord, ...], step: str) -> Manifest | None:
    ended = [one for one in attempts if one.step == step and one.state in OK_STATES]
    return ManifestReader(store).one(*ended[-1][:5]) if ended else None


def _failure(record: RunRecord) -> Failure | None:
    if record.state not in (RunState.FAILED, RunState.INTERRUPTED):
        return None
    return Failure("", "", record.message or record.state.value)


def _failures(store: Store, attempts: tuple[AttemptRecord, ...]) -> Mapping[str, Failure]:
    """Return why tasks failed for good: where it is known, as their manifests have it."""
    last = {(one.step, one.task): one for one in attempts}
    failed = [one for one in last.values() if one.state is AttemptState.FAILED][:_TOLD]
    reader = ManifestReader(store)
    found = {}
    for one in failed:
        manifest = reader.one(*one[:5])
        known = manifest.failure if manifest is not None else None
        found[one.pathspec] = known or Failure(one.cause, "", one.message or "it left no record")
    return found


def _with_cards(graph: Mapping[str, Any]) -> frozenset[str]:
    """Return the steps whose tasks may have left cards: in others nobody need look for some."""
    steps = graph.get("steps") or {}
    return frozenset(name for name, node in steps.items() if "card" in node.get("decorators", ()))


def _links(store: Store, steps: frozenset[str], attempt: AttemptRecord) -> tuple[CardLink, ...]:
    if attempt.step not in steps:
        return ()
    place = (*attempt[:4], attempt.attempt)
    if attempt.origin is None:
        cards = cards_of(store, place)
    else:
        cards = [found.card for found in follow(store, place)]
    here = run_cards_prefix(attempt.flow, attempt.run)
    return tuple(CardLink(c.type, c.id, posixpath.relpath(c.key, here)) for c in cards)

"""A spin: one step again with today's code, on the inputs of an earlier task."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flow_core.api import (
    ArtifactRef,
    Earlier,
    LoneAttempt,
    Manifest,
    NotFound,
    RunDocument,
    RunRecord,
    RunState,
    Session,
    TaskSpec,
    UsageError,
    adopt_parameters,
    again,
    did_you_mean,
    find_attempt,
    keep_code,
    run_key,
    run_prefix,
)
from flow_spin.overrides import Overrides
from flow_spin.place import NAME

_SILENCE = 60.0


class Options(NamedTuple):
    """What was asked for besides the task.

    Attributes:
        artifacts: what stands for inputs: the dict of ``--artifacts-module``.
        skip_decorators: whether the step runs without its decorators.
        persist: whether the result is kept when something else is spun.
        run_id_file: file that gets the number of the spin, or None.
    """

    artifacts: Mapping[str, Any] = {}
    skip_decorators: bool = False
    persist: bool = False
    run_id_file: str | None = None


class Spun(NamedTuple):
    """A spin that is over.

    Attributes:
        earlier: the attempt on whose inputs it ran.
        manifest: what came of it.
        document: the facts of the run that holds it.
        place: what to name as ``--datastore`` to find it.
    """

    earlier: Earlier
    manifest: Manifest
    document: RunDocument
    place: str


class Change(NamedTuple):
    """An artifact that differs: ``old`` is None for a new one, ``new`` for one that is gone."""

    name: str
    old: ArtifactRef | None
    new: ArtifactRef | None

    @property
    def kind(self) -> str:
        """``new``, ``gone`` or ``changed``."""
        if self.old is None:
            return "new"
        return "gone" if self.new is None else "changed"


def changes(earlier: Manifest, later: Manifest) -> list[Change]:
    """Return the artifacts whose bytes differ, by name."""
    old, new = earlier.artifacts, later.artifacts
    return [
        Change(name, old.get(name), new.get(name))
        for name in sorted({*old, *new})
        if name not in old or name not in new or old[name].hash != new[name].hash
    ]


def spin(
    session: Session,
    pathspec: str,
    options: Options,
    output: Callable[[str, bytes], None] | None = None,
) -> Spun:
    """Run one step again; its session then has the store of spins.

    Args:
        session: a session of the flow, whose store was not opened yet.
        pathspec: the earlier task, see `find_attempt`.
        options: what was asked for.
        output: called with the stream and the bytes that the task writes.

    Raises:
        FlowError: there is no such task, or it cannot be spun.
        KeyboardInterrupt: the person ended it.
    """
    if options.skip_decorators:
        session.add_plugins(["flow_spin.skip"])
    given = session.settings.overrides().get("datastore")
    earlier, document = _find(session, pathspec)
    if not any(session.configs_given):
        session.use_configs(
            {
                name: session.artifacts.load(document.parameters[name], f"configuration '{name}'")
                for name in document.configs
            }
        )
    node = session.graph.nodes.get(earlier.manifest.step)
    if node is None:
        raise _no_step(session, earlier.manifest)
    spec = again(earlier.manifest)
    if session.plans[spec.step].gang:
        raise _gang(spec)
    overrides = Overrides(options.artifacts, earlier.manifest)
    parameters = overrides.parameters(document)
    overrides.check(earlier.manifest, document)
    with LoneAttempt(session, spec.step) as alone:
        made = _describe(session, document, earlier.manifest, parameters, options)
        registered = alone.register(made, options.run_id_file)
        _forget_older(session, registered)
        spec = spec._replace(run=registered.run, attempt=0)
        overrides.write(session, spec)
        place = NAME if given is None else session.store.url
        return Spun(earlier, alone.run(spec, output), registered, place)


def _find(session: Session, pathspec: str) -> tuple[Earlier, RunDocument]:
    """Find the earlier task among real runs, and turn the session to the store of spins."""
    assert session.flow is not None
    settings = session.settings
    if settings["datastore"].partition("://")[0] == NAME:
        raise UsageError(
            "A spin cannot run on a spin",
            where=f"datastore {settings['datastore']}",
            hint="leave out --datastore, and name a task of a real run",
        )
    store = session.open_provider("store", settings["datastore"])
    index = session.open_metadata(lambda: store)
    try:
        earlier = find_attempt(index, store, pathspec, session.flow.__name__)
        url = index.url
    finally:
        index.close()
    settings.override("datastore", f"{NAME}://{store.url}", NAME)
    settings.override("metadata", f"{NAME}://{url}", NAME)
    flow, run = earlier.manifest.flow, earlier.manifest.run
    raw = next(iter(store.read([run_key(flow, run)])))
    if raw is None:
        raise NotFound(f"The record of run {flow}/{run} is missing", where=store.url)
    return earlier, RunDocument.decode(raw, run_key(flow, run))


def _no_step(session: Session, manifest: Manifest) -> UsageError:
    return UsageError(
        f"Flow {manifest.flow} has no step '{manifest.step}' today",
        where=session.graph.file,
        why=f"{manifest.pathspec} is of an older version of the code",
        hint=did_you_mean(manifest.step, session.graph.nodes),
    )


def _gang(spec: TaskSpec) -> UsageError:
    return UsageError(
        f"Step '{spec.step}' cannot be spun",
        why="it is a gang (num_parallel), whose tasks start together and talk to each other",
        hint="resume the run, or choose a step before or behind the gang",
    )


def _describe(
    session: Session,
    document: RunDocument,
    earlier: Manifest,
    parameters: Mapping[str, Any],
    options: Options,
) -> RunDocument:
    """Return the facts of the run that holds the spin: those of the earlier run, today's code."""
    note = {
        "of": earlier.pathspec,
        "attempt": earlier.attempt,
        "task": f"{earlier.step}/{earlier.task}",
        "persist": options.persist,
        "overridden": sorted(options.artifacts),
    }
    kept = keep_code(session)
    return adopt_parameters(session, document, parameters)._replace(
        created_at=time.time(),
        code=kept.hash,
        info={**document.info, **kept.info()},
        graph=session.graph.to_json(),
        plans={name: plan.to_json() for name, plan in session.plans.items()},
        origin=f"{document.flow}/{document.run}",
        tags=(),
        notes={**document.notes, NAME: note},
    )


# --- what is not kept ---------------------------------------------------------------------------


def _forget_older(session: Session, document: RunDocument) -> None:
    """Remove earlier spins of the flow that were not to be kept, and the blobs of theirs alone.

    Not while another spin runs, whose new blobs are not known yet.
    """
    store, metadata = session.store, session.metadata
    records = metadata.runs(document.flow, limit=1000)
    others = [r for r in records if r.run != document.run]
    if any(map(_is_alive, others)):
        return
    kept: list[str] = [document.run]
    dropped: list[str] = []
    for record in others:
        other = session.run_document(record.flow, record.run)
        (kept if other.notes[NAME]["persist"] else dropped).append(record.run)
    if not dropped:
        return
    keys = {run: [e.key for e in store.list(run_prefix(document.flow, run))] for run in dropped}
    gone = {h for run in dropped for h in _hashes(session, keys[run])}
    for flow in store.folders("runs/"):
        for run in store.folders(f"runs/{flow}/"):
            if flow != document.flow or run in kept:
                gone -= _hashes(session, [e.key for e in store.list(run_prefix(flow, run))])
    store.delete([key for run in dropped for key in keys[run]])
    store.delete([f"blobs/{digest[:2]}/{digest}" for digest in gone])
    metadata.rebuild(store)


def _is_alive(record: RunRecord) -> bool:
    is_open = record.state in (RunState.CREATED, RunState.RUNNING)
    return is_open and time.time() - (record.heartbeat_at or record.created_at) < _SILENCE


def _hashes(session: Session, keys: list[str]) -> set[str]:
    """Return the hashes of all blobs that the records under these keys name."""
    found: set[str] = set()
    for key in keys:
        raw = next(iter(session.store.read([key])))
        if raw is None:
            continue
        if key.endswith("/manifest"):
            manifest = Manifest.decode(raw, key)
            refs = [*manifest.artifacts.values()]
            if manifest.transition is not None and manifest.transition.items is not None:
                refs.append(manifest.transition.items)
            found |= {ref.hash for ref in refs if not ref.inline}
        elif key.endswith("/run.json"):
            document = RunDocument.decode(raw, key)
            tables = (document.parameters, document.constants)
            found |= {r.hash for table in tables for r in table.values() if not r.inline}
            found |= {document.code} if document.code else set()
            found |= {one["lock"] for one in document.environments.values()}
    return found

"""What is known of an attempt, out of the store: a `CardTask`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from flow_cards.codec import decode
from flow_cards.contract import CardTask, Value
from flow_core.api import AttemptLogs, AttemptRecord, ManifestReader, home_of_logs

if TYPE_CHECKING:
    from flow_cards.decorator import CardOptions
    from flow_cards.storage import Added
    from flow_core.api import ArtifactRef, ArtifactStore, Manifest, RunDocument, Store

_LOG_TAIL = 64 << 10
_STREAMS = ("stdout", "stderr")
T = TypeVar("T")


class Source(Protocol):
    """What is read from. A `flow_core.api.Session` is one."""

    @property
    def store(self) -> Store:
        """The store."""

    @property
    def artifacts(self) -> ArtifactStore:
        """The artifacts in the store."""


class Lazy(Mapping[str, T]):
    """A mapping whose values are made when they are asked for, once.

    Args:
        names: the keys.
        make: makes the value of a key.
    """

    def __init__(self, names: tuple[str, ...], make: Callable[[str], T]) -> None:
        self._names = dict.fromkeys(names)
        self._make = functools.cache(make)

    def __getitem__(self, name: str) -> T:
        if name not in self._names:
            raise KeyError(name)
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def read_task(
    source: Source, document: RunDocument, manifest: Manifest, options: CardOptions, added: Added
) -> CardTask:
    """Return what a card is made from.

    Args:
        source: where the attempt lies.
        document: the ``run.json`` of its run.
        manifest: what the attempt has committed, or how it ended without that.
        options: the ``@card``.
        added: what the step has added to this card.
    """
    node: Mapping[str, Any] = document.graph["steps"].get(manifest.step, {})
    names = artifact_names(document, manifest)
    return CardTask(
        manifest.flow,
        manifest.run,
        manifest.step,
        manifest.task,
        manifest.attempt,
        state=manifest.state.value,
        started=manifest.started,
        finished=manifest.finished,
        cpu_seconds=manifest.cpu_seconds,
        peak_memory=manifest.peak_memory,
        host=manifest.host,
        failure=manifest.failure,
        user=document.user,
        tags=document.tags,
        foreach=tuple((frame.step, frame.index, frame.count) for frame in manifest.foreach),
        parameters=read_values(source, manifest.pathspec, document.parameters, "parameter"),
        artifacts=read_artifacts(source, manifest, names),
        own=own_artifacts(manifest, names),
        components=tuple(decode(one) for one in added.components),
        options=dict(options.options),
        data=added.data,
        logs=Lazy(_STREAMS, functools.partial(_log_tail, source.store, manifest)),
        graph=document.graph,
        flow_doc=str(document.graph.get("doc") or ""),
        step_doc=str(node.get("doc") or ""),
        resources=manifest.notes.get("resources", {}),
    )


def artifact_names(document: RunDocument, manifest: Manifest) -> list[str]:
    """Return the names of the artifacts of a task that a card shows, sorted: no parameters."""
    hidden = {*document.parameters, *document.constants}
    return sorted(n for n in manifest.artifacts if not n.startswith("_") and n not in hidden)


def read_artifacts(source: Source, manifest: Manifest, names: Sequence[str]) -> Mapping[str, Value]:
    """Return artifacts of a task by name."""
    refs = {name: manifest.artifacts[name] for name in names}
    return read_values(source, manifest.pathspec, refs, "artifact")


def read_values(
    source: Source, owner: str, refs: Mapping[str, ArtifactRef], kind: str
) -> Mapping[str, Value]:
    """Return values that are read when they are asked for, by name.

    Args:
        source: where they lie.
        owner: pathspec of the task or the run, for errors.
        refs: which they are.
        kind: ``artifact`` or ``parameter``, for errors.
    """

    def make(name: str) -> Value:
        ref = refs[name]
        what = f"{kind} '{name}' of {owner}"
        load = functools.partial(source.artifacts.load, ref, what)
        return Value(name, ref.type, ref.size, load, ref.hash)

    return Lazy(tuple(refs), make)


def own_artifacts(manifest: Manifest, names: list[str]) -> tuple[str, ...]:
    """Return the artifacts that the step set: those of which it is not known that it only read them."""
    trace = manifest.trace
    if trace is None:
        return tuple(names)
    reads = {f"artifact:{name}": name for name in names}
    unchanged = {
        reads[what]
        for what, digest in trace.reads.items()
        if what in reads and digest and manifest.artifacts[reads[what]].hash.startswith(digest)
    }
    return tuple(name for name in names if name in trace.own and name not in unchanged)


def _log_tail(store: Store, manifest: Manifest, stream: str) -> str:
    record = AttemptRecord.from_manifest(manifest)
    logs = AttemptLogs(store, home_of_logs(store, ManifestReader(store), record)[0])
    start = max(0, logs.size(stream) - _LOG_TAIL)
    text = logs.read(stream, start, _LOG_TAIL).decode("utf-8", "replace")
    if not start:
        return text
    return f"… {start:,} bytes before this\n" + text.partition("\n")[2]

"""When the result of one task may stand for another: what a task has read, and whether it is the same.

While a task runs, `Reads` notes each thing that its code reads from outside, a *fact*, with a hash of
what was there. A task whose code is the same, and whose facts are, would come to the same result.
`Facts` says what the facts of a task that is about to run are, before it runs.

Facts: ``parameter:NAME``, ``artifact:NAME`` (of its input), ``item:D`` ``index:D`` ``count:D`` (of
the foreach at depth D, from 0 = the outermost). In a join: ``branches`` (how many, of which steps),
``branch:NAME@NUMBERS`` (an artifact of some branches; no number = of all), ``merge:NAMES`` (all
artifacts of all branches, but NAMES). The hash of what was looked for in vain is ``''``.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from blake3 import blake3

from flow_core.records import (
    ArtifactRef,
    ForeachFrame,
    InputRange,
    InputRef,
    Manifest,
    TaskSpec,
    Trace,
    unpack_inputs,
)

if TYPE_CHECKING:
    from flow_core.binding import RunReader

_LENGTH = 32
PLACE = ".place"
"""Stands for an artifact's name where a join asks a branch for its place in the foreaches."""


def short(ref: ArtifactRef | None) -> str:
    """Return the hash of an artifact as facts have it, ``''`` for none."""
    return ref.hash[:_LENGTH] if ref is not None else ""


def digest(parts: Iterable[str]) -> str:
    """Return one hash for several texts, none of which may hold a line break."""
    return blake3("\n".join(parts).encode()).hexdigest()[:_LENGTH]


class Reads:
    """Notes the facts of one task while it runs."""

    __slots__ = ("_branches", "_elsewhere", "_facts", "_process")

    def __init__(self) -> None:
        self._facts: dict[str, str] = {}
        self._branches: dict[str, dict[int, str]] = {}
        self._process = os.getpid()
        # What a child that the step forks reads, this process does not see. So the child says so.
        self._elsewhere = mmap.mmap(-1, 1)

    def note(self, fact: str, value: str) -> None:
        """Note what was found; the first time counts, since later it may be the step's own."""
        if fact not in self._facts:
            self._check_process()
            self._facts[fact] = value

    def note_branch(self, name: str, number: int, value: str) -> None:
        """Note what a join found in one of its branches."""
        found = self._branches.setdefault(name, {})
        if number not in found:
            self._check_process()
            found[number] = value

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            self._elsewhere[0] = 1

    def facts(self, branches: int) -> dict[str, str] | None:
        """Return all facts; None when a child process has read something too.

        Args:
            branches: how many branches a join has.
        """
        if self._elsewhere[0]:
            return None
        facts = dict(self._facts)
        for name, found in self._branches.items():
            numbers = "" if len(found) == branches else _ranges(sorted(found))
            facts[f"branch:{name}@{numbers}"] = digest(found[n] for n in sorted(found))
        return facts


class Merge:
    """Gathers, branch by branch, what a merge of all branches depends on.

    Args:
        include, exclude: names, as for `FlowSpec.merge_artifacts`.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str]) -> None:
        self._include = include
        self._left_out = sorted(name for name in exclude if "," not in name)
        self._found: list[str] = []
        self._named: dict[str, list[str]] = {name: [] for name in include}

    def add(self, manifest: Manifest) -> None:
        """Take the next branch."""
        if self._include:
            for name, values in self._named.items():
                values.append(short(manifest.artifacts.get(name)))
        else:
            self._found.append(_table(manifest, self._left_out))

    def note(self, reads: Reads) -> None:
        """Note it, when all branches are there."""
        for name, values in self._named.items():
            reads.note(f"branch:{name}@", digest(values))
        if not self._include:
            reads.note("merge:" + ",".join(self._left_out), digest(self._found))


def _table(manifest: Manifest, left_out: Sequence[str]) -> str:
    table = manifest.artifacts
    return " ".join(f"{n}={short(table[n])}" for n in sorted(table) if n not in left_out)


def _ranges(numbers: Sequence[int]) -> str:
    """``0-3,7`` for 0, 1, 2, 3 and 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _numbers(ranges: str) -> Iterator[int]:
    for part in ranges.split(","):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def structure(inputs: Iterable[InputRange]) -> str:
    """Return the fact ``branches``: from which steps they come, in order, whatever the tasks."""
    steps: list[list[Any]] = []
    for step, first, last, _ in inputs:
        if steps and steps[-1][0] == step:
            steps[-1][1] += last - first + 1
        else:
            steps.append([step, last - first + 1])
    return ",".join(f"{step}*{count}" for step, count in steps)


def place(reader: RunReader, frames: Sequence[ForeachFrame]) -> str:
    """Return one hash for a place in the foreaches, with all items."""
    return digest(f"{f.index}/{f.count} {reader.item_hash(f)}" for f in frames)


class Facts:
    """What the facts of a task are that has not run.

    Args:
        reader: reads the run of the task.
        spec: the task.
        joins: whether it is a join.

    Attributes:
        reader, spec, joins: as the arguments.

    Since 0.1.
    """

    def __init__(self, reader: RunReader, spec: TaskSpec, joins: bool) -> None:
        self.reader = reader
        self.spec = spec
        self.joins = joins

    @cached_property
    def inherited(self) -> Mapping[str, ArtifactRef]:
        """The artifacts that come with the task's input; none for a join."""
        first = None if self.joins else next(unpack_inputs(self.spec.inputs), None)
        return self.reader.manifest(first).artifacts if first is not None else {}

    def values(self, facts: Iterable[str]) -> dict[str, str | None]:
        """Return the hash of each fact; None for one that this version does not know."""
        wanted = list(facts)
        values = {fact: self._simple(fact) for fact in wanted}
        of_branches = [f for f in wanted if f.startswith(("branch:", "merge:"))]
        if of_branches:
            values.update(self._of_branches(of_branches))
        return values

    def first_difference(self, trace: Trace) -> str | None:
        """Return the first fact that is not as ``trace`` says; None when all are."""
        now = self.values(trace.reads)
        return next((fact for fact, value in trace.reads.items() if now[fact] != value), None)

    def _simple(self, fact: str) -> str | None:
        kind, _, name = fact.partition(":")
        if kind == "parameter":
            return short(self.reader.document.parameters.get(name))
        if kind == "artifact":
            return short(self.inherited.get(name))
        if kind == "branches":
            return structure(self.spec.inputs)
        if kind in ("item", "index", "count"):
            return self._of_frame(kind, int(name))
        return None

    def _of_frame(self, kind: str, depth: int) -> str | None:
        if depth >= len(self.spec.foreach):
            return None
        frame = self.spec.foreach[depth]
        if kind == "item":
            return self.reader.item_hash(frame)
        return str(frame.index if kind == "index" else frame.count)

    def _of_branches(self, facts: Sequence[str]) -> dict[str, str | None]:
        found: dict[str, list[str]] = {fact: [] for fact in facts}
        names = [_branch_fact(fact) for fact in facts]
        for number, manifest in enumerate(self.branches()):
            for fact, (name, numbers, left_out) in zip(facts, names, strict=True):
                if name is None:
                    found[fact].append(_table(manifest, left_out))
                elif numbers is None or number in numbers:
                    found[fact].append(self._of_branch(manifest, name))
        return {fact: digest(values) for fact, values in found.items()}

    def _of_branch(self, manifest: Manifest, name: str) -> str:
        if name == PLACE:
            return place(self.reader, manifest.foreach)
        return short(manifest.artifacts.get(name))

    def branches(self) -> Iterator[Manifest]:
        """Yield the manifests of the branches of a join."""
        return _branches(self.reader, self.spec.inputs)


def _branch_fact(fact: str) -> tuple[str | None, frozenset[int] | None, Sequence[str]]:
    kind, _, rest = fact.partition(":")
    if kind == "merge":
        return None, None, rest.split(",")
    name, _, numbers = rest.rpartition("@")
    return name, frozenset(_numbers(numbers)) if numbers else None, ()


def rebase(found: Manifest, inherited: Mapping[str, ArtifactRef], joins: bool) -> Manifest:
    """Return ``found`` with the artifacts that a task with another input would have had.

    What the task set, it would set again; what came with its input it would pass on as it is now.

    Args:
        found: the result of a task with the same code and the same facts; it has a trace.
        inherited: the artifacts that come with the input now.
        joins: whether the task is a join, which inherits nothing.

    Since 0.1.
    """
    trace = found.trace
    if joins or trace is None:
        return found
    table = {n: ref for n, ref in inherited.items() if n not in trace.dropped}
    table.update({n: found.artifacts[n] for n in trace.own if n in found.artifacts})
    return found if table == found.artifacts else found._replace(artifacts=table)


class ReuseDraft:
    """The question whether an earlier result stands for a task, and what is answered and why.

    Attributes:
        task: the task that is about to run.
        reader: reads its run, for `Facts`.
        inputs_reused: whether everything that it can read was reused itself, as it was.
        reasons: what was found so far: ``{"by": …, "kind": …, …}``, JSON data. They end in the
            manifest's notes as ``reuse``, whether the task is reused or runs.
        exact: set it to False when the answer differs from the earlier task's manifest: then
            ``inputs_reused`` is False for what follows.
        refused: whether a plugin wants the task to run whatever others find.
        left: whether a plugin wants it not to run, unless an earlier result stands for it.
        adopts: whether an attempt of an earlier run that still runs may stand for it.

    Since 0.1.
    """

    __slots__ = ("adopts", "exact", "inputs_reused", "left", "reader", "reasons", "refused", "task")

    def __init__(self, task: TaskSpec, inputs_reused: bool, reader: RunReader) -> None:
        self.task = task
        self.reader = reader
        self.inputs_reused = inputs_reused
        self.reasons: list[dict[str, Any]] = []
        self.exact = True
        self.refused = False
        self.left = False
        self.adopts = False

    def because(self, by: str, kind: str, **details: Any) -> None:
        """Add a reason.

        Args:
            by: name of your plugin.
            kind: a word for it, as in the page about reuse.
            details: JSON data.
        """
        self.reasons.append({"by": by, "kind": kind, **details})

    def refuse(self) -> None:
        """Let the task run, whatever other plugins find."""
        self.refused = True

    def adopt(self) -> None:
        """Where no finished result stands for the task, but an attempt of an earlier run that still
        runs is at its place (hook ``flow_unfinished_attempts``): let the run wait for that one, and
        reuse its result. If it fails, the task runs as if there had been none."""
        self.adopts = True

    def leave(self) -> None:
        """Let the task not run in this run, nor what follows, unless it is reused."""
        self.left = True


# --- reasons ------------------------------------------------------------------------------------


def explain(facts: Facts, fact: str, found: Manifest, earlier: RunReader) -> dict[str, Any]:
    """Return, as JSON data, why a fact is not as it was: kind, name, and what is known of it.

    Args:
        facts: of the task that is about to run.
        fact: what differs.
        found: the earlier task, whose trace has the fact.
        earlier: reads the run of the earlier task.

    Since 0.1.
    """
    kind, _, name = fact.partition(":")
    if kind in ("branches", "branch", "merge"):
        old_branches, new_branches = structure(found.inputs), structure(facts.spec.inputs)
        if old_branches != new_branches:
            return {"kind": "branches", "old": old_branches, "new": new_branches}
    if kind == "parameter":
        old = earlier.document.parameters.get(name)
        new = facts.reader.document.parameters.get(name)
        return {"kind": kind, "name": name, "old": shown(old), "new": shown(new)}
    if kind == "artifact":
        first = next(unpack_inputs(facts.spec.inputs), None)
        parent = facts.reader.manifest(first) if first is not None else None
        producer = _producer(facts.reader, parent, name)
        return {"kind": kind, "name": name, "producer": producer}
    if kind in ("branch", "merge"):
        return _explain_branches(facts, fact, found, earlier)
    if kind == "item" and len(facts.spec.foreach) == len(found.foreach):
        frame = facts.spec.foreach[int(name)]
        source = f"{facts.spec.flow}/{facts.spec.run}/{frame.step}/{frame.task}"
        return {"kind": kind, "name": frame.artifact, "index": frame.index, "producer": source}
    if kind in ("count", "index") and len(facts.spec.foreach) == len(found.foreach):
        now, then = facts.spec.foreach[int(name)], found.foreach[int(name)]
        old, new = getattr(then, kind), getattr(now, kind)
        return {"kind": kind, "name": now.artifact, "old": old, "new": new}
    return {"kind": "inputs", "name": fact}


def shown(ref: ArtifactRef | None) -> str:
    """Return the value of a parameter for people, in one short line."""
    if ref is None:
        return "(none)"
    if ref.inline and ref.serializer == "json":
        text = repr(ref.value)
        return text if len(text) <= 60 else text[:59] + "…"
    kind = "configuration" if ref.type == "flow_core.config.ConfigValue" else ref.type
    return f"{kind} {ref.hash[:8]}"


def _producer(reader: RunReader, manifest: Manifest | None, name: str) -> str:
    """Return the pathspec of the task that set the artifact which ``manifest`` has; ``""`` if none."""
    last = ""
    value = short(manifest.artifacts.get(name)) if manifest is not None else ""
    while value and manifest is not None and short(manifest.artifacts.get(name)) == value:
        last = manifest.pathspec
        before = next(unpack_inputs(manifest.inputs), None)
        manifest = reader.manifest(before) if before is not None else None
    return last


def _explain_branches(
    facts: Facts, fact: str, found: Manifest, earlier: RunReader
) -> dict[str, Any]:
    now, then = facts.branches(), _branches(earlier, found.inputs)
    name, _, left_out = _branch_fact(fact)
    for new, old in zip(now, then, strict=False):
        names = [name] if name else sorted({*new.artifacts, *old.artifacts} - {*left_out})
        for one in names:
            if short(new.artifacts.get(one)) != short(old.artifacts.get(one)):
                producer = _producer(facts.reader, new, one)
                return {"kind": "artifact", "name": one, "producer": producer}
    return {"kind": "inputs", "name": fact}


def _branches(reader: RunReader, inputs: Sequence[InputRange]) -> Iterator[Manifest]:
    """Yield the manifests of a join's branches; of a foreach without items, that of the split:
    what all branches would have had."""
    refs = list(unpack_inputs(inputs))
    if not refs:
        step, task, _, attempt = inputs[0]
        refs = [InputRef(step, task, attempt)]
    for start in range(0, len(refs), 128):
        yield from reader.manifests(refs[start : start + 128])

"""What `flow_step` puts into a store for a step to find: the tasks that would have run before it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from flow_core.binding import ReservedNames, foreach_items
from flow_core.errors import FlowError, LintError, UsageError, did_you_mean
from flow_core.flowspec import is_stored
from flow_core.graph import FOREACH, PARALLEL, SPLIT, Graph, Node
from flow_core.manifests import ManifestReader
from flow_core.records import (
    ArtifactRef,
    AttemptState,
    ForeachFrame,
    GangMember,
    InputRange,
    InputRef,
    Manifest,
    RunDocument,
    TaskSpec,
    Transition,
    pack_inputs,
)
from flow_core.run import RunRequest, draft_run, store_parameters
from flow_core.session import Session

RUN = "1"
NOT_GIVEN: Any = object()


@runtime_checkable
class Leaves(Protocol):
    """A step that was run, whose artifacts another one finds."""

    @property
    def artifacts(self) -> dict[str, Any]:
        """All that the next step can read, by name."""


class Place:
    """Where in the foreaches the task is, as the test says it."""

    def __init__(
        self, item: Any, index: int, foreach: Sequence[tuple[int, int, Any]] | None
    ) -> None:
        self.item, self.index, self.foreach = item, index, foreach

    @property
    def given(self) -> bool:
        return self.item is not NOT_GIVEN or self.index != 0 or self.foreach is not None


class StepBench:
    """The store of one task: what the tasks before it would have left there.

    Args:
        session: a session of the flow, whose store is empty.
        step: name of the step.
        parameters: values of parameters by name.

    Attributes:
        document: the run that the task belongs to.
    """

    def __init__(self, session: Session, step: str, parameters: Mapping[str, Any]) -> None:
        problems = session.problems()
        if problems:
            raise LintError(session.definition.name, problems)
        request = RunRequest(parameters=parameters)
        draft = draft_run(session, request)
        self._session = session
        self._node = session.graph[step]
        self._reserved = ReservedNames.of(session.definition.cls, session.graph.nodes)
        self._tasks = 0
        self.document = RunDocument(
            flow=draft.flow,
            run=RUN,
            created_at=time.time(),
            parameters=store_parameters(session, request, draft),
            constants={},
            code=None,
            graph=session.graph.to_json(),
            plans={name: plan.to_json() for name, plan in session.plans.items()},
            system_tags=tuple(sorted(draft.system_tags)),
            user=draft.user,
            scope=draft.scope,
            decorators=draft.decorators,
            notes=draft.notes,
            configs=tuple(session.configs),
        )

    # --- the specification ------------------------------------------------------------------

    def specification(self, inputs: Any, place: Place) -> TaskSpec:
        """Store what the step finds; return what makes it find that."""
        node, graph = self._node, self._session.graph
        splits = _surrounding(graph, node.name)
        first = node.name == graph.start
        if first and inputs is not None:
            raise self._wrong(
                "it is the first step, which has no inputs",
                f"parameters={{…}} gives it the parameters of {graph.name}",
            )
        branches = self._branches(inputs) if node.joins else None
        table = {} if first or node.joins else self._artifacts(inputs)
        frames = self._frames(splits, place, table, inputs)
        if branches is not None:
            ranges = self._store_branches(branches, frames)
        else:
            ranges = () if first else self._store_input(splits, frames, table)
        gang = None
        if splits and splits[-1].kind == PARALLEL:
            gang = GangMember(frames[-1].count, frames[-1].index, self._tasks + 1)
        task = self._tasks + 1 + (gang.index if gang is not None else 0)
        return TaskSpec(graph.name, RUN, node.name, task, 0, ranges, frames, gang=gang)

    def _artifacts(self, given: Any, where: str = "inputs") -> Mapping[str, Any]:
        """Return artifacts by name, as values or as references of an earlier step."""
        if given is None:
            return {}
        if isinstance(given, Leaves):
            return given.artifacts
        if not isinstance(given, Mapping):
            raise self._wrong(
                f"{where} is of type {type(given).__name__}, not a dict",
                "inputs={'rows': […]}: the artifacts that it finds, by name",
            )
        for name in given:
            self._check_name(name)
        return given

    def _check_name(self, name: Any) -> None:
        cls = self._session.definition.cls
        if name in self.document.parameters:
            raise self._wrong(
                f"'{name}' is a parameter, not an artifact", f"parameters={{{name!r}: …}}"
            )
        names = self._reserved
        owned = name in names.constants or name in names.steps or name in names.of_class
        if not isinstance(name, str) or owned or not is_stored(cls, name):
            why = "the class defines it" if owned else "no artifact can be called so"
            raise self._wrong(f"{name!r} cannot be an artifact: {why}", "leave it out of inputs=")

    def _frames(
        self,
        splits: Sequence[Node],
        place: Place,
        table: Mapping[str, Any],
        inputs: Any,
    ) -> tuple[ForeachFrame, ...]:
        """Store the splits around the step; return what leads to their items."""
        stack = self._stack(splits, place, table)
        frames: list[ForeachFrame] = []
        for node, (index, count, item) in zip(splits, stack, strict=True):
            items = None
            if node.kind == FOREACH:
                known = self._known_items(table, node) if node is splits[-1] else None
                values = known if known is not None else [None] * count
                values[index] = item
                items, count = self._session.artifacts.save_items(str(node.foreach), values)
            way = Transition(node.targets, node.foreach, count, items)
            task = self._store(node.name, {}, tuple(frames), way).task
            frames.append(ForeachFrame(node.name, task, 0, node.foreach or "", index, count))
        return tuple(frames)

    def _stack(
        self, splits: Sequence[Node], place: Place, table: Mapping[str, Any]
    ) -> Sequence[tuple[int, int, Any]]:
        if not splits:
            if place.given:
                raise self._wrong("it is in no foreach", "leave input=, index= and foreach= out")
            return ()
        if place.foreach is not None:
            self._check_stack(splits, place.foreach)
            return place.foreach
        if len(splits) > 1:
            raise self._wrong(
                f"it is in {len(splits)} foreaches, over {_over(splits)}",
                "foreach=[(0, 1, outer_item), (0, 1, inner_item)]: index, number of items, item",
            )
        (node,) = splits
        if place.index < 0:
            raise self._wrong(f"index={place.index} is no number of an item", "index=0")
        if node.kind == PARALLEL:
            return [(place.index, place.index + 1, place.index)]
        known = self._known_items(table, node)
        if place.item is not NOT_GIVEN:
            return [(place.index, max(len(known or ()), place.index + 1), place.item)]
        if known is None:
            raise self._wrong(
                f"it runs once for each item of '{node.foreach}', and there is none",
                f"input=…, or inputs={{{node.foreach!r}: […]}} and index=",
            )
        if place.index >= len(known):
            raise self._wrong(
                f"'{node.foreach}' has {len(known)} items, and none with index {place.index}",
                "index=0",
            )
        return [(place.index, len(known), known[place.index])]

    def _check_stack(self, splits: Sequence[Node], given: Sequence[Any]) -> None:
        sound = len(given) == len(splits) and all(
            isinstance(entry, tuple) and len(entry) == 3 and 0 <= entry[0] < entry[1]
            for entry in given
        )
        if not sound:
            raise self._wrong(
                f"foreach={given!r:.80} does not fit its {len(splits)} foreaches, "
                f"over {_over(splits)}",
                f"foreach=[{', '.join(['(0, 1, item)'] * len(splits))}], outermost first: "
                "index, number of items, item",
            )

    def _known_items(self, table: Mapping[str, Any], node: Node) -> list[Any] | None:
        """Return the items of a foreach, if the artifact that it goes over is given."""
        if node.foreach is None or node.foreach not in table:
            return None
        return list(foreach_items(table[node.foreach], node.foreach, self._wrong))

    def _store_input(
        self,
        splits: Sequence[Node],
        frames: tuple[ForeachFrame, ...],
        table: Mapping[str, Any],
    ) -> tuple[InputRange, ...]:
        """Store the task before this one; return what leads to it."""
        parents = [p for p in self._node.parents if p != self._node.name]
        if splits and splits[-1].name in parents:  # it is the one that split
            ref = InputRef(frames[-1].step, frames[-1].task, 0)
            self._store(ref.step, table, frames[:-1], self._way_of(ref), ref.task)
        else:
            ref = self._store(parents[0], table, frames)
        return pack_inputs([ref])

    # --- joins ------------------------------------------------------------------------------

    def _branches(self, inputs: Any) -> list[tuple[str, Mapping[str, Any]]]:
        """Return the last step and the artifacts of each branch."""
        split = self._split()
        if split.kind != SPLIT:
            return self._equal_branches(split, inputs)
        ends = self._ends(split)
        parents = self._node.parents
        if isinstance(inputs, Mapping):
            for name in inputs:
                if name not in parents:
                    raise self._wrong(
                        f"no branch ends with the step '{name}'",
                        did_you_mean(str(name), parents)
                        or f"its branches end with: {', '.join(parents)}",
                    )
            chosen = [next((p for p in end if p in inputs), None) for end in ends]
            missing = [end[0] for end, name in zip(ends, chosen, strict=True) if name is None]
            if missing:
                raise self._wrong(
                    f"the inputs of the branch that ends with '{missing[0]}' are missing",
                    f"inputs={{{missing[0]!r}: {{…}}, …}}; {{}} for a branch without artifacts",
                )
            return [(n, self._artifacts(inputs[n], f"inputs[{n!r}]")) for n in chosen if n]
        given = self._list(inputs)
        if len(given) != len(ends):
            raise self._wrong(
                f"it joins {len(ends)} branches, and inputs= has {len(given)}",
                "one dict for each, in this order: " + ", ".join(end[0] for end in ends),
            )
        return [
            (end[0], self._artifacts(one, f"inputs[{number}]"))
            for number, (end, one) in enumerate(zip(ends, given, strict=True))
        ]

    def _equal_branches(self, split: Node, inputs: Any) -> list[tuple[str, Mapping[str, Any]]]:
        given = self._list(inputs)
        if not given and not split.allow_empty:
            raise self._wrong(
                "it joins at least one branch, and inputs= has none",
                "inputs=[{'score': 1}, {'score': 2}]: one dict for each branch",
            )
        (end, *_), *_ = self._ends(split)
        return [(end, self._artifacts(g, f"inputs[{n}]")) for n, g in enumerate(given)]

    def _list(self, inputs: Any) -> list[Any]:
        unfit = isinstance(inputs, (str, bytes, Mapping, Leaves))
        if unfit or not isinstance(inputs, Iterable):
            raise self._wrong(
                "it is a join, and inputs= is not a list with a dict for each branch",
                "inputs=[{'score': 1}, {'score': 2}]",
            )
        return list(inputs)

    def _split(self) -> Node:
        """Return the step that split what this one joins."""
        graph = self._session.graph
        kinds = (SPLIT, FOREACH, PARALLEL)
        return next(
            n for n in graph if n.kind in kinds and graph.join_of(n.name) == self._node.name
        )

    def _ends(self, split: Node) -> list[list[str]]:
        """Return, for each branch, the steps that it may end with: more than one after a switch."""
        return [self._ends_of(target) for target in split.targets]

    def _ends_of(self, first: str) -> list[str]:
        graph, found, seen = self._session.graph, [], set()
        waiting = [first]
        while waiting:
            name = waiting.pop(0)
            if name in seen:
                continue
            seen.add(name)
            node = graph[name]
            if self._node.name in node.targets:
                found.append(name)
            inner = node.kind in (SPLIT, FOREACH, PARALLEL)
            onward = [graph.join_of(name)] if inner else node.targets
            waiting.extend(t for t in onward if t != self._node.name)
        return found

    def _store_branches(
        self,
        branches: Sequence[tuple[str, Mapping[str, Any]]],
        frames: tuple[ForeachFrame, ...],
    ) -> tuple[InputRange, ...]:
        split = self._split()
        items = split.kind != SPLIT
        artifact = split.foreach if items else None
        way = Transition(split.targets, artifact, len(branches) if items else None)
        ref = self._store(split.name, {}, frames, way)
        if not branches:
            return (InputRange(ref.step, ref.task, ref.task - 1, 0),)
        refs = []
        for number, (step, table) in enumerate(branches):
            below = frames
            if items:
                name = split.foreach or ""
                below += (ForeachFrame(split.name, ref.task, 0, name, number, len(branches)),)
            refs.append(self._store(step, table, below))
        return pack_inputs(refs)

    # --- storing ----------------------------------------------------------------------------

    def _store(
        self,
        step: str,
        table: Mapping[str, Any],
        frames: tuple[ForeachFrame, ...],
        way: Transition | None = None,
        task: int | None = None,
    ) -> InputRef:
        """Store a task that has succeeded, with its artifacts."""
        if task is None:
            self._tasks += 1
            task = self._tasks
        manifest = Manifest(
            self.document.flow,
            RUN,
            step,
            task,
            0,
            AttemptState.SUCCEEDED,
            way or Transition(self._session.graph[step].targets),
            {name: self._saved(name, value) for name, value in table.items()},
            foreach=frames,
        )
        self._session.store.write([(manifest.key, manifest.encode())])
        return InputRef(step, task, 0)

    def _saved(self, name: str, value: Any) -> ArtifactRef:
        try:
            return self._session.artifacts.save(name, value)
        except FlowError as error:
            error.where = f"flow_step, inputs of step '{self._node.name}'"
            raise

    def _way_of(self, ref: InputRef) -> Transition | None:
        found = ManifestReader(self._session.store).one(self.document.flow, RUN, *ref)
        return found.transition if found is not None else None

    def _wrong(self, what: str, hint: str) -> UsageError:
        node = self._node
        return UsageError(
            f"flow_step cannot run '{node.name}': {what}",
            where=f"{node.file}:{node.line}, step '{node.name}'",
            hint=hint,
        )


def _surrounding(graph: Graph, step: str) -> list[Node]:
    """Return the steps whose foreach, or gang, a step is in, outermost first."""
    around: dict[str, tuple[Node, ...]] = {graph.start: ()}
    waiting = [graph.start]
    while waiting:
        node = graph[waiting.pop()]
        splits = node.kind in (SPLIT, FOREACH, PARALLEL)
        below = (*around[node.name], node) if splits else around[node.name]
        for target in node.targets:
            if target not in around:
                around[target] = below[:-1] if graph[target].joins else below
                waiting.append(target)
    return [node for node in around[step] if node.kind != SPLIT]


def _over(splits: Sequence[Node]) -> str:
    return ", ".join(f"'{n.foreach}'" if n.foreach else "num_parallel" for n in splits)

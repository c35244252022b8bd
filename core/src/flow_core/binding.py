"""What stands behind a flow object in a task: its artifacts, its place in the foreaches, its way on.

`ReadBinding` shows a finished attempt (an element of ``inputs``); `FlowBinding` is a running one.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from flow_core.artifacts import ArtifactStore
from flow_core.errors import (
    ArtifactError,
    FlowError,
    IntegrityError,
    MergeError,
    NotFound,
    PluginError,
    TransitionError,
    UsageError,
    did_you_mean,
    near_misses,
)
from flow_core.flowspec import BINDING, FlowSpec, class_names, constants, is_stored
from flow_core.graph import END, FOREACH, NEXT_FORMS, PARALLEL, SWITCH, Node
from flow_core.manifests import ManifestReader
from flow_core.parameters import Parameter
from flow_core.records import (
    ArtifactRef,
    ForeachFrame,
    InputRef,
    Manifest,
    RunDocument,
    TaskSpec,
    Trace,
    Transition,
    manifest_key,
    unpack_inputs,
)
from flow_core.reuse import PLACE, Merge, Reads, place, short, structure
from flow_core.text import type_name

_BATCH = 128
_FIRST_BATCH = 16
"""A loop that ends soon has read no more than this of a store where each costs a request."""
_KEPT_BYTES = 64 << 20
_AHEAD = 64
_AHEAD_BYTES = 32 << 20
_UNORDERED = frozenset({"dict", "set", "frozenset"})


def bind(cls: type[FlowSpec], binding: Any) -> FlowSpec:
    """Return a flow object that belongs to ``binding``."""
    flow = object.__new__(cls)
    flow.__dict__[BINDING] = binding
    return flow


def run_reader(flow: object) -> RunReader:
    """Return what reads the run of a flow object: of ``self`` in a step, or an element of ``inputs``.

    Args:
        flow: the object.

    Raises:
        UsageError: it is no flow object of a task.

    Since 0.1.
    """
    if not isinstance(flow, FlowSpec) or BINDING not in flow.__dict__:
        name = flow.__name__ if isinstance(flow, type) else f"a {type_name(flow)}"
        raise UsageError(
            f"{name} is in no run",
            why="only a step's self, and the elements of its inputs, are",
            hint="pass self, in a step of a flow that runs",
        )
    reader: RunReader = flow.__dict__[BINDING].reader
    return reader


class RunReader:
    """Reads what a run has left in the store: manifests, artifacts, parameters.

    Args:
        artifacts: the store with its serializers.
        document: the run's ``run.json``.
        waiting: manifests that will be written soon, by key.

    Since 0.1.
    """

    def __init__(
        self,
        artifacts: ArtifactStore,
        document: RunDocument,
        waiting: Mapping[str, Manifest] | None = None,
    ) -> None:
        self.artifacts = artifacts
        self._waiting = waiting if waiting is not None else {}
        self.document = document
        self._parameters: dict[str, Any] = {}
        self._manifests = ManifestReader(artifacts.store)
        self._recent: tuple[InputRef, Manifest] | None = None

    def manifest(self, ref: InputRef) -> Manifest:
        """Return the manifest of one attempt; errors as `manifests`.

        The last one is kept: a task asks for its parent's twice, for artifacts and foreach item.
        """
        if self._recent is None or self._recent[0] != ref:
            self._recent = (ref, next(self.manifests([ref])))
        return self._recent[1]

    def manifests(self, refs: Sequence[InputRef]) -> Iterator[Manifest]:
        """Yield the manifests of attempts, in order.

        Raises:
            IntegrityError: one is missing or damaged.
        """
        keys = [manifest_key(self.document.flow, self.document.run, *ref) for ref in refs]
        waiting = {key: self._waiting[key] for key in keys if key in self._waiting}
        stored = self._manifests.read([key for key in keys if key not in waiting])
        for key in keys:
            manifest = waiting[key] if key in waiting else next(stored)
            if manifest is None:
                raise IntegrityError(
                    "The record of a finished task is missing",
                    where=key,
                    why="the file was removed after the task had ended",
                    hint="run the flow again",
                )
            yield manifest

    def value(self, table: Mapping[str, ArtifactRef], name: str, owner: str) -> Any:
        """Load the artifact ``name`` of ``table``; ``owner`` is for errors."""
        return self.artifacts.load(table[name], f"artifact '{name}' of {owner}")

    def parameter(self, parameter: Parameter) -> Any:
        """Return the value that a parameter has in this run."""
        table = self.document.parameters
        if parameter.name not in table:
            return None  # a resumed run that is older than the parameter, read by the client
        if parameter.name not in self._parameters:
            owner = f"run {self.document.flow}/{self.document.run}"
            try:
                value = self.value(table, parameter.name, owner)
            except (ArtifactError, PluginError) as error:
                told = self.explained(error, parameter.name, table[parameter.name], ())
                raise told from error.__cause__
            self._parameters[parameter.name] = parameter.present(value)
        return self._parameters[parameter.name]

    def item(self, frame: ForeachFrame) -> Any:
        """Return the item of one foreach frame."""
        if not frame.artifact:
            return frame.index  # a member of a gang has no other item than its number
        items, what = self._items(frame)
        try:
            return self.artifacts.load_item(items, frame.index, frame.count, what)
        except ArtifactError as error:
            ref = InputRef(frame.step, frame.task, frame.attempt)
            whole = self.manifest(ref).artifacts.get(frame.artifact, items)
            raise self.explained(error, frame.artifact, whole, (ref,)) from error.__cause__

    def explained(
        self, error: FlowError, name: str, ref: ArtifactRef, holders: Iterable[InputRef]
    ) -> FlowError:
        """Return the error for a value that cannot be read: it may be of another environment.

        ``holders`` are attempts that have it, none for a parameter.
        """
        from flow_core.crossing import explain_unreadable

        return explain_unreadable(error, self.artifacts, self.document, name, ref, holders)

    def item_hash(self, frame: ForeachFrame) -> str:
        """Return the hash of the item of one foreach frame, without loading it."""
        if not frame.artifact:
            return str(frame.index)
        items, what = self._items(frame)
        return self.artifacts.item_hash(items, frame.index, frame.count, what)

    def _items(self, frame: ForeachFrame) -> tuple[ArtifactRef, str]:
        ref = InputRef(frame.step, frame.task, frame.attempt)
        transition = self.manifest(ref).transition
        owner = f"{self.document.flow}/{self.document.run}/{frame.step}/{frame.task}"
        if transition is None or transition.items is None:
            raise NotFound(f"Task {owner} has no foreach items")
        return transition.items, f"item {frame.index} of '{frame.artifact}' of {owner}"


class ReadBinding:
    """A finished attempt as a flow object: artifacts can be read, nothing can be changed."""

    def __init__(
        self,
        reader: RunReader,
        table: Mapping[str, ArtifactRef],
        foreach: tuple[ForeachFrame, ...],
        pathspec: str,
    ) -> None:
        self.reader = reader
        self.table = dict(table)
        self.foreach = foreach
        self.pathspec = pathspec
        self._items: dict[int, Any] = {}

    def artifact(self, name: str) -> Any:
        if name not in self.table:
            raise KeyError(did_you_mean(name, self.table))
        try:
            return self.reader.value(self.table, name, self.pathspec)
        except (ArtifactError, PluginError) as error:
            told = self.reader.explained(error, name, self.table[name], self._holders())
            raise told from error.__cause__

    def _holders(self) -> Iterable[InputRef]:
        """Yield the attempts that have the artifacts of the table."""
        return ()

    def parameter(self, parameter: Parameter) -> Any:
        return self.reader.parameter(parameter)

    def check_assignment(self, name: str) -> None:
        raise AttributeError(
            f"'{name}' cannot be set here: elements of 'inputs' are read-only; assign to self.{name}"
        )

    def forget(self, name: str) -> bool:
        raise AttributeError(f"'{name}' cannot be deleted: elements of 'inputs' are read-only")

    def next(self, targets: Sequence[Any], options: Mapping[str, Any]) -> None:
        raise TransitionError("next() was called on an element of 'inputs'", hint="self.next(...)")

    @property
    def place(self) -> str:
        # Without the item: a text for an error must not fail over what it tells of.
        step = self.pathspec.split("/")[2]
        indices = ",".join(str(frame.index) for frame in self.foreach)
        return f" step {step}[{indices}]" if indices else f" step {step}"

    @property
    def index(self) -> int | None:
        return self.foreach[-1].index if self.foreach else None

    @property
    def input(self) -> Any:
        return self._item(len(self.foreach) - 1) if self.foreach else None

    def foreach_stack(self) -> list[tuple[int, int, Any]]:
        return [(f.index, f.count, self._item(n)) for n, f in enumerate(self.foreach)]

    def merge(self, inputs: Any, include: Sequence[str], exclude: Sequence[str]) -> None:
        raise MergeError("merge_artifacts was called on an element of 'inputs'", ())

    def _item(self, depth: int) -> Any:
        if depth not in self._items:
            self._items[depth] = self.reader.item(self.foreach[depth])
        return self._items[depth]


class BranchBinding(ReadBinding):
    """A branch of a join, which notes what the join reads of it."""

    def __init__(
        self,
        reader: RunReader,
        manifest: Manifest,
        number: int,
        reads: Reads,
        read_ahead: Callable[[str, int], None],
    ) -> None:
        super().__init__(reader, manifest.artifacts, manifest.foreach, manifest.pathspec)
        self._ref = InputRef(manifest.step, manifest.task, manifest.attempt)
        self._number = number
        self._reads = reads
        self._read_ahead = read_ahead

    def artifact(self, name: str) -> Any:
        self._reads.note_branch(name, self._number, short(self.table.get(name)))
        if name in self.table and not self.table[name].inline:
            self._read_ahead(name, self._number)
        return super().artifact(name)

    def parameter(self, parameter: Parameter) -> Any:
        ref = self.reader.document.parameters.get(parameter.name)
        self._reads.note(f"parameter:{parameter.name}", short(ref))
        return super().parameter(parameter)

    @property
    def index(self) -> int | None:
        self._note_place()
        return super().index

    def foreach_stack(self) -> list[tuple[int, int, Any]]:
        self._note_place()
        return super().foreach_stack()

    def _item(self, depth: int) -> Any:
        self._note_place()
        return super()._item(depth)

    def _holders(self) -> Iterable[InputRef]:
        return (self._ref,)

    def _note_place(self) -> None:
        self._reads.note_branch(PLACE, self._number, place(self.reader, self.foreach))


class ReservedNames(NamedTuple):
    """What an artifact of a flow cannot be called, by the reason."""

    constants: frozenset[str]
    steps: frozenset[str]
    of_class: frozenset[str]

    @classmethod
    def of(cls, flow: type[FlowSpec], steps: Iterable[str]) -> ReservedNames:
        """Collect them from a flow class and the names of its steps."""
        of_class = (name for name in class_names(flow) if is_stored(flow, name))
        return cls(frozenset(constants(flow)), frozenset(steps), frozenset(of_class))


class FlowBinding(ReadBinding):
    """The attempt that runs now.

    Args:
        reader: the run.
        spec: which attempt.
        node: the step in the graph.
        reserved: names that cannot be assigned.
        table: artifacts that came with the inputs (empty in a join).
    """

    def __init__(
        self,
        reader: RunReader,
        spec: TaskSpec,
        node: Node,
        reserved: ReservedNames,
        table: Mapping[str, ArtifactRef],
    ) -> None:
        super().__init__(reader, table, spec.foreach, spec.pathspec)
        self.spec = spec
        self.node = node
        self.reads = Reads()
        self._inherited = table
        self.transition: Transition | None = None
        self._num_parallel: Any = None
        self._reserved = reserved
        self._loaded: dict[str, Any] = {}
        self._cases: Mapping[Any, Any] = {}

    def artifact(self, name: str) -> Any:
        if name not in self.table and self.node.joins:
            raise KeyError("In a join, artifacts of the branches are on 'inputs'.")
        self._note_artifact(name)
        value = super().artifact(name)
        self._loaded[name] = value
        return value

    def _holders(self) -> Iterable[InputRef]:
        return unpack_inputs(self.spec.inputs)

    def _note_artifact(self, name: str) -> None:
        if not self.node.joins:  # a join inherits nothing: it has what it merged, which is noted
            self.reads.note(f"artifact:{name}", short(self._inherited.get(name)))

    def parameter(self, parameter: Parameter) -> Any:
        ref = self.reader.document.parameters.get(parameter.name)
        self.reads.note(f"parameter:{parameter.name}", short(ref))
        return super().parameter(parameter)

    @property
    def index(self) -> int | None:
        if self.foreach:
            self.reads.note(f"index:{len(self.foreach) - 1}", str(self.foreach[-1].index))
        return super().index

    def foreach_stack(self) -> list[tuple[int, int, Any]]:
        for depth, frame in enumerate(self.foreach):
            self.reads.note(f"index:{depth}", str(frame.index))
            self.reads.note(f"count:{depth}", str(frame.count))
        return super().foreach_stack()

    def _item(self, depth: int) -> Any:
        self.reads.note(f"item:{depth}", self.reader.item_hash(self.foreach[depth]))
        return super()._item(depth)

    def check_assignment(self, name: str) -> None:
        if name in self._reserved.constants:
            raise AttributeError(
                f"'{name}' is a constant of the class and cannot be changed in a step; "
                "assign to another name"
            )
        if name in self._reserved.steps:
            raise AttributeError(f"'{name}' is a step; assign to another name")
        if name in self._reserved.of_class:
            raise AttributeError(
                f"'{name}' is defined by the class, so that later steps would read that instead; "
                "assign to another name"
            )

    def forget(self, name: str) -> bool:
        self._note_artifact(name)  # a step that deletes what it lacks fails
        return self.table.pop(name, None) is not None

    # --- the way on -----------------------------------------------------------------------------

    def next(self, targets: Sequence[Any], options: Mapping[str, Any]) -> None:
        if self.transition is not None:
            raise self._wrong("self.next was called twice", "call it once, at the end")
        names, given = _named(targets), dict(options)
        empty = given.pop("allow_empty", False)
        if self.node.kind == SWITCH and len(targets) == 1 and isinstance(targets[0], dict):
            self._cases = targets[0]
            if len(self._cases) < len(self.node.cases):
                raise self._wrong(
                    f"two cases of its switch are equal: it has {self._known()}",
                    "let each value stand there once",
                )
            names = tuple(dict.fromkeys(_named(self._cases.values())))
        as_written = ("num_parallel" in given) == (self.node.kind == PARALLEL)
        self._num_parallel = given.pop("num_parallel", None)
        expected = {"foreach": self.node.foreach, "condition": self.node.condition}
        said = {name: value for name, value in expected.items() if value is not None}
        wanted = (self.node.targets, said, self.node.allow_empty)
        if (names, given, empty) != wanted or not as_written:
            raise self._wrong(
                f"self.next went to {', '.join(names) or 'nothing'}, which is not what the "
                "source of the step says",
                NEXT_FORMS,
            )
        self.transition = Transition(names, self.node.foreach or self.node.condition)

    def default_transition(self) -> Transition:
        """The way that the step goes when its body was not run to its end, but is excused.

        Raises:
            TransitionError: only the body could have said over what its foreach goes, or which
                step its switch chooses.
        """
        unknown = {
            FOREACH: "its foreach had items",
            SWITCH: "its switch had a value",
            PARALLEL: "its gang had a size",
        }
        if self.node.kind in unknown:
            raise self._wrong(
                f"it failed before {unknown[self.node.kind]}, so nobody knows what follows",
                "let the step fail, or do the risky work in a step before it",
            )
        return Transition(self.node.targets)

    def next_as_written(self, flow: FlowSpec, given: Mapping[str, Any]) -> None:
        """Call ``self.next`` as the source of the step says, for a body that did not do so.

        Args:
            flow: the flow object.
            given: options of ``self.next`` that only the body could know.

        Raises:
            TransitionError: they are not all there, or not what the step takes.
        """
        node = self.node
        known = {FOREACH: "foreach", SWITCH: "condition", PARALLEL: "num_parallel"}.get(
            node.kind or ""
        )
        unknown = [name for name in given if name != known]
        if unknown:
            raise self._wrong(
                f"a decorator gives {unknown[0]}= for its self.next, which has no such option",
                f"give {known}=, or an empty dict" if known else "give an empty dict",
            )
        if node.kind == END:
            return
        targets: tuple[Any, ...] = node.targets
        options = dict(given)
        if node.kind == FOREACH:
            options = {"foreach": node.foreach, **options}
            if node.allow_empty:
                options["allow_empty"] = True
        elif node.kind == SWITCH:
            self._check_condition(options)
            # The texts are those of the step's source: literals, or self.config.key.
            targets = ({eval(case, {"self": flow}): target for case, target in node.cases},)
        elif node.kind == PARALLEL and "num_parallel" not in options:
            options["num_parallel"] = self._written_size()
        self.next(targets, options)

    def _check_condition(self, options: Mapping[str, Any]) -> None:
        if "condition" not in options:
            name = self.node.condition
            raise self._wrong(
                "its body did not say which way its switch goes",
                f"let the decorator do so: flow.{name} = …, then {{'condition': '{name}'}}",
            )

    def _written_size(self) -> Any:
        text = str(self.node.num_parallel)
        artifact = text.removeprefix("self.")
        if text.isdigit():
            return int(text)
        if artifact != text and artifact.isidentifier():
            return artifact
        raise self._wrong(
            f"its body did not say how many tasks num_parallel={text} are",
            "let the decorator do so: {'num_parallel': 4}",
        )

    def _wrong(self, what: str, hint: str, why: str | None = None) -> TransitionError:
        where = f"{self.node.file}:{self.node.next_line or self.node.line}"
        return TransitionError(f"Step '{self.node.name}': {what}", where=where, why=why, hint=hint)

    def finish(self, flow: FlowSpec) -> Transition:
        """Return the transition with its foreach items stored; call when the body has ended well.

        Raises:
            TransitionError: ``self.next`` was not called, or its foreach has nothing to go over.
        """
        if self.node.kind == END:
            return Transition()
        if self.transition is None:
            raise self._wrong("it ended without self.next(...)", NEXT_FORMS)
        if self.node.kind == SWITCH:
            return self._chosen(flow, self.transition)
        if self.node.kind == PARALLEL:
            return self.transition._replace(count=self._gang_size(flow))
        if self.node.kind != FOREACH:
            return self.transition
        return self._split(flow, self.transition)

    def _split(self, flow: FlowSpec, transition: Transition) -> Transition:
        name = str(self.node.foreach)
        values = self._foreach_items(flow, name)
        try:
            items, count = self.reader.artifacts.save_items(name, values)
        except ArtifactError as error:
            error.where = self._place()
            raise
        if count == 0 and not self.node.allow_empty:
            raise self._wrong(
                f"the foreach over 'self.{name}' has no items, so no task would run",
                f"make sure that self.{name} is not empty, or let the join run with no inputs: "
                f"foreach='{name}', allow_empty=True",
            )
        return transition._replace(count=count, items=items)

    def _gang_size(self, flow: FlowSpec) -> int:
        """Return what ``num_parallel`` says: a number, or the name of an artifact that is one."""
        given, written = self._num_parallel, f"num_parallel={self._num_parallel!r}"
        if isinstance(given, str):
            try:
                given = getattr(flow, given)
            except AttributeError:
                raise self._wrong(
                    f"{written}, but self.{given} was never set",
                    did_you_mean(str(given), self.names(flow)) or f"self.{given} = 4",
                ) from None
            written += f" is {given!r}"
        try:
            size = operator.index(given)
        except TypeError:
            size = None
        if size is None or isinstance(given, bool):
            raise self._wrong(
                f"{written}, which is a {type(given).__name__} and no number of tasks",
                "num_parallel=4, or the name of an artifact that is a whole number",
            )
        if size < 1:
            raise self._wrong(
                f"{written}, but a gang has at least one task",
                f"make it 1 or more, or go on without a gang: self.next(self.{self.node.targets[0]})",
                why="the join waits for the tasks of the gang, and there would be none",
            )
        return size

    def _foreach_items(self, flow: FlowSpec, name: str) -> Any:
        values = self._decisive(flow, "foreach", name, "[…]")
        return foreach_items(values, name, self._wrong)

    def _chosen(self, flow: FlowSpec, transition: Transition) -> Transition:
        name = str(self.node.condition)
        value = self._decisive(flow, "condition", name, "…")
        cases, known = list(self._cases), self._known()
        try:
            chosen = cases.index(value) if value in self._cases else None
        except TypeError:  # it has no hash
            raise self._wrong(
                f"self.{name} is a {type_name(value)}, which can be no case of its switch: "
                f"it has {known}",
                f"self.{name} = {cases[0]!r}, or another of them",
            ) from None
        if chosen is None:
            texts = [case for case in cases if isinstance(case, str)]
            near = near_misses(value, texts) if isinstance(value, str) else []
            raise self._wrong(
                f"its switch has no case for self.{name}, which is {_cut(repr(value))}: "
                f"it has {known}",
                did_you_mean(value, near) if near else "add a case for it, or set another value",
            )
        case, target = self.node.cases[chosen]
        return transition._replace(targets=(target,), case=case)

    def _known(self) -> str:
        return _cut(", ".join(map(repr, self._cases)))

    def _decisive(self, flow: FlowSpec, option: str, name: str, example: str) -> Any:
        """Return the artifact by whose value the step goes on."""
        try:
            return getattr(flow, name)
        except AttributeError:
            raise self._wrong(
                f"{option}='{name}', but self.{name} was never set",
                did_you_mean(name, self.names(flow)) or f"self.{name} = {example}",
            ) from None

    # --- artifacts ------------------------------------------------------------------------------

    def names(self, flow: FlowSpec) -> list[str]:
        """Return the names of all artifacts that ``flow`` has now."""
        own = (n for n in flow.__dict__ if is_stored(type(flow), n))
        return sorted({*self.table, *own})

    def save(
        self, flow: FlowSpec, prefer: Sequence[str] = ()
    ) -> tuple[dict[str, ArtifactRef], ArtifactError | None]:
        """Store what was set or read; what was not touched travels by reference.

        Args:
            flow: the flow of the task.
            prefer: tags of serializers that are asked first.

        Returns:
            the table, and the error of the first artifact that cannot be stored (the others are).
        """
        artifacts = self.reader.artifacts
        splits = self.node.kind in (FOREACH, PARALLEL)  # each of its tasks inherits the table
        batch = artifacts.batch(self.table, wide=not splits)
        table = artifacts.narrowed(self.table, batch) if splits else dict(self.table)
        failed: ArtifactError | None = None
        for name, value in flow.__dict__.items():
            if not is_stored(type(flow), name):
                continue
            previous = self.table.get(name)
            if previous and artifacts.unchanged(value, self._loaded.get(name, self)):
                continue
            try:
                table[name] = artifacts.save(name, value, previous, prefer, batch)
            except ArtifactError as error:
                table.pop(name, None)
                error.where = self._place()
                failed = failed or error
        batch.flush()
        return table, failed

    def changed(self, flow: FlowSpec, table: Mapping[str, ArtifactRef]) -> frozenset[str]:
        """Return the names of what the step assigned, merged, or changed in place.

        Args:
            flow: the flow object.
            table: as from `save`.
        """
        assigned = (
            name
            for name, value in flow.__dict__.items()
            if name in table and self._loaded.get(name, self) is not value
        )
        inherited = self._inherited
        other = (n for n, ref in table.items() if short(inherited.get(n)) != short(ref))
        return frozenset((*assigned, *other))

    def trace(self, flow: FlowSpec, table: Mapping[str, ArtifactRef]) -> Trace | None:
        """Return what the task has read, and what of ``table``, as from `save`, is its own."""
        if self.node.joins:
            self.reads.note("branches", structure(self.spec.inputs))
        # An empty range stands for a foreach without items.
        facts = self.reads.facts(sum(r.last - r.first + 1 for r in self.spec.inputs))
        if facts is None:
            return None
        own = tuple(n for n in flow.__dict__ if n in table and is_stored(type(flow), n))
        dropped = tuple(n for n in self._inherited if n not in table)
        return Trace(facts, own, dropped)

    def _place(self) -> str:
        return f"{self.node.file}:{self.node.line}, step '{self.node.name}'"

    def merge(self, inputs: Any, include: Sequence[str], exclude: Sequence[str]) -> None:
        if not isinstance(inputs, Inputs) or not self.node.joins:
            raise MergeError(
                "merge_artifacts works in a join only", (), hint="self.merge_artifacts(inputs)"
            )
        if include and exclude:
            raise MergeError("merge_artifacts takes include= or exclude=, not both", ())
        found: dict[str, dict[str, ArtifactRef]] = {}  # name → the different values, by hash
        for manifest in self._noted(inputs._agreeing(), include, exclude):
            for name, ref in manifest.artifacts.items():
                found.setdefault(name, {}).setdefault(ref.hash, ref)
        wanted = include or [n for n in found if n not in exclude]
        set_already = getattr(inputs._owner, "__dict__", {})
        self._check_merge(found, wanted, include, set_already)
        taken = (name for name in wanted if name not in set_already)
        self.table.update({name: next(iter(found[name].values())) for name in taken})

    def _noted(
        self, manifests: Iterable[Manifest], include: Sequence[str], exclude: Sequence[str]
    ) -> Iterator[Manifest]:
        """Pass on what is merged, and note it."""
        merge = Merge(include, exclude)
        for manifest in manifests:
            merge.add(manifest)
            yield manifest
        merge.note(self.reads)

    def _differs(self, name: str, refs: Mapping[str, ArtifactRef]) -> bool:
        """Whether the values behind these hashes differ.

        Sets and dicts whose order differs are stored as different bytes, but are equal.
        """
        if len(refs) == 1:
            return False
        kinds = {ref.type for ref in refs.values()}
        if len(kinds) > 1 or not kinds <= _UNORDERED:
            return True
        where = f"artifact '{name}' of the branches"
        values = []
        for ref in refs.values():
            try:
                values.append(self.reader.artifacts.load(ref, where))
            except (ArtifactError, PluginError) as error:
                told = self.reader.explained(error, name, ref, self._holders())
                raise told from error.__cause__
        first, *others = values
        return not all(_equal_unordered(first, other) for other in others)

    def _check_merge(
        self,
        found: Mapping[str, Mapping[str, ArtifactRef]],
        wanted: Sequence[str],
        include: Sequence[str],
        set_already: Mapping[str, Any],
    ) -> None:
        where = f"{self.node.file}:{self.node.line}, step '{self.node.name}'"
        missing = [name for name in include if name not in found]
        if missing:
            raise MergeError(
                f"merge_artifacts: no branch has {_quoted(missing)}",
                missing,
                where=where,
                hint=did_you_mean(missing[0], found),
            )
        differing = [n for n in wanted if n not in set_already and self._differs(n, found[n])]
        if differing:
            raise MergeError(
                f"merge_artifacts: the branches have different values of {_quoted(differing)}",
                differing,
                where=where,
                hint=f"set self.{differing[0]} = … before merging, "
                f"or leave it out: exclude=[{_quoted(differing)}]",
            )


class Inputs:
    """The branches that a join joins: ``len(inputs)``, ``inputs[0]``, iteration, ``inputs.step_a``.

    Elements are in the order of the split's targets, or of the foreach's items. Each is a flow
    object whose artifacts are read lazily. An element is kept only as long as the step holds it, so
    a loop over 10,000 branches does not hold them all.
    """

    def __init__(self, cls: type[FlowSpec], reader: RunReader, spec: TaskSpec) -> None:
        self._cls = cls
        self._reader = reader
        self._refs = tuple(unpack_inputs(spec.inputs))
        step, task, _, attempt = spec.inputs[0]
        self._split = (step, task, attempt)  # of use when there are no inputs
        self._alive: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
        self._owner: FlowSpec | None = None
        self._remote = not reader.artifacts.store.capabilities.mappable
        self._kept: dict[int, Manifest] = {}
        self._kept_bytes = 0
        self._last = -1
        self._read_until: dict[str, tuple[int, int]] = {}

    def __len__(self) -> int:
        return len(self._refs)

    def __getitem__(self, number: Any) -> Any:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        number = range(len(self))[number]  # IndexError, and negative numbers, as for a list
        found = self._alive.get(number)
        if found is None:
            found = self._view(number, self._manifest(number))
        return found

    def __iter__(self) -> Iterator[Any]:
        for number, manifest in enumerate(self._manifests()):
            found = self._alive.get(number)
            yield found if found is not None else self._view(number, manifest)

    def __getattr__(self, step: str) -> Any:
        if step.startswith("_"):
            raise AttributeError(step)
        numbers = [n for n, ref in enumerate(self._refs) if ref.step == step]
        if len(numbers) == 1:
            return self[numbers[0]]
        steps = sorted({ref.step for ref in self._refs})
        if numbers:
            raise AttributeError(
                f"inputs.{step} is not one branch but {len(numbers)}: loop over 'inputs'"
            )
        raise AttributeError(f"No branch ends with step '{step}' ({did_you_mean(step, steps)})")

    def __repr__(self) -> str:
        steps = ", ".join(sorted({ref.step for ref in self._refs}))
        return f"<inputs: {len(self)} from {steps}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("'inputs' cannot be stored: take from it what you need")

    def _agreeing(self) -> Iterator[Manifest]:
        """Yield the manifests whose artifacts are merged.

        Of a foreach without items it is that of the task that split: what all branches would
        have had, had there been any.
        """
        if self._refs:
            yield from self._manifests()
        else:
            yield self._reader.manifest(InputRef(*self._split))

    def _manifests(self) -> Iterator[Manifest]:
        """Yield the manifest of each input, reading many at a time."""
        start, size = 0, _FIRST_BATCH if self._remote else _BATCH
        while start < len(self._refs):
            end = min(start + size, len(self._refs))
            yield from self._some(range(start, end))
            start, size = end, min(2 * size, _BATCH)

    def _manifest(self, number: int) -> Manifest:
        """Return one manifest; who asks for one after the other gets many read at a time."""
        if not self._remote:
            return self._reader.manifest(self._refs[number])
        follows, self._last = number == self._last + 1 and number > 0, number
        end = min(number + _BATCH, len(self._refs)) if follows else number + 1
        if number not in self._kept:
            return next(self._some(range(number, end)))
        return self._kept[number]

    def _some(self, numbers: range) -> Iterator[Manifest]:
        """Yield manifests, and keep what a request would be needed for, as far as memory allows."""
        missing = [n for n in numbers if n not in self._kept]
        read = self._reader.manifests([self._refs[n] for n in missing])
        if not self._remote:
            yield from read
            return
        found = dict(zip(missing, read, strict=True))
        for number, manifest in found.items():
            self._keep(number, manifest)
        for number in numbers:
            yield self._kept[number] if number in self._kept else found[number]

    def _keep(self, number: int, manifest: Manifest) -> None:
        if self._kept_bytes > _KEPT_BYTES:
            return
        self._kept[number] = manifest
        self._kept_bytes += 2000 + sum(r.size for r in manifest.artifacts.values() if r.inline)

    def _read_ahead(self, name: str, number: int) -> None:
        """Read an artifact of many branches at the same time, once it was read of two in a row."""
        last, until = self._read_until.get(name, (-2, 0))
        follows = number == last + 1
        self._read_until[name] = (number, until if follows else 0)  # else a loop begins anew
        if not self._remote or not follows or number < until:
            return
        refs: list[ArtifactRef] = []
        until = number
        while until in self._kept and len(refs) < _AHEAD:
            ref = self._kept[until].artifacts.get(name)
            refs += [ref] if ref is not None else []
            until += 1
            if sum(ref.size for ref in refs) > _AHEAD_BYTES:
                break
        self._read_until[name] = (number, until)
        self._reader.artifacts.read_ahead(refs)

    def _view(self, number: int, manifest: Manifest) -> Any:
        binding = BranchBinding(self._reader, manifest, number, self._reads, self._read_ahead)
        view = bind(self._cls, binding)
        self._alive[number] = view
        return view

    @property
    def _reads(self) -> Reads:
        assert self._owner is not None, "a join is bound before its step runs"
        binding: FlowBinding = self._owner.__dict__[BINDING]
        return binding.reads


Sequence.register(Inputs)  # not its base: a step may be called 'count'


def foreach_items(values: Any, name: str, wrong: Any) -> Any:
    """Return what a foreach goes over, by kind of value.

    Lists, tuples, ranges, arrays and everything else that Python iterates over: its elements. A
    dict: its (key, value) pairs. A set: its elements in sorted order, or, where they cannot be
    compared, in the order of their text. Text, bytes and iterators are refused: the first is
    nearly always a mistake, the last can be read only once.
    """
    if isinstance(values, (str, bytes)):
        raise wrong(
            f"foreach over 'self.{name}', which is {type(values).__name__}, not a collection",
            f"self.{name} = [self.{name}] or a list of what you mean",
        )
    if isinstance(values, dict):
        return list(values.items())
    if isinstance(values, (set, frozenset)):
        try:
            return sorted(values)
        except TypeError:
            return sorted(values, key=lambda v: (type(v).__name__, repr(v)))
    if hasattr(values, "__next__"):
        raise wrong(
            f"foreach over 'self.{name}', which is a {type(values).__name__}: "
            "it can be read only once and cannot be stored",
            f"self.{name} = list(self.{name})",
        )
    try:
        iter(values)
    except TypeError:
        raise wrong(
            f"foreach over 'self.{name}', which is a {type(values).__name__} and has no items",
            f"self.{name} = [...]",
        ) from None
    return values


def _named(targets: Iterable[Any]) -> tuple[str, ...]:
    return tuple(getattr(t, "__name__", str(t)) for t in targets)


def _equal_unordered(one: Any, other: Any) -> bool:
    """Whether two sets, or two dicts, are the same; ``True`` is not ``1`` here, nor ``1.0``."""
    try:
        return bool(one == other) and _typed(one) == _typed(other)
    except Exception:  # a comparison of the values' own: arrays have no truth
        return False


def _typed(value: Any) -> Any:
    if isinstance(value, dict):
        return {(type(k), k): (type(v), repr(v)) for k, v in value.items()}
    return {(type(v), v) for v in value}


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}…"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"'{n}'" for n in sorted(names))

"""What a type of card is: a function from what is known of a task to what is shown of it.

    def confusion(task: CardTask) -> list[Component]:
        '''How often each class was taken for each other one.'''
        return [Markdown("# Confusion"), Table(task["matrix"], task["classes"])]

Group ``flow.cards``: ``confusion = "my_cards:confusion"``. Then ``@card(type="confusion")``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from flow_cards.components import Component
from flow_core.api import AttemptRecord, Failure, did_you_mean

GROUP = "flow.cards"
RUN_GROUP = "flow.run_cards"
LARGE = 200_000_000
"""Bytes above which an artifact is not read for a preview, unless a card asks for it by itself."""


class ArtifactMissing(LookupError):
    """A card asks for an artifact that its task has not."""


@dataclass(frozen=True)
class Value:
    """An artifact or a parameter of a task, which is read only when its `value` is asked for.

    Attributes:
        name: its name.
        type: qualified name of its type.
        size: bytes that it takes in the store.
        load: reads it.
        hash: BLAKE3 of its bytes, in hex digits; ``""`` = not known.

    Since 0.1.
    """

    name: str
    type: str
    size: int
    load: Callable[[], Any] = field(repr=False)
    hash: str = ""

    @property
    def value(self) -> Any:
        """The value itself.

        Raises:
            ArtifactError: it cannot be read here, for example for want of a class.
        """
        return self.load()


@dataclass(frozen=True)
class CardTask:
    """All that is known of one attempt of a task, as data: what cards are made from.

    Attributes:
        flow, run, step: of which step.
        task: number of the task within its run.
        attempt: number of the attempt, from 0.
        state: ``succeeded``, ``failed``, ``caught``, ``running``, ….
        started, finished: seconds since the epoch; 0 = not known, or not yet.
        cpu_seconds: of its process.
        peak_memory: bytes of memory that its process used at most; 0 = not known.
        host: the machine.
        failure: why it failed; None on success.
        user: who started the run.
        tags: tags with which the run started.
        foreach: of each surrounding foreach, outermost first: step, number of the item, and how
            many there are.
        parameters: parameters of the run by name.
        artifacts: artifacts by name, those of earlier steps too.
        own: names of the artifacts that the step itself has set.
        components: what the step added with ``current.card``. What a type does not place in its
            result is shown below.
        options: ``@card(options=…)``.
        data: what the step gave to ``current.card.refresh``; None = nothing.
        logs: the ends of ``stdout`` and ``stderr``, by name.
        graph: the flow's graph as JSON data.
        flow_doc, step_doc: docstrings.
        resources: amounts by name that the attempt asked for: ``memory`` MB, ``cpu``, ….

    Since 0.1.
    """

    flow: str
    run: str
    step: str
    task: int
    attempt: int = 0
    state: str = "succeeded"
    started: float = 0.0
    finished: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory: int = 0
    host: str = ""
    failure: Failure | None = None
    user: str = ""
    tags: tuple[str, ...] = ()
    foreach: tuple[tuple[str, int, int], ...] = ()
    parameters: Mapping[str, Value] = field(default_factory=dict)
    artifacts: Mapping[str, Value] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    components: tuple[Component, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    data: Any = None
    logs: Mapping[str, str] = field(default_factory=dict)
    graph: Mapping[str, Any] = field(default_factory=dict)
    flow_doc: str = ""
    step_doc: str = ""
    resources: Mapping[str, float] = field(default_factory=dict)

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task``."""
        return f"{self.flow}/{self.run}/{self.step}/{self.task}"

    @property
    def seconds(self) -> float | None:
        """How long it took; None while that is not known."""
        return self.finished - self.started if self.started and self.finished else None

    @property
    def heading(self) -> tuple[str, str, str]:
        """What the page is about: in large letters, with what stands before and behind."""
        return f"{self.flow} / {self.run} /", self.step, f"/ {self.task}"

    def __getitem__(self, name: str) -> Any:
        """Return the value of an artifact.

        Raises:
            ArtifactMissing: it has none of this name.
        """
        return _artifact(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.artifacts

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of an artifact, or ``default`` when there is none of this name."""
        return self.artifacts[name].value if name in self.artifacts else default


def _artifact(owner: CardTask | CardRun, name: str) -> Any:
    if name not in owner.artifacts:
        close = did_you_mean(name, owner.artifacts)
        raise ArtifactMissing(
            f"{owner.pathspec} has no artifact '{name}'" + (f": {close}" if close else "")
        )
    return owner.artifacts[name].value


class CardLink(NamedTuple):
    """A card that a task has left.

    Attributes:
        type, id: as in ``@card``.
        address: where it lies, as seen from the run's own card.

    Since 0.1.
    """

    type: str
    id: str
    address: str


def _no_cards(attempt: AttemptRecord) -> tuple[CardLink, ...]:
    return ()


@dataclass(frozen=True)
class CardRun:
    """All that is known of a run, as data: what cards of runs are made from.

    Attributes:
        flow, run: which run.
        state: ``succeeded``, ``failed``, ``interrupted``, ``running``.
        user, host: who started it, and where.
        tags: its tags.
        started, finished: seconds since the epoch; 0 = not known, or not yet.
        seen: when it was last heard of: its end, or the last sign of life of its launcher.
        origin: the run that it resumes, ``Flow/run``; ``""`` = none.
        failure: why it did not succeed; None where it did, or has not ended.
        parameters: its parameters by name.
        graph: the flow's graph as JSON data.
        flow_doc: the flow's docstring.
        attempts: all attempts of all tasks, by task and attempt: when they began and ended, how, what
            they cost.
        failures: of the tasks that failed for good, ten at most, why.
        artifacts: what the end step left, by name; nothing where it was not reached.
        own: names of those that the end step has set itself.
        find: returns the cards of an attempt.

    Since 0.1.
    """

    flow: str
    run: str
    state: str = "succeeded"
    user: str = ""
    host: str = ""
    tags: tuple[str, ...] = ()
    started: float = 0.0
    finished: float = 0.0
    seen: float = 0.0
    origin: str = ""
    failure: Failure | None = None
    parameters: Mapping[str, Value] = field(default_factory=dict)
    graph: Mapping[str, Any] = field(default_factory=dict)
    flow_doc: str = ""
    attempts: tuple[AttemptRecord, ...] = ()
    failures: Mapping[str, Failure] = field(default_factory=dict)
    artifacts: Mapping[str, Value] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    find: Callable[[AttemptRecord], tuple[CardLink, ...]] = field(default=_no_cards, repr=False)

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return f"{self.flow}/{self.run}"

    @property
    def seconds(self) -> float | None:
        """How long it took; None while that is not known."""
        return self.finished - self.started if self.started and self.finished else None

    @property
    def heading(self) -> tuple[str, str, str]:
        """What the page is about: in large letters, with what stands before and behind."""
        return f"{self.flow} /", self.run, ""

    @property
    def components(self) -> tuple[Component, ...]:
        """What its steps added: nothing, they add to their own cards."""
        return ()

    def __getitem__(self, name: str) -> Any:
        """Return the value of an artifact of the end step.

        Raises:
            ArtifactMissing: it has none of this name.
        """
        return _artifact(self, name)

    def __contains__(self, name: object) -> bool:
        return name in self.artifacts

    def get(self, name: str, default: Any = None) -> Any:
        """Return the value of an artifact, or ``default`` when there is none of this name."""
        return self.artifacts[name].value if name in self.artifacts else default


@dataclass(frozen=True)
class HtmlPage:
    """HTML as it is. It is shown in a frame of its own: its scripts run there, but see nothing
    outside of it, and fetch and send nothing.

    Attributes:
        html: the page, or a part of one.
        scripts: whether its scripts run; without them it is a picture, with whatever it was made of.

    Since 0.1.
    """

    html: str
    scripts: bool = True


class CardType(Protocol):
    """A type of card. Group ``flow.cards``; its docstring says what it shows.

    It is called in a process of its own, after the task, with the code of the flow loaded. It
    changes nothing, prints nothing, and gives the same for the same data. What it raises is shown in
    the card's stead. It makes something of every task, also of one that failed and has no artifacts;
    while a task runs and somebody watches, it is called now and then with its ``state``, ``running``.
    Suite: `flow_cards.testing.CardSuite`.
    """

    def __call__(self, task: CardTask, /) -> Component | Iterable[Component] | HtmlPage:
        """Return what the card shows."""


class RunCardType(Protocol):
    """A type of card of a whole run. Group ``flow.run_cards``; its docstring says what it shows.

    As a `CardType`, but of a `CardRun`. It makes something of every run, also of one that failed
    before its first task.
    """

    def __call__(self, run: CardRun, /) -> Component | Iterable[Component] | HtmlPage:
        """Return what the card shows."""

"""The types of cards that come with the plugin: ``default``, ``blank``, ``html`` and ``error``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flow_cards.artifacts import Room, values_shown
from flow_cards.components import Component, Error, Facts, Graph, Log, Markdown, Section
from flow_cards.contract import LARGE, CardTask, HtmlPage, Value
from flow_cards.wording import amounts_text, memory_text
from flow_core.api import NotFound, did_you_mean, duration


def default(task: CardTask) -> Iterator[Component]:
    """What the task did: facts, what the step added, parameters, artifacts, the end of its log.

    Options: ``max_artifact_size``, the bytes above which an artifact is not read (200 MB);
    ``only_repr``, to show values as Python writes them, without tables, pictures and charts.
    """
    room = Room()
    if task.failure is not None:
        yield failure_of(task)
    yield from task.components
    yield Section("Task", [*first_paragraph(task.step_doc), Facts([*_facts(task)])])
    if task.graph.get("steps"):
        yield Section("Flow", [Graph(task.graph, task.step)])
    if task.parameters:
        yield Section("Parameters", _shown(task, task.parameters, room, opened=0))
    yield from _artifacts(task, room)
    logs = [*_logs(task)]
    if logs:
        yield Section("Log", logs)


def blank(task: CardTask) -> Iterator[Component]:
    """Only what the step adds with ``current.card``.

    Options: ``title``, a heading.
    """
    title = task.options.get("title")
    if title:
        yield Markdown(f"# {title}")
    yield from task.components


def html(task: CardTask) -> HtmlPage | list[Component]:
    """An artifact that holds HTML, as the page.

    Options: ``attribute``, the name of the artifact (``html``); ``scripts``, whether the page's
    scripts run (True).
    """
    name = str(task.options.get("attribute", "html"))
    if name not in task and task.state in ("queued", "running"):
        return [*task.components, Markdown("*The page is shown when the task has ended.*")]
    if name not in task and task.failure is not None:  # it came to nothing before that
        return [failure_of(task), *task.components]
    if name not in task:
        raise NotFound(
            f"The task has no artifact '{name}', which would be the page",
            where=task.pathspec,
            hint=did_you_mean(name, task.artifacts)
            or f"self.{name} = '<h1>…', or @card(type='html', options={{'attribute': 'NAME'}})",
        )
    found = task[name]
    if isinstance(found, (bytes, bytearray)):
        found = bytes(found).decode("utf-8", "replace")
    if not isinstance(found, str):
        raise TypeError(f"The artifact '{name}' is {type(found).__name__}, and no HTML text")
    return HtmlPage(found, scripts=bool(task.options.get("scripts", True)))


def error(task: CardTask) -> Iterator[Component]:
    """Why a card could not be made: it stands in for that card.

    Options: ``title``, ``text`` (the traceback).
    """
    title = str(task.options.get("title", "This card could not be made"))
    yield Error(str(task.options.get("text", "")), title)
    if task.failure is not None:
        yield failure_of(task)


def failure_of(task: CardTask) -> Component:
    """Return what shows why a task failed."""
    failed = task.failure
    assert failed is not None
    return Error(failed.details, failed.summary)


def _limit(task: CardTask) -> int:
    return int(task.options.get("max_artifact_size", LARGE))


def _artifacts(task: CardTask, room: Room) -> Iterator[Component]:
    own = {*task.own}
    here = {n: task.artifacts[n] for n in sorted(own & {*task.artifacts})}
    earlier = {n: task.artifacts[n] for n in sorted({*task.artifacts} - own)}
    if here:
        yield Section("Artifacts", _shown(task, here, room))
    if earlier:
        shown = _shown(task, earlier, room, opened=0, again=True)
        yield Section("Artifacts of earlier steps", shown)


def _shown(task: CardTask, values: Mapping[str, Value], room: Room, **how: Any) -> list[Component]:
    only_text = bool(task.options.get("only_repr", False))
    return values_shown(values, limit=_limit(task), only_text=only_text, room=room, **how)


def _logs(task: CardTask) -> Iterator[Component]:
    for name, text in task.logs.items():
        left = text.rstrip()
        if task.failure is not None:  # the card shows it already, above all else
            left = left.removesuffix(task.failure.traceback.rstrip()).rstrip()
        if left:
            yield Log(left + "\n", name, from_end=True)


def _facts(task: CardTask) -> Iterator[tuple[str, Any]]:
    yield "Task", task.pathspec
    for step, index, count in task.foreach:
        yield f"Item of {step}", f"{index} of {count}"
    if task.seconds is not None:
        yield "Duration", duration(task.seconds)
    if task.cpu_seconds:
        yield "CPU time", duration(task.cpu_seconds)
    if task.peak_memory:
        yield "Peak memory", memory_text(task.peak_memory)
    if task.resources:
        yield "Asked for", amounts_text(task.resources)
    if task.host:
        yield "Machine", task.host
    if task.tags:
        yield "Tags", ", ".join(task.tags)


def first_paragraph(doc: str) -> list[Component]:
    """Return what shows the first paragraph of a docstring; nothing where there is none."""
    first = doc.strip().partition("\n\n")[0]
    return [Markdown(first)] if first else []

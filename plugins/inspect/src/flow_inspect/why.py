"""``why``: whether past tasks were reused or ran, and the reason that was noted when it was decided."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_core.api import (
    AttemptState,
    Command,
    CommandContext,
    ManifestReader,
    harmless,
    manifest_key,
)
from flow_inspect import reasons
from flow_inspect.place import Place, attempts, check_exists, read_place

if TYPE_CHECKING:
    from flow_core.api import AttemptRecord, Manifest, RunDocument, Session

_BATCH = 256
_EXAMPLES = 3


class Answer(NamedTuple):
    """Why one task was reused, or ran.

    Attributes:
        record: the task.
        reused: whether an earlier result stands for it.
        origin: pathspec of that, or None.
        reasons: as they were noted, JSON data.
        lines: them in words.
    """

    record: AttemptRecord
    reused: bool
    origin: str | None
    reasons: Sequence[Mapping[str, Any]]
    lines: tuple[str, ...]


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def why(pathspec: str, as_json: bool) -> None:
        place = read_place(context, pathspec)
        session = context.session()
        check_exists(session, place)
        document = session.run_document(place.flow, place.run)
        answers = _answers(session, place, document)
        if as_json:
            context.echo(json.dumps([_data(answer) for answer in answers], indent=2))
        elif place.task is not None:
            _print_one(context, next(answers))
        else:
            _print_groups(context, document, answers)

    return click.Command(
        "why",
        callback=why,
        params=[
            click.Argument(["pathspec"]),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON, a list of tasks."),
        ],
        help="Say for each task of a run, a step, or for one task, Flow/run[/step[/task]], whether "
        "it was reused or ran, and why: which code, parameter, input or package is another. "
        "In a flow file the flow may be left out.",
    )


# --- reading ------------------------------------------------------------------------------------


def _answers(session: Session, place: Place, document: RunDocument) -> Iterator[Answer]:
    reader = ManifestReader(session.store)
    records = attempts(session, place)
    while batch := list(itertools.islice(records, _BATCH)):
        found = reader.read([manifest_key(*record[:5]) for record in batch])
        for record, manifest in zip(batch, found, strict=True):
            yield _answer(record, manifest, document)


def _answer(record: AttemptRecord, manifest: Manifest | None, document: RunDocument) -> Answer:
    reused = record.state is AttemptState.REUSED
    if manifest is None:
        line = "it has not ended yet: the reason is noted when it ends"
        return Answer(record, reused, None, (), (line,))
    noted = manifest.notes.get("reuse") or ()
    found = [reason for reason in noted if isinstance(reason, dict)]
    lines = reasons.in_words(found, reused)
    if not lines:
        lines = (_without_reason(reused, document),)
    return Answer(record, reused, record.origin, found, lines)


def _without_reason(reused: bool, document: RunDocument) -> str:
    if reused:
        return "the version of flow-core that reused it noted no reason"
    if document.origin:
        return "the version of flow-core that ran it noted no reason"
    return "nothing was to be reused: the run resumes no other, and the step is not cached"


# --- printing -----------------------------------------------------------------------------------


def _data(answer: Answer) -> dict[str, Any]:
    return {
        "pathspec": answer.record.pathspec,
        "step": answer.record.step,
        "task": answer.record.task,
        "indices": list(answer.record.indices),
        "reused": answer.reused,
        "origin": answer.origin,
        "why": list(answer.lines),
        "reasons": list(answer.reasons),
    }


def _print_one(context: CommandContext, answer: Answer) -> None:
    word = f"was reused from {answer.origin}" if answer.reused else "ran"
    context.echo(f"{click.style(answer.record.pathspec, bold=True)} {word}:")
    for line in answer.lines:
        context.echo(f"  {harmless(line)}")


def _print_groups(
    context: CommandContext, document: RunDocument, answers: Iterator[Answer]
) -> None:
    groups: dict[tuple[str, bool, tuple[str, ...]], list[int]] = {}
    for answer in answers:
        lines = tuple(reasons.without_place(line) for line in answer.lines)
        tasks = groups.setdefault((answer.record.step, answer.reused, lines), [0])
        tasks[0] += 1
        if len(tasks) <= _EXAMPLES:
            tasks.append(answer.record.task)
    pathspec = click.style(f"{document.flow}/{document.run}", bold=True)
    context.echo(f"{pathspec} resumes {document.origin}" if document.origin else pathspec)
    step = ""
    for (name, reused, lines), (count, *examples) in groups.items():
        if name != step:
            step = name
            context.echo(f"\n{click.style(name, bold=True)}")
        counted = f"{count:,} task" + "s" * (count != 1)
        which = ", ".join(map(str, examples)) + (", …" if count > len(examples) else "")
        word = click.style("reused", fg="green") if reused else click.style("ran", fg="yellow")
        context.echo(f"  {counted} {word} ({which})")
        for line in lines:
            context.echo(f"    {harmless(line)}")


command = Command("Say why the tasks of a past run were reused, or ran.", False, build)

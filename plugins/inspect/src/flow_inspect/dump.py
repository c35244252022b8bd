"""``dump``: the artifacts of past tasks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import ArtifactError, Command, CommandContext, UsageError
from flow_inspect.place import attempts, check_exists, read_manifest, read_place

if TYPE_CHECKING:
    from flow_core.api import ArtifactRef, AttemptRecord, RunDocument, Session

_OPTIONS: list[tuple[list[str], dict[str, Any]]] = [
    (["--private"], {"is_flag": True, "help": "Also artifacts whose names begin with '_'."}),
    (
        ["--max-value-size", "limit"],
        {
            "type": click.IntRange(min=0),
            "default": 1000,
            "show_default": True,
            "metavar": "BYTES",
            "help": "Show values that take up to this size in the store; 0 = none, only names.",
        },
    ),
    (["--include"], {"default": "", "metavar": "A,B", "help": "Only these artifacts."}),
    (
        ["--file"],
        {
            "type": click.Path(dir_okay=False),
            "help": "Write a pickled dict instead: pathspec → {name: value}.",
        },
    ),
    (
        ["--json", "as_json"],
        {"is_flag": True, "help": "Print JSON, with values as Python shows them."},
    ),
]


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def dump(
        pathspec: str, private: bool, limit: int, include: str, file: str | None, as_json: bool
    ) -> None:
        place = read_place(context, pathspec)
        session = context.session()
        check_exists(session, place)
        document = session.run_document(place.flow, place.run)
        names = {name.strip() for name in include.split(",") if name.strip()}
        tasks = [
            _Task(session, document, record, names, private) for record in attempts(session, place)
        ]
        if file is not None:
            _write_file(context, file, tasks)
        elif as_json:
            context.echo(json.dumps([task.data(limit) for task in tasks], indent=2))
        else:
            _print(context, tasks, limit)

    return click.Command(
        "dump",
        callback=dump,
        params=[
            click.Argument(["pathspec"]),
            *(click.Option(names, **options) for names, options in _OPTIONS),
        ],
        help="Show the artifacts of a run, a step or a task: Flow/run[/step[/task]]. "
        "In a flow file the flow may be left out.",
    )


class _Task:
    """The artifacts of one task, of those that were asked for."""

    def __init__(
        self,
        session: Session,
        document: RunDocument,
        record: AttemptRecord,
        names: set[str],
        private: bool,
    ) -> None:
        self._session = session
        self._document = document
        self._wanted = names
        self._private = private
        self.record = record
        self.pathspec = record.pathspec

    def table(self) -> dict[str, ArtifactRef]:
        """Return name → reference, sorted; read from the store, not kept."""
        manifest = read_manifest(self._session, self.record)
        document = self._document
        # A step reads the parameter 'learning-rate' as self.learning_rate.
        given = {name.replace("-", "_"): ref for name, ref in document.parameters.items()}
        found = {**document.constants, **given}
        found |= manifest.artifacts if manifest is not None else {}
        return {name: ref for name, ref in sorted(found.items()) if self._asked_for(name)}

    def _asked_for(self, name: str) -> bool:
        if self._wanted:
            return name in self._wanted
        return self._private or not name.startswith("_")

    def load(self, name: str, ref: ArtifactRef) -> Any:
        """Return the value of an artifact."""
        return self._session.artifacts.load(ref, f"artifact '{name}' of {self.pathspec}")

    def shown(self, name: str, ref: ArtifactRef, limit: int) -> str | None:
        """Return the value as text, or None when it is larger than ``limit``: it is not read."""
        if ref.size > limit:
            return None
        try:
            return repr(self.load(name, ref))
        except ArtifactError as error:
            return f"({error.what}: {error.why})"

    def data(self, limit: int) -> dict[str, Any]:
        """Return JSON data."""
        return {
            "pathspec": self.pathspec,
            "attempt": self.record.attempt,
            "state": self.record.state.value,
            "artifacts": {
                name: {
                    "type": ref.type,
                    "size": ref.size,
                    "hash": ref.hash,
                    "repr": self.shown(name, ref, limit),
                }
                for name, ref in self.table().items()
            },
        }


def _print(context: CommandContext, tasks: list[_Task], limit: int) -> None:
    for number, task in enumerate(tasks):
        if number:
            context.echo()
        for line in _lines(task, limit):
            context.echo(line)


def _lines(task: _Task, limit: int) -> Iterator[str]:
    record, table = task.record, task.table()
    attempt = f", attempt {record.attempt}" if record.attempt else ""
    yield f"{click.style(task.pathspec, bold=True)}  {record.state.value}{attempt}"
    rows = [(name, ref.type, f"{ref.size:,} B") for name, ref in table.items()]
    widths = [max((len(row[n]) for row in rows), default=0) for n in range(3)]
    for (name, kind, size), ref in zip(rows, table.values(), strict=True):
        head = f"  {name:{widths[0]}}  {kind:{widths[1]}}  {size:>{widths[2]}}"
        value = task.shown(name, ref, limit) if limit else ""
        if value is None:
            # The size is that of the packed value, which is what a person sees beside it.
            why = f"(larger than {limit:,} B: --max-value-size {ref.size} shows it)"
            value = click.style(why, dim=True)
        first, *rest = value.splitlines() or [""]
        yield f"{head}  {first}".rstrip()
        yield from (f"{'':{len(head)}}  {line}" for line in rest)
    if not rows:
        yield "  (no artifacts)"


def _write_file(context: CommandContext, path: str, tasks: list[_Task]) -> None:
    import pickle

    values = {
        task.pathspec: {name: task.load(name, ref) for name, ref in task.table().items()}
        for task in tasks
    }
    try:
        content = pickle.dumps(values)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            "The artifacts cannot be written as one pickle",
            why=f"{type(error).__name__}: {error}",
            hint="choose among them with --include",
        ) from None
    try:
        with open(path, "wb") as file:
            file.write(content)
    except OSError as error:
        raise UsageError(
            f"The file '{path}' cannot be written", where="--file", why=error.strerror
        ) from None
    tasks_text = f"{len(tasks)} task{'s' if len(tasks) != 1 else ''}"
    context.echo(f"The artifacts of {tasks_text} are in {path}.")


command = Command("Show the artifacts of a past run, step or task.", False, build)

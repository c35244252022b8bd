"""``flow store migrate``: copy runs with all that they reach to another store."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_core.api import (
    OWN_INDEX,
    CommandContext,
    Session,
    Settings,
    StoreIndex,
    UsageError,
    harmless,
    time_of,
)
from flow_stores.copying import CARRIERS, Copier, Ended, copy_all
from flow_stores.others import GROUP, along
from flow_stores.selection import Selection, Wanted, parse_run, select

if TYPE_CHECKING:
    from flow_core.api import RunRecord

_PATIENCE = 1.0
_SHOWN = 10


class Moved(NamedTuple):
    """What a migration has done, or would do."""

    ended: tuple[Ended, ...]
    going: tuple[str, ...]
    problems: tuple[str, ...]
    objects: int
    bytes: int

    def of(self, outcome: str) -> list[str]:
        """Return the runs with this outcome."""
        return [one.pathspec for one in self.ended if one.outcome == outcome]

    @property
    def is_nothing(self) -> bool:
        """Whether no run was meant."""
        return not (self.ended or self.going or self.problems)

    @property
    def failed(self) -> bool:
        """Whether a run is not in the target that should be."""
        return bool(self.problems or self.of("failed") or self.of("conflict"))


def migrate_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def migrate(source: str, target: str, dry_run: bool, as_json: bool, **chosen: Any) -> int:
        progress = _Progress(shown=not as_json)
        try:
            moved = _migrate(context, source, target, dry_run, chosen, progress)
        finally:
            progress.end()
        if as_json:
            context.echo(json.dumps(_data(moved, dry_run), indent=2))
        else:
            for line, is_note in _text(moved, dry_run):
                context.echo(line, error=is_note)
            if moved.is_nothing:
                context.echo(_note("nothing was found: ", _nothing(source, chosen)), error=True)
        return int(moved.failed)

    return click.Command(
        "migrate",
        callback=migrate,
        params=_options(),
        help=_HELP,
        short_help="Copy runs to another store, with all that they reach.",
    )


_HELP = """Copy runs from the store SOURCE to the store TARGET, with all that they reach: artifacts,
code, logs, cards, files, tags, cached results. Nothing is removed from SOURCE, and nothing in TARGET
is overwritten: of a run that is there, only what is missing is copied; another run of the same name
is told. All is verified by its hash. Ended at any point, the same command goes on where it was.

A store is a URL: local:///data/.flow, s3://bucket/prefix; or a name."""


def _options() -> list[click.Parameter]:
    return [
        click.Argument(["source"]),
        click.Argument(["target"]),
        click.Option(["--flow", "flows"], multiple=True, metavar="NAME", help="All runs of this flow. Repeatable."),
        click.Option(["--run", "runs"], multiple=True, metavar="FLOW/RUN", help="This run. Repeatable."),
        click.Option(["--tag", "tags"], multiple=True, metavar="TAG", help="Only runs with this tag. Repeatable: with all of them."),
        click.Option(["--since"], metavar="TIME", help="Only runs started then or later: 7d (ago), 2026-11-28."),
        click.Option(["--verify"], is_flag=True, help="Read again and compare what is in TARGET already."),
        click.Option(["--dry-run"], is_flag=True, help="Only show what would be copied."),
        click.Option(["--workers"], type=click.IntRange(min=1), default=4, show_default=True, metavar="N", help="Runs that are copied at the same time."),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ]  # fmt: skip


def _migrate(
    context: CommandContext,
    source: str,
    target: str,
    dry: bool,
    chosen: dict[str, Any],
    progress: _Progress,
) -> Moved:
    wanted = _wanted(chosen)
    here, there = _open(context, source, "SOURCE"), _open(context, target, "TARGET")
    if here.store.url == there.store.url:
        raise UsageError(
            "SOURCE and TARGET are the same store",
            where=here.store.url,
            hint="flow store migrate local s3://bucket/prefix",
        )
    with here, there:
        selection = select(here.store, here.metadata, wanted)
        places = [run[:2] for run in selection.runs]
        carriers = [here.index.load(CARRIERS, name) for name in here.index.names(CARRIERS)]
        copier = Copier(
            here.store,
            there.store,
            places,
            carrier=next(iter(carriers), None),
            dry=dry,
            verify=chosen["verify"],
        )
        copier.reserve(selection.runs)
        ended = copy_all(
            copier,
            selection.runs,
            chosen["workers"],
            lambda done: progress(done, len(places), copier.bytes),
        )
        arrived = {one.pathspec for one in ended if one.outcome in ("copied", "there")}
        runs = [run for run in selection.runs if run.pathspec in arrived]
        _copy_others(here, copier, runs, everything=wanted.everything)
        if not dry:
            _tell_index(there, runs)
        return _moved(selection, ended, copier)


def _copy_others(
    here: Session, copier: Copier, runs: Sequence[RunRecord], *, everything: bool
) -> None:
    finders = [here.index.load(GROUP, name) for name in here.index.names(GROUP)]
    places = {(run.flow, run.run) for run in runs}
    keys = along(here.store, finders, places, everything=everything)
    found = copier.target.exists([key for key, _ in keys])
    copier.others(key for key, there in zip(keys, found, strict=True) if not there)


def _moved(selection: Selection, ended: Sequence[Ended], copier: Copier) -> Moved:
    going = tuple(run.pathspec for run in selection.going)
    return Moved(tuple(ended), going, selection.problems, copier.objects, copier.bytes)


def _wanted(chosen: dict[str, Any]) -> Wanted:
    since = chosen["since"]
    try:
        moment = time_of(since) if since is not None else None
    except UsageError as error:
        raise UsageError(error.what, where="--since", why=error.why, hint=error.hint) from None
    runs = tuple(map(parse_run, chosen["runs"]))
    return Wanted(tuple(chosen["flows"]), runs, tuple(chosen["tags"]), moment)


def _open(context: CommandContext, text: str, what: str) -> Session:
    """Return a session of the store ``text`` and of the index that belongs to it."""
    session = context.session()
    settings = Settings(session.settings.script_environment())
    settings.override("datastore", text, what)
    settings.override("metadata", OWN_INDEX, what)
    return Session(settings=settings, index=session.index)


def _tell_index(there: Session, runs: Sequence[RunRecord]) -> None:
    """Let an index that lies beside the target know the runs that came; others follow by themselves."""
    if isinstance(there.metadata, StoreIndex):
        return
    index = StoreIndex(there.metadata, there.store)
    for run in runs:
        index.run(run.flow, run.run)
        index.attempts(run.flow, run.run, limit=1)


# --- what is printed ------------------------------------------------------------------------------


class _Progress:
    """Tells on a terminal how far it is, in one line that goes away."""

    def __init__(self, *, shown: bool) -> None:
        self._began = time.monotonic()
        self._shown = shown and sys.stderr.isatty()
        self._told = False

    def __call__(self, done: int, count: int, size: int) -> None:
        if self._shown and time.monotonic() - self._began > _PATIENCE:
            self._told = True
            text = f"{done:,} of {count:,} runs, {_size(size)}"
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    def end(self) -> None:
        """Take the line away."""
        if self._told:
            click.echo("\r\x1b[K", nl=False, err=True)


def _text(moved: Moved, dry: bool) -> Iterator[tuple[str, bool]]:
    """Yield the lines, and whether each is a note beside the output."""
    new, there = len(moved.of("copied")), len(moved.of("there"))
    verb = "would be copied" if dry else "copied"
    yield (
        f"{_count(new, 'run')} {verb}: {_count(moved.objects, 'object')}, {_size(moved.bytes)}.",
        False,
    )
    if there:
        yield f"{_count(there, 'run')} {'is' if there == 1 else 'are'} there already.", False
    for run in moved.going[:_SHOWN]:
        yield _note("goes on, and was left out: ", run), True
    if len(moved.going) > _SHOWN:
        yield f"and {len(moved.going) - _SHOWN:,} more that go on", True
    for one in moved.ended:
        if one.outcome in ("conflict", "failed"):
            yield _note("not copied: ", f"{one.pathspec}: {'; '.join(one.notes)}", "red"), True
        elif one.notes:
            yield _note("copied, but: ", f"{one.pathspec}: {'; '.join(one.notes[:_SHOWN])}"), True
    for problem in moved.problems:
        yield _note("not copied: ", problem, "red"), True


def _nothing(source: str, chosen: dict[str, Any]) -> str:
    if any(chosen[name] for name in ("flows", "runs", "tags", "since")):
        return f"no run in {source} is as described"
    return f"there are no runs in {source}; is it the right store?"


def _note(what: str, text: str, colour: str = "yellow") -> str:
    return click.style(what, fg=colour) + harmless(text)


def _data(moved: Moved, dry: bool) -> dict[str, Any]:
    notes = {one.pathspec: list(one.notes) for one in moved.ended if one.notes}
    return {
        "dry_run": dry,
        "copied": moved.of("copied"),
        "there": moved.of("there"),
        "conflicts": moved.of("conflict"),
        "failed": moved.of("failed"),
        "going_on": list(moved.going),
        "problems": list(moved.problems),
        "notes": notes,
        "objects": moved.objects,
        "bytes": moved.bytes,
    }


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _size(count: float) -> str:
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return (
        f"{count:.0f} {units[0]}" if count >= 10 or units[0] == "B" else f"{count:.1f} {units[0]}"
    )

"""The command ``card``: view, get, list, create, run, server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import click

from flow_cards.finding import Found, Target, find_cards, find_target, select
from flow_core.api import (
    AttemptState,
    Command,
    CommandContext,
    NotFound,
    UsageError,
    command_line,
    did_you_mean,
    harmless,
)

if TYPE_CHECKING:
    from flow_core.api import Session

_SHOWN = 8
_OPEN = (AttemptState.QUEUED, AttemptState.RUNNING)


def build(context: CommandContext) -> click.Command:
    """Make the click group."""
    return click.Group(
        "card",
        commands=[
            _list(context),
            _view(context),
            _get(context),
            _run(context),
            _create(context),
            _server(context),
        ],
        help="Look at the cards that tasks have left. Which: a step of the latest run (train), or "
        "run/step, run/step/task; without the file of the flow with its name in front: "
        "MyFlow/3/train.",
        no_args_is_help=True,
    )


def _list(context: CommandContext) -> click.Command:
    def show(pathspec: str | None, as_json: bool, **chosen: Any) -> None:
        session = context.session()
        _, found = _find(context, session, pathspec, chosen)
        if as_json:
            context.echo(json.dumps([_data(session, one) for one in found], indent=2))
            return
        rows = [_row(one) for one in found]
        heads = ("TASK", "TYPE", "ID", "HASH", "BYTES", "MADE", "REUSED FROM")
        for line in _lines(heads, rows):
            context.echo(line)

    return click.Command(
        "list",
        callback=show,
        params=[_pathspec(), *_filters(), _json("Print JSON.")],
        help="List the cards of a run, a step or a task; without PATHSPEC of the latest run.",
    )


def _view(context: CommandContext) -> click.Command:
    def view(pathspec: str | None, as_json: bool, **chosen: Any) -> None:
        from flow_cards.client import open_in_browser

        session = context.session()
        found = _one(context, session, pathspec, chosen)
        path = open_in_browser(session.store, found)
        if as_json:
            context.echo(json.dumps({**_data(session, found), "path": path}, indent=2))
        else:
            context.echo(path)

    return click.Command(
        "view",
        callback=view,
        params=[_pathspec(), *_filters(), _json("Print JSON: what is known of it, and the path.")],
        help="Open a card in the browser, and print the path of its file.",
    )


def _get(context: CommandContext) -> click.Command:
    def get(pathspec: str | None, path: str | None, as_json: bool, **chosen: Any) -> None:
        from flow_cards.storage import read_html

        session = context.session()
        found = _one(context, session, pathspec, chosen)
        html = read_html(session.store, found.card)
        if html is None:
            raise NotFound(f"The card {found.card.key} is gone", where=session.store.url)
        if as_json:
            context.echo(json.dumps({**_data(session, found), "html": html}, indent=2))
        elif path is None:
            sys.stdout.write(html)
        else:
            _save(path, html)
            context.echo(f"{path}: {len(html.encode()):,} bytes", error=True)

    return click.Command(
        "get",
        callback=get,
        params=[
            _pathspec(),
            click.Argument(["path"], required=False),
            *_filters(),
            _json("Print JSON, with the page in it."),
        ],
        help="Print the page of a card, or write it to the file PATH.",
    )


def _run(context: CommandContext) -> click.Command:
    def make(pathspec: str | None, kind: str, as_json: bool, show: bool) -> None:
        from flow_cards.client import open_in_browser
        from flow_cards.making import make_run_card

        session = context.session()
        target = find_target(session, pathspec, _flow_of(context))
        if target.step is not None:
            raise UsageError(
                f"'{pathspec}' is no run",
                why="this makes a card of a whole run",
                hint=f"flow card run {target.flow}/{target.run}",
            )
        card = make_run_card(session, target.flow, target.run, kind)
        found = Found(card.pathspec, card)
        if as_json:
            context.echo(json.dumps(_data(session, found), indent=2))
        elif not show:
            context.echo(session.store.local_path(card.key) or f"flow card view {card.pathspec}")
        if show:
            path = open_in_browser(session.store, found)
            if not as_json:
                context.echo(path)

    return click.Command(
        "run",
        callback=make,
        params=[
            click.Argument(["pathspec"], required=False, metavar="[RUN]"),
            click.Option(
                ["--type", "kind"],
                default="run",
                show_default=True,
                metavar="TYPE",
                help="The type of card: run, or one of a plugin.",
            ),
            click.Option(["--open", "show"], is_flag=True, help="Open it in the browser."),
            _json("Print JSON."),
        ],
        help="Make a page on a whole run, without RUN on the latest one, and print the path of its "
        "file. Also of runs without cards, and of those that still run.",
    )


def _flow_of(context: CommandContext) -> str | None:
    return context.flow.__name__ if context.flow is not None else None


def _create(context: CommandContext) -> click.Command:
    def make(pathspec: str | None, **options: Any) -> None:
        from flow_cards.create_command import create_cards

        create_cards(context, pathspec, **options)

    return click.Command(
        "create",
        callback=make,
        params=[
            _pathspec(),
            click.Option(
                ["--type"],
                metavar="TYPE",
                default="default",
                show_default=True,
                help="The type of card.",
            ),
            click.Option(
                ["--id"],
                metavar="ID",
                help="Its id. A card that has it already is made anew; without, one of the same "
                "type that has no id.",
            ),
            click.Option(
                ["--options"],
                metavar="JSON",
                default="{}",
                help="Options of the type, as in @card(options=…).",
            ),
            click.Option(
                ["--timeout"],
                type=float,
                default=45.0,
                show_default=True,
                help="Seconds that making a card may take.",
            ),
            _json("Print JSON."),
        ],
        help="Make a card of a task that has ended, also of one without @card; of a step or a run: of "
        "each of its tasks, without those that a resumed run took over. Prints the paths of the "
        "files.",
    )


def _server(context: CommandContext) -> click.Command:
    def run_server(run: str | None, **options: Any) -> None:
        from flow_cards.server_command import serve

        serve(context, run, **options)

    return click.Command(
        "server",
        callback=run_server,
        params=[
            click.Argument(["run"], required=False),
            click.Option(
                ["--host"],
                default="127.0.0.1",
                show_default=True,
                help="Address to listen at. Another one than of this machine alone needs a token.",
            ),
            click.Option(
                ["--port"],
                type=click.IntRange(0, 65535),
                default=8324,
                show_default=True,
                help="Port; 0 = any free one.",
            ),
            click.Option(
                ["--token/--no-token"],
                default=None,
                help="Show cards only to who has the token: that of the variable "
                "FLOW_CARDS_TOKEN, or a new one. It is a part of the address that is printed.",
            ),
            click.Option(["--open", "open_browser"], is_flag=True, help="Open it in the browser."),
            click.Option(
                ["--max-cards"],
                type=click.IntRange(1),
                default=30,
                show_default=True,
                help="Cards of a step that are listed at a time.",
            ),
            click.Option(
                ["--poll"],
                type=click.FloatRange(0.05, 60.0),
                default=0.25,
                show_default=True,
                help="Seconds between two looks into the store.",
            ),
        ],
        help="Show cards in the browser, and keep them up to date while tasks run. Without RUN "
        "those of the latest run, and of the next one when it starts.",
    )


def _save(path: str, html: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(html)
    except OSError as error:
        raise UsageError(
            f"The card cannot be written to '{path}'", why=f"{error.strerror}", hint="card.html"
        ) from None


# --- options ------------------------------------------------------------------------------------


def _pathspec() -> click.Argument:
    return click.Argument(["pathspec"], required=False)


def _filters() -> list[click.Parameter]:
    return [
        click.Option(["--id"], metavar="ID", help="The card with this id."),
        click.Option(["--type"], metavar="TYPE", help="The cards of this type."),
        click.Option(["--hash"], metavar="HASH", help="The card whose hash begins so."),
        click.Option(
            ["--follow-resumed/--no-follow-resumed"],
            default=True,
            show_default=True,
            help="Of tasks that were reused, show the cards of those that ran.",
        ),
    ]


def _json(text: str) -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help=text)


# --- finding ------------------------------------------------------------------------------------


def _find(
    context: CommandContext, session: Session, pathspec: str | None, chosen: dict[str, Any]
) -> tuple[Target, list[Found]]:
    target = find_target(session, pathspec, _flow_of(context))
    found = find_cards(
        session.metadata, session.store, target, follow_resumed=chosen.pop("follow_resumed")
    )
    if not found:
        raise _no_cards(session, target)
    left = select(found, **chosen)
    if not left:
        _none_left(target, found, chosen)
    return target, left


def _no_cards(session: Session, target: Target) -> NotFound:
    flow, run, step, task, attempt = target
    open_ones = session.metadata.attempts(
        flow, run, step=step, task=task, states=_OPEN, limit=1, brief=True
    )
    if open_ones and attempt in (None, open_ones[0].attempt):
        one = open_ones[0]
        which = str(target) if task is not None else f"{one.step}/{one.task}"
        return NotFound(
            f"{target} has no cards yet",
            where=session.store.url,
            why=f"{which} still runs, and cards are stored when their task has ended",
            hint=command_line(
                session, "card", "server" + ("" if session.flow else f" {flow}/{run}")
            ),
        )
    return NotFound(
        f"{target} has no cards",
        where=session.store.url,
        why="this attempt has left none"
        if attempt is not None
        else "its steps have no @card, and it was not run --with card",
        hint=command_line(session, "card", f"create {target}"),
    )


def _none_left(target: Target, found: Sequence[Found], chosen: dict[str, Any]) -> NoReturn:
    name, value = next((n, v) for n, v in chosen.items() if v is not None)
    known = sorted({str(getattr(one.card, name)) for one in found} - {""})
    hint = did_you_mean(value, known)
    if not hint:
        hint = f"those there are: {', '.join(known[:_SHOWN])}" if known else f"leave out --{name}"
    raise NotFound(
        f"{target} has no card with the {name} '{value}'", where=f"--{name} {value}", hint=hint
    )


def _one(
    context: CommandContext, session: Session, pathspec: str | None, chosen: dict[str, Any]
) -> Found:
    target, found = _find(context, session, pathspec, chosen)
    whole = [one for one in found if not one.card.step]
    if len(found) == 1 or (len(whole) == 1 and not any(chosen.values())):
        return (whole or found)[0]
    if len({(one.pathspec, one.card.hash) for one in found}) == 1:
        return found[0]  # whichever it is, it is the same page
    tasks = list(dict.fromkeys(one.pathspec for one in found))
    if len(tasks) > 1:
        raise UsageError(
            f"{target} has cards of {len(tasks):,} tasks",
            why="one card at a time is shown",
            hint="choose one of " + _some(tasks),
        )
    raise UsageError(
        f"{tasks[0]} has {len(found)} cards",
        why="one card at a time is shown",
        hint="choose one: " + _some([*dict.fromkeys(_choice(one, found) for one in found)]),
    )


def _some(texts: Sequence[str]) -> str:
    more = f", … {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more


def _choice(one: Found, found: Sequence[Found]) -> str:
    """Return the option that means this card, and no other."""
    card = one.card
    if card.id and sum(other.card.id == card.id for other in found) == 1:
        return f"--id {card.id}"
    if sum(other.card.type == card.type for other in found) == 1:
        return f"--type {card.type}"
    return f"--hash {card.hash[:8]}"


# --- what is printed ----------------------------------------------------------------------------


def _data(session: Session, found: Found) -> dict[str, Any]:
    card = found.card
    return {
        "pathspec": found.pathspec,
        "attempt": card.attempt if card.step else None,
        "type": card.type,
        "id": card.id or None,
        "hash": card.hash,
        "bytes": card.size,
        "made_at": card.modified,
        "key": card.key,
        "path": session.store.local_path(card.key),
        "origin": found.origin,
    }


def _row(found: Found) -> tuple[str, ...]:
    card = found.card
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(card.modified))
    hashed = card.hash[:8]
    return (
        found.pathspec, card.type, card.id, hashed, f"{card.size:,}", made, found.origin or ""
    )  # fmt: skip


def _lines(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Sequence[str]:
    shown = [n for n in range(len(heads)) if any(row[n] for row in rows)]
    table = [heads, *rows]
    widths = {n: max(len(harmless(row[n])) for row in table) for n in shown}
    lines = []
    for row in table:
        cells = [
            harmless(row[n]).rjust(widths[n])
            if heads[n] == "BYTES"
            else harmless(row[n]).ljust(widths[n])
            for n in shown
        ]
        line = "  ".join(cells).rstrip()
        lines.append(click.style(line, dim=True) if row is heads else line)
    return lines


command = Command("Look at the cards that tasks have left.", False, build)

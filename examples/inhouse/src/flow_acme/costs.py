"""The command ``costs``: what runs have cost, by a price table and what tasks have used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from flow_core.api import (
    Command,
    CommandContext,
    Manifest,
    NotFound,
    RunRecord,
    Session,
    UsageError,
    did_you_mean,
    duration,
    list_manifests,
    unknown_run,
)

if TYPE_CHECKING:
    from flow_acme.prices import Prices

_HEADS = ("RUN", "STEP", "ATTEMPTS", "CPU", "MEMORY", "COST", "WASTED")


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def costs(place: str | None, limit: int, prices: str | None, as_json: bool) -> None:
        from flow_acme.prices import read_prices  # not for 'flow --help', which imports this file

        session = context.session()
        table = read_prices(prices or _setting(session))
        runs = _runs(context, session, place, limit)
        rows = [row for run in runs for row in _rows(session, run, table)]
        if as_json:
            context.echo(json.dumps(_data(rows, table), indent=2))
            return
        for line in _lines([_HEADS, *(row.cells() for row in [*rows, *_totals(rows)])]):
            context.echo(line)
        context.echo(f"\n{_amount(sum(r.cost for r in rows))} {table.currency}".rstrip())

    return click.Command(
        "costs",
        callback=costs,
        params=[
            click.Argument(["place"], required=False, metavar="[FLOW[/RUN]]"),
            click.Option(
                ["--limit"],
                type=click.IntRange(min=1),
                default=1,
                show_default=True,
                help="How many runs of a flow, newest first.",
            ),
            click.Option(["--prices"], metavar="FILE", help="Another price table, in TOML."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help="Say what the last run of each flow has cost, or of FLOW, or the run FLOW/RUN: the "
        "price table times CPU seconds, and memory times time, of all attempts. What failed was "
        "wasted.",
    )


def _setting(session: Session) -> str:
    """Declare the setting where it is read, so that no other command pays for it; return it."""
    session.settings.declare("acme_prices", "prices.toml", "Price table of 'flow costs', in TOML.")
    path: str = session.settings["acme_prices"]
    return path


# --- which runs ---------------------------------------------------------------------------------


def _runs(
    context: CommandContext, session: Session, place: str | None, limit: int
) -> list[RunRecord]:
    known = session.metadata.flows()
    if place is None:
        names = [context.flow.__name__] if context.flow is not None else known
        return [run for name in names for run in session.metadata.runs(name, limit=limit)]
    flow, slash, run = place.partition("/")
    if slash and (not run or "/" in run):
        raise UsageError(
            f"'{place}' names no flow and no run",
            why="it is the name of a flow, or Flow/run",
            hint=f"flow costs {flow}   flow costs {flow}/1",
        )
    if flow not in known:
        raise NotFound(
            f"There is no run of a flow '{flow}'",
            where=session.metadata.url,
            why="the index knows none",
            hint=did_you_mean(flow, known) or "run one first: flow run my_flow.py",
        )
    if not slash:
        return session.metadata.runs(flow, limit=limit)
    return [_one(session, flow, run)]


def _one(session: Session, flow: str, run: str) -> RunRecord:
    record = session.metadata.run(flow, run)
    if record is None:
        raise unknown_run(session, flow, run)
    return record


# --- what they cost -----------------------------------------------------------------------------


class _Row(NamedTuple):
    """What one step of a run has cost; a whole run where ``step`` is empty.

    ``memory`` is the peak in bytes, ``wasted`` the cost of attempts that failed.
    """

    run: str
    step: str
    attempts: int
    cpu: float
    memory: int
    cost: float
    wasted: float

    def cells(self) -> tuple[str, ...]:
        return (
            self.run,
            self.step or "all steps",
            str(self.attempts),
            duration(self.cpu),
            f"{self.memory / 1e6:,.0f} MB",
            _amount(self.cost),
            _amount(self.wasted) if self.wasted else "",
        )


def _rows(session: Session, run: RunRecord, prices: Prices) -> list[_Row]:
    """Return a row for each step, in the order in which they first started."""
    steps: dict[str, list[Manifest]] = {
        s.step: [] for s in session.metadata.steps(run.flow, run.run)
    }
    for key, stored in list_manifests(session.store, run.flow, run.run):
        manifest = Manifest.decode(stored, key)
        steps.setdefault(manifest.step, []).append(manifest)
    return [_row(run, step, found, prices) for step, found in steps.items() if found]


def _row(run: RunRecord, step: str, attempts: Sequence[Manifest], prices: Prices) -> _Row:
    return _Row(
        run.pathspec,
        step,
        len(attempts),
        sum(a.cpu_seconds for a in attempts),
        max(a.peak_memory for a in attempts),
        sum(prices.of(a) for a in attempts),
        sum((prices.of(a) for a in attempts if not a.ok), 0.0),
    )


def _totals(rows: Sequence[_Row]) -> Iterator[_Row]:
    """Yield a row for each run that has several steps."""
    for run in dict.fromkeys(row.run for row in rows):
        mine = [row for row in rows if row.run == run]
        if len(mine) > 1:
            yield _Row(
                run,
                "",
                sum(row.attempts for row in mine),
                sum(row.cpu for row in mine),
                max(row.memory for row in mine),
                sum(row.cost for row in mine),
                sum(row.wasted for row in mine),
            )


# --- how it looks -------------------------------------------------------------------------------


def _data(rows: Sequence[_Row], prices: Prices) -> dict[str, Any]:
    return {
        "currency": prices.currency,
        "cost": sum(row.cost for row in rows),
        "wasted": sum(row.wasted for row in rows),
        "steps": [row._asdict() for row in rows],
    }


def _lines(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield aligned lines; columns with a number end at the right. Colours go in a pipe."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for number, row in enumerate(rows):
        cells = [
            text.ljust(width) if place < 2 else text.rjust(width)
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        line = "  ".join(cells).rstrip()
        yield click.style(line, dim=True) if number == 0 else line


def _amount(value: float) -> str:
    """Return an amount of money; a small one with more digits."""
    return f"{value:,.{2 if value >= 0.995 else 4 if value >= 0.00995 else 6}f}"


command = Command("Say what runs have cost.", needs_flow=False, build=build)

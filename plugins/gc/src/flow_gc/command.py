"""``gc``: remove old runs, and free what nothing reaches any more."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import Command, CommandContext, UsageError, did_you_mean, seconds_of
from flow_gc.plan import make_plan
from flow_gc.policy import Policy
from flow_gc.sweep import carry_out

if TYPE_CHECKING:
    from flow_core.api import Session
    from flow_gc.plan import Plan
    from flow_gc.sweep import Done


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def gc(dry_run: bool, yes: bool, as_json: bool, **chosen: Any) -> None:
        session = context.session()
        policy = _policy(context, session, chosen)
        finders = [session.index.load(_GROUP, name) for name in session.index.names(_GROUP)]
        if chosen["packages"]:
            from flow_gc.packages import unused_packages

            finders.append(unused_packages(policy.margin))
        plan = make_plan(session.store, session.metadata, policy, finders)
        if not as_json:
            for line in _text(plan):
                context.echo(line)
        if not (dry_run or plan.empty) and not _agreed(yes, as_json):
            context.echo("Nothing was removed.")
            return
        if dry_run or plan.empty:
            done = None
        else:
            done = carry_out(session.store, session.metadata, plan)
        if as_json:
            context.echo(json.dumps(_data(plan, done), indent=2))
        elif done is not None:
            context.echo(f"Removed {_count(len(done.runs), 'run')}: {size(done.size)} are free.")

    return click.Command("gc", callback=gc, params=_options(), help=_HELP)


_GROUP = "flow.leftovers"
_HELP = """Remove old runs, and free what no run reaches any more. What goes is shown first.

Without --keep-last and --older-than no run is removed. A run goes when nothing keeps it: with both,
it must be old and not among the last. Whosever the runs are; never one that is going on, nor the
runs that such a one resumes."""


def _options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--keep-last"],
            type=click.IntRange(min=0),
            metavar="N",
            help="Keep the last N runs of each flow; older ones go.",
        ),
        click.Option(
            ["--older-than"], metavar="TIME", help="Only what is older goes: 30d, 12h, 2w."
        ),
        click.Option(
            ["--keep-tagged"],
            is_flag=False,
            flag_value="",
            multiple=True,
            metavar="[TAG]",
            help="Keep runs with this tag, or with any tag that somebody gave. Repeatable.",
        ),
        click.Option(
            ["--flow", "flows"], multiple=True, metavar="NAME", help="Of this flow. Repeatable."
        ),
        click.Option(
            ["--packages"],
            is_flag=True,
            help="Also remove packages of environments (setting mirror_packages) that no run's lock "
            "names.",
        ),
        click.Option(["--dry-run"], is_flag=True, help="Only show what would go."),
        click.Option(["--yes", "-y"], is_flag=True, help="Do not ask."),
        click.Option(
            ["--margin"],
            default="15m",
            show_default=True,
            metavar="TIME",
            help="Leave alone what was written or used so lately. Less than 15m is safe only when "
            "no run starts meanwhile.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON; needs --yes."),
    ]


def _policy(context: CommandContext, session: Session, chosen: dict[str, Any]) -> Policy:
    tags = tuple(chosen["keep_tagged"])
    flows = tuple(chosen["flows"])
    if not flows and context.flow is not None:
        flows = (context.flow.__name__,)
    policy = Policy(
        keep_last=chosen["keep_last"],
        keep_tags=tuple(tag for tag in tags if tag),
        keep_tagged="" in tags,
        older_than=_seconds("--older-than", chosen["older_than"]),
        flows=flows,
        margin=_seconds("--margin", chosen["margin"]) or 0.0,
    )
    if tags and not policy.removes_runs:
        raise UsageError(
            "It is not said which of the other runs go",
            where="--keep-tagged",
            why="by itself it would remove every run without that tag",
            hint="add --older-than 30d, or --keep-last 0 for all others",
        )
    known = session.metadata.flows()
    for flow in chosen["flows"]:
        if flow not in known:
            raise UsageError(
                f"There is no run of a flow '{flow}'",
                where=session.metadata.url,
                hint=did_you_mean(flow, known),
            )
    return policy


def _seconds(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    if text == "0":
        return 0.0
    try:
        return seconds_of(text)
    except UsageError as error:
        raise UsageError(error.what, where=option, why=error.why, hint=error.hint) from None


def _agreed(yes: bool, as_json: bool) -> bool:
    if yes:
        return True
    if as_json or not sys.stdin.isatty():
        raise UsageError(
            "Nobody can be asked whether all that may go",
            where="gc",
            why="--json is for programs" if as_json else "the input is no terminal",
            hint="--yes removes it, --dry-run only shows it",
        )
    return click.confirm("Remove it?")


# --- what is printed ----------------------------------------------------------------------------


def _text(plan: Plan) -> Iterator[str]:
    shares = plan.shares()
    rows: list[tuple[str, str, str, str]] = [("FLOW", "RUNS TO GO", "STAY", "FREED")]
    for flow, share in shares.items():
        name = flow or "(no run)"
        going, kept = (f"{share.runs:,}", f"{share.kept:,}") if flow else ("", "")
        rows.append((name, going, kept, size(share.size)))
    if len(rows) > 1:
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, (name, *cells) in enumerate(rows):
            padded = [c.rjust(w) for c, w in zip(cells, widths[1:], strict=True)]
            line = "  ".join((name.ljust(widths[0]), *padded))
            yield click.style(line, dim=True) if number == 0 else line
    runs = _count(len(plan.going), "run")
    blobs = _count(len(plan.freed), "blob")
    yield "Nothing goes." if plan.empty else f"{runs} and {blobs} go: {size(plan.size)}."
    yield from _notes(plan)


def _notes(plan: Plan) -> Iterator[str]:
    again = sum(run.cut_short for run in plan.going.values())
    if again:
        yield f"An earlier gc was cut short: {_count(again, 'run')} of it go now."
    if plan.later:
        bound = sum(entry.size for entry in plan.later.values())
        why = "runs are going on" if plan.choice.since is not None else "they are young"
        yield f"{size(bound)} more are reached by nothing, and stay for now: {why}."
    if plan.choice.alive:
        yield f"Going on: {', '.join(run.pathspec for run in plan.choice.alive[:5])}."
    if plan.unknown:
        count = _count(len(plan.unknown), "run")
        yield f"The index does not know {count} of the store, which stay: flow reindex."


def _data(plan: Plan, done: Done | None) -> dict[str, Any]:
    runs = done.runs if done is not None else tuple(plan.going)
    return {
        "removed": done is not None,
        "runs": ["/".join(place) for place in runs],
        "blobs": done.blobs if done is not None else len(plan.freed),
        "bytes": done.size if done is not None else plan.size,
        "bytes_later": done.later
        if done is not None
        else sum(entry.size for entry in plan.later.values()),
        "bytes_kept": plan.kept_size,
        "flows": {
            flow: {"runs": share.runs, "kept": share.kept, "bytes": share.size}
            for flow, share in plan.shares().items()
        },
        "going_on": [run.pathspec for run in plan.choice.alive],
        "unknown": list(plan.unknown),
    }


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def size(count: float) -> str:
    """Return ``12 MB``."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return (
        f"{count:.0f} {units[0]}" if count >= 10 or units[0] == "B" else f"{count:.1f} {units[0]}"
    )


command = Command("Remove old runs, and free what nothing reaches.", False, build)

"""The command ``tag`` and its four parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click

from flow_core.api import (
    Command,
    CommandContext,
    RunRecord,
    UsageError,
    change_tags,
)
from flow_tags.listing import Layout, lines
from flow_tags.selection import Selection, find_runs, runs_to_change, selection_options


def build(context: CommandContext) -> click.Command:
    """Make the click group."""
    return click.Group(
        "tag",
        commands=[_add(context), _remove(context), _replace(context), _list(context)],
        help="Add, remove, replace and list the tags of runs. Which runs: --run-id, --latest, or "
        "all that the other options describe.",
        no_args_is_help=True,
    )


def _add(context: CommandContext) -> click.Command:
    def add(tags: tuple[str, ...], as_json: bool, **chosen: Any) -> None:
        _change(context, Selection.of(chosen), tags, (), as_json)

    return click.Command(
        "add",
        callback=add,
        params=[click.Argument(["tags"], nargs=-1, required=True), *selection_options(), _json()],
        help="Add TAGS to runs; those that a run has already are left alone.",
    )


def _remove(context: CommandContext) -> click.Command:
    def remove(tags: tuple[str, ...], as_json: bool, **chosen: Any) -> None:
        _change(context, Selection.of(chosen), (), tags, as_json)

    return click.Command(
        "remove",
        callback=remove,
        params=[click.Argument(["tags"], nargs=-1, required=True), *selection_options(), _json()],
        help="Remove TAGS from runs; those that a run does not have are no error.",
    )


def _replace(context: CommandContext) -> click.Command:
    def replace(
        added: tuple[str, ...], removed: tuple[str, ...], as_json: bool, **chosen: Any
    ) -> None:
        if not added and not removed:
            raise UsageError(
                "There is nothing to replace",
                where="tag replace",
                hint="tag replace --run-id RUN --remove OLD --add NEW",
            )
        _change(context, Selection.of(chosen), added, removed, as_json)

    return click.Command(
        "replace",
        callback=replace,
        params=[
            click.Option(["--add", "added"], multiple=True, metavar="TAG", help="Repeatable."),
            click.Option(["--remove", "removed"], multiple=True, metavar="TAG", help="Repeatable."),
            *selection_options(),
            _json(),
        ],
        help="Remove tags and add others, at once. A tag in both is there afterwards.",
    )


def _list(context: CommandContext) -> click.Command:
    def show(
        hide_system_tags: bool,
        by_tag: bool,
        by_run: bool,
        flat: bool,
        as_json: bool,
        all_runs: bool,
        my_runs: bool,
        **chosen: Any,
    ) -> None:
        if by_tag + by_run + flat > 1:
            raise UsageError(
                "The list can have one form only",
                where="tag list",
                hint="give one of --group-by-tag, --group-by-run and --flat",
            )
        selection = Selection.of(chosen).widened(all_runs, my_runs)
        session = context.session()
        runs = find_runs(context, session, selection)
        if as_json:
            context.echo(json.dumps([_data(run, hide_system_tags) for run in runs], indent=2))
            return
        layout = Layout.BY_TAG if by_tag else Layout.FLAT if flat else Layout.BY_RUN
        for line in lines(runs, layout, hide_system_tags):
            context.echo(line)

    return click.Command(
        "list",
        callback=show,
        params=[
            *selection_options(),
            _flag("--all", "all_runs", "The runs of everybody."),
            _flag("--my-runs", "my_runs", "Your runs, the default."),
            _flag("--hide-system-tags", "hide_system_tags", "Leave out what flow-core gave."),
            _flag("--group-by-tag", "by_tag", "The runs of each tag."),
            _flag("--group-by-run", "by_run", "The tags of each run, the default."),
            _flag("--flat", "flat", "One run and one tag on each line, for other programs."),
            _json(),
        ],
        help="List the tags of runs: of yours, unless others are asked for.",
    )


def _change(
    context: CommandContext,
    selection: Selection,
    add: Sequence[str],
    remove: Sequence[str],
    as_json: bool,
) -> None:
    session = context.session()
    changed = []
    for run in runs_to_change(context, session, selection):
        tags = change_tags(
            session.metadata, session.store, run.flow, run.run, add=add, remove=remove
        )
        changed.append(run._replace(tags=tags))
    if as_json:
        context.echo(json.dumps([_data(run, False) for run in changed], indent=2))
        return
    for run in changed:
        context.echo(f"{run.pathspec}: {', '.join(run.tags) or 'no tags'}")


def _data(run: RunRecord, hide_system_tags: bool) -> dict[str, Any]:
    system = {} if hide_system_tags else {"system_tags": list(run.system_tags)}
    return {"run": run.pathspec, "tags": list(run.tags), **system}


def _flag(option: str, name: str, text: str) -> click.Option:
    return click.Option([option, name], is_flag=True, help=text)


def _json() -> click.Option:
    return click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")


command = Command("Add, remove, replace and list the tags of runs.", False, build)

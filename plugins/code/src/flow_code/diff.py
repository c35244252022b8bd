"""The command ``diff``: all in which two runs differ."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from flow_code.command import exit_code_option, json_option
from flow_core.api import Command, CommandContext, duration, harmless

if TYPE_CHECKING:
    from flow_code.runs import FoundRun
    from flow_core.api import ArtifactRef, Session


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def diff(run: str, other: str, exit_code: bool, as_json: bool) -> None:
        from flow_code.runs import find_run

        old, new = find_run(context, run), find_run(context, other)
        data = compare_runs(context.session(), old, new)
        if as_json:
            context.echo(json.dumps(data, indent=2))
        else:
            for line in _text(data):
                context.echo(line)
        if exit_code and differs(data):
            click.get_current_context().exit(1)

    return click.Command(
        "diff",
        callback=diff,
        params=[
            click.Argument(["run"]),
            click.Argument(["other"]),
            exit_code_option(),
            json_option(),
        ],
        help="Show in what two runs differ: how they ended, parameters, code, steps, times, and "
        "artifacts, of which tasks at the same place of both runs are compared. RUN is Flow/run, in "
        "a flow file also run.",
    )


# --- what is compared ---------------------------------------------------------------------------


def compare_runs(session: Session, old: FoundRun, new: FoundRun) -> dict[str, Any]:
    """Return all differences as JSON data, see the documentation of debugging."""
    return {
        "old": _facts(old),
        "new": _facts(new),
        "parameters": _tables(session, old, new, "parameters"),
        "constants": _tables(session, old, new, "constants"),
        "code": _code(session, old, new),
        "environments": _environments(old, new),
        "steps": _steps(session, old, new),
        "artifacts": _artifacts(session, old, new),
    }


def differs(data: Mapping[str, Any]) -> bool:
    """Whether the runs differ in more than times and places."""
    outcome = data["old"]["state"] != data["new"]["state"]
    names = ("parameters", "constants", "code", "environments", "artifacts")
    parts = [data[name] for name in names]
    return outcome or any(parts) or any(s["tasks"][0] != s["tasks"][1] for s in data["steps"])


def _facts(run: FoundRun) -> dict[str, Any]:
    record, info = run.record, run.document.info
    seconds = record.finished_at - record.created_at if record.finished_at else None
    return {
        "run": record.pathspec,
        "state": record.state.value,
        "message": record.message,
        "started_at": record.created_at,
        "seconds": seconds,
        "user": record.user,
        "host": record.host,
        "origin": record.origin,
        "tags": list(record.tags),
        "python": info.get("python"),
        "flow_core": info.get("flow_core"),
        "git": dict(info.get("git") or {}),
    }


def _tables(session: Session, old: FoundRun, new: FoundRun, table: str) -> list[dict[str, Any]]:
    before: Mapping[str, ArtifactRef] = getattr(old.document, table)
    after: Mapping[str, ArtifactRef] = getattr(new.document, table)
    found = []
    for name in [*before, *(n for n in after if n not in before)]:
        one, two = before.get(name), after.get(name)
        if (one.hash if one else None) != (two.hash if two else None):
            found.append(
                {
                    "name": name,
                    "old": _summary(session, one, f"{name} of {old.pathspec}"),
                    "new": _summary(session, two, f"{name} of {new.pathspec}"),
                }
            )
    return found


def _summary(session: Session, ref: ArtifactRef | None, what: str) -> str | None:
    return session.artifacts.summary(ref, what) if ref is not None else None


def _environments(old: FoundRun, new: FoundRun) -> list[dict[str, str]]:
    """Return the steps that both runs have, in environments with other locks."""
    before, after = old.document, new.document
    found = []
    for step in after.graph["steps"]:
        locks = [d.environments.get(step, {}).get("lock") for d in (before, after)]
        if step in before.graph["steps"] and locks[0] != locks[1]:
            names = [d.environment_name(step) for d in (before, after)]
            found.append({"name": step, "old": names[0], "new": names[1]})
    return found


def _code(session: Session, old: FoundRun, new: FoundRun) -> list[dict[str, Any]]:
    from flow_code.patch import compare
    from flow_code.runs import code_of_run

    if old.document.code == new.document.code:
        return []
    one, two = (
        code_of_run(session, run) if run.document.code is not None else {} for run in (old, new)
    )
    return [
        {"file": c.name, "change": c.change, "added": c.added, "removed": c.removed}
        for c in compare(one, two)
    ]


def _steps(session: Session, old: FoundRun, new: FoundRun) -> list[dict[str, Any]]:
    sides = []
    for run in (old, new):
        found = session.metadata.steps(run.record.flow, run.record.run)
        sides.append({summary.step: summary for summary in found})
    one, two = sides
    steps = []
    for name in [*one, *(n for n in two if n not in one)]:
        pair = [one.get(name), two.get(name)]
        steps.append(
            {
                "step": name,
                "tasks": [s.tasks if s else 0 for s in pair],
                "states": [dict(s.states) if s else {} for s in pair],
                "seconds": [
                    round(s.finished_at - s.started_at, 3)
                    if s and s.finished_at and s.started_at
                    else None
                    for s in pair
                ],
            }
        )
    return steps


def _artifacts(session: Session, old: FoundRun, new: FoundRun) -> list[dict[str, Any]]:
    from flow_code.tasks import compare_tasks, label, reference

    found = compare_tasks(session, old.record[:2], new.record[:2])
    return [
        {
            "step": change.step,
            "name": change.name,
            "tasks": change.tasks,
            "of": found.compared[change.step],
            "changed": change.changed,
            "added": change.added,
            "removed": change.removed,
            "first": label(change.place),
            "old": reference(session, change.old, change.name),
            "new": reference(session, change.new, change.name),
        }
        for change in found.changes
    ]


# --- what is shown ------------------------------------------------------------------------------


def _text(data: Mapping[str, Any]) -> Iterator[str]:
    old, new = data["old"], data["new"]
    yield f"{click.style(old['run'], bold=True)} → {click.style(new['run'], bold=True)}"
    yield from _outcome(old, new)
    for title in ("parameters", "constants"):
        yield from _section(title, [(r["name"], r["old"], r["new"]) for r in data[title]])
    yield from _code_lines(data)
    changed = [(r["name"], r["old"], r["new"]) for r in data["environments"]]
    yield from _section("environments", changed)
    yield from _step_lines(data["steps"])
    yield from _artifact_lines(data["artifacts"])
    if not differs(data):
        yield ""
        yield "They differ in nothing but when and where they ran."


def _outcome(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    rows = [("outcome", _state(old), _state(new)), ("took", _took(old), _took(new))]
    rows.append(("started", _moment(old), _moment(new)))
    rows += [
        (name, str(old[name] or "-"), str(new[name] or "-"))
        for name in ("user", "host", "python", "flow_core", "origin")
        if old[name] != new[name]
    ]
    if old["git"] != new["git"]:
        rows.append(("git", _git(old), _git(new)))
    if old["tags"] != new["tags"]:
        rows.append(("tags", ", ".join(old["tags"]) or "-", ", ".join(new["tags"]) or "-"))
    width = max(len(row[1]) for row in rows)
    for name, before, after in rows:
        yield harmless(f"  {name:9}  {before:{width}}  {after}".rstrip())


def _state(run: Mapping[str, Any]) -> str:
    return str(run["state"])


def _took(run: Mapping[str, Any]) -> str:
    return _seconds(run["seconds"])


def _seconds(seconds: float | None) -> str:
    return "-" if seconds is None else duration(seconds)


def _moment(run: Mapping[str, Any]) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run["started_at"]))


def _git(run: Mapping[str, Any]) -> str:
    git = run["git"]
    words = [git.get("branch", ""), git.get("commit", "")[:10]]
    return " ".join(word for word in words if word) or "-"


def _heading(title: str) -> str:
    return click.style(title, bold=True)


def _section(title: str, rows: list[tuple[str, str | None, str | None]]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield _heading(title)
    width = max(len(name) for name, _, _ in rows)
    for name, before, after in rows:
        yield f"  {harmless(name):{width}}  {_arrow(before, after)}"


def _arrow(old: str | None, new: str | None) -> str:
    """``old → new``; a side that is not there is told in words."""
    before = click.style(harmless(old), fg="red") if old is not None else ""
    after = click.style(harmless(new), fg="green") if new is not None else ""
    if old is None:
        return f"new: {after}"
    return f"{before} → {after}" if new is not None else f"gone: {before}"


def _code_lines(data: Mapping[str, Any]) -> Iterator[str]:
    if not data["code"]:
        return
    yield ""
    hint = click.style(f"flow code diff {data['old']['run']} {data['new']['run']}", dim=True)
    yield f"{_heading('code')}  {hint}"
    width = max(len(row["file"]) for row in data["code"])
    for row in data["code"]:
        counts = click.style(f"+{row['added']}", fg="green") + " "
        counts += click.style(f"-{row['removed']}", fg="red")
        yield f"  {harmless(row['file']):{width}}  {row['change']}  {counts}"


def _step_lines(steps: list[dict[str, Any]]) -> Iterator[str]:
    if not steps:
        return
    rows = [
        (
            row["step"],
            _pair(*(f"{n:,}" for n in row["tasks"])),
            _pair(*(_seconds(s) for s in row["seconds"])),
            _pair(*(_states(s) for s in row["states"])),
        )
        for row in steps
    ]
    head = ("steps", "tasks", "time", "")
    widths = [max(len(row[n]) for row in (head, *rows)) + (n == 0) * 2 for n in range(3)]
    yield ""
    cells = [f"{head[0]:{widths[0]}}", f"{head[1]:{widths[1]}}", f"{head[2]:{widths[2]}}"]
    yield _heading("  ".join(cells).rstrip())
    for name, tasks, seconds, states in rows:
        line = f"  {name:{widths[0] - 2}}  {tasks:{widths[1]}}  {seconds:{widths[2]}}  {states}"
        yield line.rstrip()


def _pair(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


def _states(states: Mapping[str, int]) -> str:
    """Return the states that are worth a word: what succeeded is the rule."""
    told = [f"{n:,} {state}" for state, n in sorted(states.items()) if state != "succeeded"]
    return ", ".join(told) or ("-" if not states else "succeeded")


def _artifact_lines(rows: list[dict[str, Any]]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    yield f"{_heading('artifacts')}  " + click.style("where they differ first", dim=True)
    steps = max(len(_place(row)) for row in rows)
    names = max(len(row["name"]) for row in rows)
    for row in rows:
        old, new = (side["summary"] if side else None for side in (row["old"], row["new"]))
        more = f"  (in {row['tasks']:,} of {row['of']:,} tasks)" if row["of"] > 1 else ""
        text = f"  {_place(row):{steps}}  {row['name']:{names}}  {_arrow(old, new)}"
        yield text + click.style(more, dim=True)


def _place(row: Mapping[str, Any]) -> str:
    return str(row["first"])


command = Command("Show in what two runs differ.", False, build)

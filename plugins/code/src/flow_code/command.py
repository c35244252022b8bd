"""The command ``code`` and its four parts: list, show, checkout, diff."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from flow_core.api import Command, CommandContext, NotFound, UsageError, did_you_mean, harmless

if TYPE_CHECKING:
    from flow_code.patch import FileChange
    from flow_code.runs import FoundRun
    from flow_core.api import CodeFile, LeftOut


def build(context: CommandContext) -> click.Command:
    """Make the click group."""
    return click.Group(
        "code",
        commands=[_list(context), _show(context), _checkout(context), _diff(context)],
        help="Look at the code that a run has kept: every run keeps the source files beside and "
        "below its flow file. RUN is Flow/run, in a flow file also run.",
        no_args_is_help=True,
    )


def json_option() -> click.Option:
    """Return the option ``--json``."""
    return click.Option(["--json", "as_json"], is_flag=True, help="Print JSON.")


def exit_code_option() -> click.Option:
    """Return the option that makes a difference known to scripts."""
    return click.Option(
        ["--exit-code"], is_flag=True, help="End with exit status 1 when something differs."
    )


def _list(context: CommandContext) -> click.Command:
    def list_(run: str | None, as_json: bool) -> None:
        pathspec, files, left_out = _files(context, run)
        if as_json:
            rows = [
                {"file": name, "size": len(f.content), "executable": f.executable}
                for name, f in files.items()
            ]
            data: dict[str, object] = {"run": pathspec, "files": rows}
            data["left_out"] = [one if isinstance(one, str) else one._asdict() for one in left_out]
            context.echo(json.dumps(data, indent=2))
            return
        width = max((len(f"{len(f.content):,}") for f in files.values()), default=0)
        for name, file in files.items():
            context.echo(harmless(f"{len(file.content):>{width},} B  {name}"))
        for one in left_out:
            text = f"'{one}' was left out when the run began" if isinstance(one, str) else str(one)
            click.echo(harmless(text), err=True)

    return click.Command(
        "list",
        callback=list_,
        params=[click.Argument(["run"], required=False), json_option()],
        help="List the files that RUN has kept; in a flow file, without RUN, those that a run would "
        "keep now.",
    )


def _files(
    context: CommandContext, run: str | None
) -> tuple[str | None, Mapping[str, CodeFile], Sequence[LeftOut | str]]:
    """Return the pathspec of a run, what it has kept, and what was left out; without a run, what one
    would keep now."""
    from flow_code.runs import code_of_run, code_of_today, find_run

    if run is not None:
        found = find_run(context, run)
        left_out = found.document.info.get("left_out", ())
        return found.pathspec, code_of_run(context.session(), found), left_out
    if context.flow is None:
        raise UsageError(
            "Which run?", where=f"{context.name} list", hint=f"{context.name} list MyFlow/3"
        )
    today = code_of_today(context, None)
    return None, today.files, today.left_out


def _show(context: CommandContext) -> click.Command:
    def show(run: str, file: str | None, as_json: bool) -> None:
        from flow_code.runs import code_of_run, find_run

        found = find_run(context, run)
        files = code_of_run(context.session(), found)
        name = file or found.document.info["script"]
        if name not in files:
            raise NotFound(
                f"The code of run {found.pathspec} has no file '{name}'",
                hint=did_you_mean(name, files) or f"{context.name} list {run}",
            )
        content = files[name].content
        if as_json:
            data = {"run": found.pathspec, "file": name, "executable": files[name].executable}
            data["content"] = content.decode(errors="replace")
            context.echo(json.dumps(data, indent=2))
            return
        sys.stdout.flush()
        stream = getattr(sys.stdout, "buffer", None)
        if stream is None:  # a notebook's
            sys.stdout.write(content.decode(errors="replace"))
        else:
            stream.write(content)  # as it is: it may be no text
            stream.flush()

    return click.Command(
        "show",
        callback=show,
        params=[
            click.Argument(["run"]),
            click.Argument(["file"], required=False),
            json_option(),
        ],
        help="Print a file that RUN has kept; without FILE its flow file.",
    )


def _checkout(context: CommandContext) -> click.Command:
    def checkout(run: str, folder: str | None, overwrite: bool, as_json: bool) -> None:
        from flow_code.runs import code_of_run, find_run
        from flow_core.api import write_code

        found = find_run(context, run)
        target = folder or f"{found.document.flow}-{found.document.run}"
        files = write_code(code_of_run(context.session(), found), target, overwrite=overwrite)
        place, command = _how_to_run(found, target)
        if as_json:
            data = {"run": found.pathspec, "folder": os.path.abspath(target), "files": files}
            data |= {"python_path": os.path.abspath(place), "command": [sys.executable, *command]}
            context.echo(json.dumps(data, indent=2))
            return
        count = f"{len(files)} file{'s' if len(files) != 1 else ''}"
        context.echo(f"The code of {found.pathspec} is in {target}: {count}.")
        line = " ".join(shlex.quote(word) for word in ("python", *command, "run"))
        context.echo(harmless(f"To run it: cd {shlex.quote(place)} && {line}"))

    return click.Command(
        "checkout",
        callback=checkout,
        params=[
            click.Argument(["run"]),
            click.Option(
                ["--to", "--dir", "folder"],
                type=click.Path(file_okay=False),
                metavar="FOLDER",
                help="Where to write it (default: a folder FLOW-RUN here).",
            ),
            click.Option(["--overwrite"], is_flag=True, help="Replace files that differ."),
            json_option(),
        ],
        help="Write the files that RUN has kept to a folder. Files that are there and differ are "
        "not replaced, unless --overwrite is given.",
    )


def _how_to_run(run: FoundRun, target: str) -> tuple[str, list[str]]:
    """Return the folder to be in, which is where modules are found, and the words behind python."""
    info = run.document.info
    script, inside = str(info["script"]), str(info.get("code_folder", ""))
    place = os.path.join(target, *inside.split("/")) if inside else target
    script = script.removeprefix(f"{inside}/") if inside else script
    if "/" in script:  # in a package: from there Python would not find what is beside the package
        return place, ["-m", script.removesuffix(".py").replace("/", ".")]
    return place, [script]


def _diff(context: CommandContext) -> click.Command:
    def diff(
        run: str,
        other: str | None,
        folder: str | None,
        stat: bool,
        exit_code: bool,
        as_json: bool,
    ) -> None:
        from flow_code.patch import compare
        from flow_code.runs import TODAY, code_of_run, find_run

        session = context.session()
        one = find_run(context, run)
        if other is None:
            name, new = TODAY, _today(context, one, folder)
        elif folder is not None:
            raise UsageError("--dir is for today's code", hint="leave out --dir, or the second run")
        else:
            two = find_run(context, other)
            name, new = two.pathspec, code_of_run(session, two)
        found = compare(code_of_run(session, one), new)
        if as_json:
            data = {"old": one.pathspec, "new": name, "files": [c.to_json() for c in found]}
            context.echo(json.dumps(data, indent=2))
        else:
            for line in _stat(found) if stat else _patch(found):
                context.echo(line)
        if found and exit_code:
            click.get_current_context().exit(1)

    return click.Command(
        "diff",
        callback=diff,
        params=[
            click.Argument(["run"]),
            click.Argument(["other"], required=False),
            click.Option(
                ["--dir", "folder"],
                type=click.Path(file_okay=False),
                metavar="FOLDER",
                help="Where today's code is (default: where the run was started from).",
            ),
            click.Option(["--stat"], is_flag=True, help="Only the names, and how many lines."),
            exit_code_option(),
            json_option(),
        ],
        help="Show how today's code, or that of the run OTHER, differs from that of RUN. In a pipe "
        "it is a patch: flow code diff RUN | patch -R -p1 brings the old code back.",
    )


def _today(context: CommandContext, run: FoundRun, folder: str | None) -> Mapping[str, CodeFile]:
    """Return today's code; what is left out of it is told."""
    from flow_code.runs import code_of_today

    today = code_of_today(context, run, folder)
    for one in today.left_out:
        click.echo(harmless(str(one)), err=True)
    return today.files


def _patch(found: list[FileChange]) -> Iterator[str]:
    for change in found:
        for line in change.text.removesuffix("\n").split("\n"):
            yield _coloured(line)


def _coloured(line: str) -> str:
    if line.startswith(("+++", "---")):
        return click.style(line, bold=True)
    colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
    return click.style(line, fg=colour) if colour else line


def _stat(found: list[FileChange]) -> Iterator[str]:
    width = max((len(c.name) for c in found), default=0)
    for change in found:
        counts = f"{click.style(f'+{change.added}', fg='green')} "
        counts += click.style(f"-{change.removed}", fg="red")
        yield f"{change.change:7}  {harmless(change.name):{width}}  {counts}"


command = Command("Look at the code that a run has kept.", False, build)

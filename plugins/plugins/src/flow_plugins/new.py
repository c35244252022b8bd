"""``flow plugins new NAME --kind KIND``: write a plugin that works, to begin with."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

from flow_core.api import CommandContext, UsageError, did_you_mean
from flow_plugins import new_files
from flow_plugins.command import json_option
from flow_plugins.new_files import File
from flow_plugins.new_kinds import KINDS, Kind
from flow_plugins.new_names import Names, check_free, names_of

_HELP = """Write a plugin to begin with: a distribution that can be installed, with its tests, typed
code, a README and an example. It works; replace what it does by what yours does.

NAME is the plugin's own: gpu-pool makes the distribution flow-gpu-pool. With --single-file it is one
module instead, which '-p' or the setting 'plugins' names; nothing is installed then.

"""


def command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def new(
        name: str,
        kind: str | None,
        folder: str | None,
        package: str | None,
        single_file: bool,
        as_json: bool,
    ) -> None:
        chosen = _chosen(name, kind)
        if single_file and package is not None:
            raise UsageError(
                "A single file has no package",
                where="--package",
                hint="leave out --package, or --single-file",
            )
        names = names_of(name, package)
        provided = new_files.words_of(chosen, names)["provided"]
        decorator = chosen.decorated and not (single_file and chosen.source)
        check_free(names, chosen.group, provided, single_file=single_file, decorator=decorator)
        make = _write_module if single_file else _write_distribution
        written = make(chosen, names, folder)
        for line in [json.dumps(written, indent=2)] if as_json else _lines(written):
            context.echo(line)

    return click.Command(
        "new",
        callback=new,
        params=[
            click.Argument(["name"]),
            click.Option(["--kind"], metavar="KIND", help="What it provides, see above."),
            click.Option(
                ["--folder"],
                metavar="DIR",
                help="Where to write it: by default a new folder flow-NAME here; of a single "
                "file the folder that it is put into.",
            ),
            click.Option(
                ["--package"], metavar="NAME", help="What is imported: by default flow_NAME."
            ),
            click.Option(
                ["--single-file"], is_flag=True, help="Write one module, without a distribution."
            ),
            json_option(),
        ],
        help=_HELP + "\b\nKinds:\n" + "\n".join(f"  {line}" for line in _list(KINDS.values())),
    )


def _chosen(name: str, kind: str | None) -> Kind:
    if kind in KINDS:
        return KINDS[kind]
    if kind is None:
        raise UsageError(
            "Say what the plugin provides: --kind",
            why="\n".join(_list(KINDS.values())),
            hint=f"flow plugins new {shlex.quote(name)} --kind decorator",
        )
    raise UsageError(
        f"There is no kind of plugins '{kind}'", where="--kind", hint=did_you_mean(kind, KINDS)
    )


def _list(kinds: Iterable[Kind]) -> Iterator[str]:
    width = max(map(len, KINDS))
    for kind in kinds:
        yield f"{kind.name:<{width}}  {kind.summary}"


# --- writing it ---------------------------------------------------------------------------------


def _write_distribution(kind: Kind, names: Names, folder: str | None) -> dict[str, Any]:
    place = folder or names.distribution
    content = new_files.distribution(kind, names)
    new_files.write_folder(place, content)
    then = [f"cd {shlex.quote(place)}", 'pip install -e ".[test]"', "pytest"]
    return _written(kind, names, place, content, then)


def _write_module(kind: Kind, names: Names, folder: str | None) -> dict[str, Any]:
    place = folder or os.curdir
    file = new_files.single_file(kind, names)
    new_files.write_file(os.path.join(place, file.path), file.content)
    try_it = new_files.filled(kind.try_it, new_files.words_of(kind, names))
    then = [
        f"flow -p {names.module} plugins show {names.module}",
        try_it.replace("flow ", f"flow -p {names.module} ", 1),
        f'for good, in pyproject.toml: [tool.flow] plugins = ["{names.module}"]',
    ]
    return _written(kind, names, place, [file], then)


def _written(
    kind: Kind, names: Names, place: str, content: Sequence[File], then: Sequence[str]
) -> dict[str, Any]:
    packaged = len(content) > 1
    return {
        "name": names.name,
        "kind": kind.name,
        "provides": new_files.words_of(kind, names)["provided"],
        "distribution": names.distribution if packaged else None,
        "package": names.package if packaged else names.module,
        "folder": os.path.abspath(place),
        "files": [{"path": file.path, "about": file.about} for file in content],
        "next": [*then],
    }


def _lines(written: dict[str, Any]) -> Iterator[str]:
    """Yield what was written, and what to type next, for people."""
    kind = KINDS[written["kind"]]
    place = os.path.relpath(written["folder"])
    where = "" if place == os.curdir else f" in {place}"
    yield f"Wrote the {kind.noun} '{written['provides']}'{where}:"
    yield ""
    width = max(len(file["path"]) for file in written["files"])
    for file in written["files"]:
        yield f"  {file['path']:<{width}}  " + click.style(file["about"], dim=True)
    yield ""
    yield "Next:"
    yield from (f"  {line}" for line in written["next"])

"""The table of all plugins that are shipped, from what each says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flow_core.api import load_parser

ROOT = Path(__file__).parents[1]
_KINDS = {
    "flow.decorators": "`@{}`",
    "flow.commands": "`flow {}`",
    "flow.stores": "store `{}`",
    "flow.url_stores": "stores of other URLs (`{}`)",
    "flow.metadata": "metadata `{}`",
    "flow.computes": "compute `{}`",
    "flow.environments": "environment `{}`",
    "flow.serializers": "serializer `{}`",
    "flow.secrets": "secrets `{}`",
    "flow.parsers": "parser `{}`",
    "flow.cards": "card `{}`",
    "flow.run_cards": "card of a run `{}`",
    "flow.exports": "`{}`",
}
"""Entry-point group → how what it offers is called; groups of hooks have no names to call."""


def project(folder: Path) -> Mapping[str, Any]:
    """Return the table ``[project]`` of a distribution."""
    text = (folder / "pyproject.toml").read_text(encoding="utf-8")
    table: Mapping[str, Any] = load_parser("toml", "pyproject.toml")(text)["project"]
    return table


def shipped() -> list[Mapping[str, Any]]:
    """Return the tables ``[project]`` of all plugins, by name."""
    found = [project(path.parent) for path in ROOT.glob("plugins/*/pyproject.toml")]
    return sorted(found, key=lambda one: str(one["name"]))


def brought() -> set[str]:
    """Return the distributions that ``pip install flow-core`` brings."""
    names = (re.match(r"[\w.-]+", one) for one in project(ROOT / "core")["dependencies"])
    return {name.group() for name in names if name}


def tables() -> str:
    """Return both tables: what comes with flow-core, and what is installed beside it."""
    default = brought()
    mine = [one for one in shipped() if one["name"] in default]
    others = [one for one in shipped() if one["name"] not in default]
    lines = [f"## Those that come with flow-core ({len(mine)})\n", *_table(mine)]
    lines += [f"\n## Those that are installed beside it ({len(others)})\n", *_table(others)]
    return "\n".join(lines) + "\n"


def _table(projects: list[Mapping[str, Any]]) -> Iterator[str]:
    yield "| distribution | what it does | it provides | without it |\n|---|---|---|---|"
    for one in projects:
        name = str(one["name"])
        about = str(one["description"]).removesuffix(".")
        without = f"`-p no:{name.removeprefix('flow-')}`"
        if not one.get("entry-points"):
            without = "does nothing by itself"  # flow-core does not see it
        yield f"| `{name}` | {about} | {', '.join(_offers(one)) or 'a program'} | {without} |"


def _offers(one: Mapping[str, Any]) -> Iterator[str]:
    groups: Mapping[str, Mapping[str, str]] = one.get("entry-points", {})
    for group, form in _KINDS.items():
        yield from (form.format(name) for name in groups.get(group, ()))
    if "flow.plugins" in groups:
        yield "hooks"

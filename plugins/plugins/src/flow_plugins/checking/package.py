"""Checks of what a distribution says of itself."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flow_core.api import PluginError, core_requirement
from flow_plugins.checking.findings import OK, WARN, Finding, of_error
from flow_plugins.files import Distribution
from flow_plugins.inventory import Item

_RANGE = 'in pyproject.toml: dependencies = ["flow-core>=0.1,<1"]'


def core_findings(item: Item) -> Iterator[Finding]:
    """Check that the range of flow-core is stated, has both ends, and holds this one."""
    try:
        item.entry_points[0].check_core()
    except PluginError as error:  # it needs another one, or what it needs cannot be read
        yield of_error("core", error)
        return
    requirement = core_requirement(item.entry_points[0])
    exact = re.search(r"==|~=", requirement)
    if not requirement:
        yield Finding(
            "core",
            WARN,
            "It does not say which flow-core it needs",
            why="a flow-core that it does not fit would only show in strange failures",
            hint=_RANGE,
        )
    elif not exact and ("<" not in requirement or ">" not in requirement):
        missing = "upper" if ">" in requirement else "lower"
        yield Finding(
            "core",
            WARN,
            f"Its range of flow-core has no {missing} end: {requirement}",
            hint=_RANGE,
        )
    else:
        yield Finding("core", OK, f"flow-core {requirement}")


def package_findings(item: Item, distribution: Distribution) -> Iterator[Finding]:
    """Check that a person who finds the distribution learns what it is, and type checkers too."""
    lacks = []
    if not distribution.summary:
        lacks.append(("It has no summary", '[project] description = "What it does."'))
    if not distribution.readme:
        lacks.append(("It has no README", '[project] readme = "README.md"'))
    public = {"flow.decorators", "flow.exports"} & {e.group for e in item.entry_points}
    if public and not any(file.endswith("py.typed") for file in distribution.files):
        lacks.append(
            (
                "Type checkers do not look at it: there is no py.typed",
                "put an empty file py.typed beside its __init__.py",
            )
        )
    for text, hint in lacks:
        yield Finding("package", WARN, text, item.location, hint=hint)
    if not lacks:
        yield Finding("package", OK, "summary, README" + (", types" if public else ""))

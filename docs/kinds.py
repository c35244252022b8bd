"""The pages of the kinds of plugins: written by hand at the top, the contract rendered below.

Each page has a part between marks that comes from the code: under which entry-point group objects
of the kind are found, the contract with exact signatures, and the conformance suite with its cases.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rendering import (
    NOTE,
    banners_of,
    between,
    cell,
    describe,
    first_sentence,
    markdown,
    signature,
    source_of,
    text_of,
)

from flow_core import hookspecs, interfaces
from flow_core.api import installed

GROUPS = {
    "flow.plugins": "a module with hooks, which every command loads",
    "flow.decorators": "a `StepDecorator` or `FlowDecorator`, which flows import by its name",
    "flow.decorator_hooks": "a module with hooks, which flows load that carry the decorator of that name",
    "flow.exports": "any other object, which flows import by its name: `from flow_core import NAME`",
    "flow.current": "a class whose annotations are what a plugin adds to `current`, for `flow plugins stubs`",
    "flow.commands": "a `Command`: `flow NAME`",
    "flow.calls": "a function behind a method of flows, with which flows are started from Python",
    "flow.stores": "a class or function that makes a `Store`: `--datastore NAME://PLACE`",
    "flow.url_stores": "a function that makes a `Store` of a URL whose scheme is no store's name",
    "flow.file_carriers": "a function that says how files of runs are copied to another store",
    "flow.leftovers": "a function that finds what a plugin keeps in the store for nothing",
    "flow.metadata": "a class or function that makes a `Metadata`: `--metadata NAME://PLACE`",
    "flow.computes": "a class or function that makes a `Compute`: `--compute NAME`",
    "flow.environments": "a class or function that makes an `Environment`",
    "flow.serializers": "a class or function that makes a `Serializer`; the name is its tag",
    "flow.secrets": "a class that makes a `SecretsProvider`; the name is the type of its sources",
    "flow.cards": "a function from a task to what is shown of it: `@card(type=NAME)`",
    "flow.run_cards": "a function from a run to what is shown of it: `flow card run --type NAME`",
    "flow.diagnoses": "a function of a session that yields findings for `flow doctor`",
    "flow.parsers": "a function of a text: `Config(parser=NAME)`",
}
"""Entry-point group → what its entry points name."""


class Kind(NamedTuple):
    """What is said on the page of one kind.

    Attributes:
        page: name of the page, ``docs/plugins/NAME.md``, and of the kind.
        groups: its entry-point groups.
        contracts: names in ``home`` that make up the contract, in this order.
        suite: name of the conformance suite in ``tests``.
        beside: names there that the suite is used with.
        home, tests: modules: those of flow-core, or of the plugin whose kind it is.
    """

    page: str
    groups: tuple[str, ...]
    contracts: tuple[str, ...] = ()
    suite: str = ""
    beside: tuple[str, ...] = ()
    home: str = "flow_core.api"
    tests: str = "flow_core.testing"

    def part(self, name: str) -> Any:
        """Return an object of the contract."""
        return getattr(importlib.import_module(self.home), name)

    def helper(self, name: str) -> Any:
        """Return the suite, or what it is used with."""
        return getattr(importlib.import_module(self.tests), name)


ALL = (
    Kind(
        "decorator",
        ("flow.decorators", "flow.decorator_hooks", "flow.current"),
        ("option", "Options", "StepDecorator", "FlowDecorator", "Attached"),
        "DecoratorSuite",
    ),
    Kind("hooks", ("flow.plugins", "flow.decorator_hooks")),
    Kind("command", ("flow.commands",), ("Command", "CommandContext"), "CommandSuite"),
    Kind(
        "store",
        ("flow.stores", "flow.url_stores", "flow.file_carriers", "flow.leftovers"),
        ("Store", "StoreCapabilities", "StoredObject", "FsspecStore"),
        "StoreSuite",
    ),
    Kind("metadata", ("flow.metadata",), ("Metadata",), "MetadataSuite"),
    Kind(
        "compute",
        ("flow.computes",),
        (
            "Compute",
            "GangCompute",
            "AdoptingCompute",
            "ComputeCapabilities",
            "Runtime",
            "TaskCommand",
            "Started",
            "Begun",
            "Waiting",
            "Output",
            "Exited",
        ),
        "ComputeSuite",
    ),
    Kind(
        "environment",
        ("flow.environments",),
        (
            "Environment",
            "EnvironmentCapabilities",
            "EnvironmentRequest",
            "EnvironmentWork",
            "PackageMirror",
            "EnvironmentWithOrigins",
            "ExportingEnvironment",
            "Interpreter",
        ),
        "EnvironmentSuite",
    ),
    Kind("serializer", ("flow.serializers",), ("Serializer",), "SerializerSuite"),
    Kind(
        "secrets",
        ("flow.secrets",),
        ("SecretsProvider", "SecretSource"),
        "SecretsSuite",
        ("SecretsCase",),
    ),
    Kind(
        "card",
        ("flow.cards", "flow.run_cards"),
        (
            "CardType",
            "CardTask",
            "Value",
            "HtmlPage",
            "ArtifactMissing",
            "RunCardType",
            "CardRun",
            "CardLink",
        ),
        "CardSuite",
        ("card_task", "card_run", "ComponentSuite"),
        "flow_cards",
        "flow_cards.testing",
    ),
    Kind("parser", ("flow.parsers",), ("Parser",)),
)


def pages() -> dict[str, Callable[[], str]]:
    """Return the makers of all pages, by the path below ``docs/``."""
    made: dict[str, Callable[[], str]] = {
        f"plugins/{kind.page}.md": between(f"plugins/{kind.page}.md", lambda kind=kind: _part(kind))
        for kind in ALL
    }
    return {**made, "plugins/index.md": between("plugins/index.md", _groups)}


def providers() -> str:
    """Return the page that says where each contract is described."""
    out = [NOTE, "# Providers\n", markdown(interfaces.__doc__) + "\n"]
    out.append("| contract | kind | what it is |\n|---|---|---|")
    for kind in ALL:
        for name in kind.contracts:
            value = kind.part(name)
            link = f"[`{name}`](../plugins/{kind.page}.md#{_anchor(name, value)})"
            out.append(f"| {link} | {kind.page} | {cell(first_sentence(value.__doc__))} |")
    return "\n".join(out) + "\n"


def _anchor(name: str, value: Any) -> str:
    if not isinstance(value, type):
        return f"{name.lower()}-function"
    if getattr(value, "_is_protocol", False):
        return f"{name.lower()}-protocol"
    return f"{name.lower()}-{'record' if hasattr(value, '_fields') else 'class'}"


# --- the page of a kind -------------------------------------------------------------------------


def _part(kind: Kind) -> str:
    out = ["## Where it is found\n", *_table(kind.groups)]
    if kind.page == "hooks":
        out += _all_hooks()
    if kind.contracts:
        out.append("\n## The contract\n")
    for name in kind.contracts:
        out += describe(importlib.import_module(kind.part(name).__module__), name)
    if kind.suite:
        out += _suite(kind.helper(kind.suite))
    for name in kind.beside:
        out += describe(importlib.import_module(kind.helper(name).__module__), name)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(out))


def _table(groups: tuple[str, ...]) -> Iterator[str]:
    """Yield a table of the groups, with what is installed in them."""
    index = installed()
    yield "| entry-point group | an entry point names | installed |\n|---|---|---|"
    for group in groups:
        names = [
            f"`{name}` ({', '.join(e.distribution for e in entries)})"
            for name, entries in index.group(group).items()
        ]
        yield f"| `{group}` | {GROUPS[group]} | {', '.join(names) or 'none'} |"


def _groups() -> str:
    """Return the table of all groups and their pages."""
    out = ["| entry-point group | an entry point names | page |\n|---|---|---|"]
    for group, what in GROUPS.items():
        linked = [f"[{k.page}]({k.page}.md)" for k in ALL if group in k.groups]
        out.append(f"| `{group}` | {what} | {', '.join(linked)} |")
    return "\n".join(out) + "\n"


# --- hooks --------------------------------------------------------------------------------------


def hook_functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    """Yield the hooks of a parsed module, in order."""
    for node in tree.body:
        marks = [d for d in getattr(node, "decorator_list", ()) if "hookspec" in ast.unparse(d)]
        if marks and isinstance(node, ast.FunctionDef):
            yield node


def nature_of(hook: str) -> str:
    """Return what a hook's declaration says besides its arguments, for people; may be empty."""
    function = getattr(hookspecs, hook)
    marks = getattr(function, hookspecs.MARKS_ATTRIBUTE)
    plain = getattr(function, f"{hookspecs.PROJECT}_spec")
    said = []
    if marks.observer:
        said.append("Observer: one that fails is put aside, and the run goes on")
    if plain["historic"]:
        said.append("Historic: also called for plugins that come later")
    if plain["firstresult"]:
        said.append("The first result that is not None counts")
    if marks.returns is not None:
        said.append(f"Returns {marks.returns}; anything else is an error")
    return ". ".join(said)


def _all_hooks() -> Iterator[str]:
    """Yield all hooks with their signatures, as the sections of a session's life."""
    text, tree = source_of(hookspecs)
    banners = banners_of(text)
    yield "\n## All hooks\n"
    for node in hook_functions(tree):
        yield from (f"### {banners.pop(n)}\n" for n in list(banners) if n < node.lineno)
        nature = nature_of(node.name)
        yield f"```py\n{signature(node)}\n```\n"
        link = f"[`{node.name}`](../reference/hooks.md#{node.name})"
        said = first_sentence(ast.get_docstring(node))
        yield f"{link}: {said}{f' *{nature}.*' if nature else ''}\n"


# --- suites -------------------------------------------------------------------------------------


def _suite(suite: type) -> Iterator[str]:
    """Yield the description of a conformance suite: what it needs, and all of its cases."""
    source = inspect.getsource(suite)
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.ClassDef)
    yield f"\n## The conformance suite\n\n### `{suite.__name__}`\n"
    yield f"{markdown(ast.get_docstring(node))}\n"
    yield "How it is used, and what else helps to test: [Testing plugins](testing.md).\n"
    yield from _fixtures(node)
    cases = [f for f in _functions(node) if f.name.startswith("test_")]
    banners = banners_of(source)
    yield f"#### Its {len(cases)} cases\n"
    for case in cases:
        yield from (f"\n*{banners.pop(n)}*\n" for n in list(banners) if n < case.lineno)
        said = ast.get_docstring(case)
        yield f"* `{case.name}`" + (f": {first_sentence(said)}" if said else "")
    yield ""


def _functions(node: ast.ClassDef) -> list[ast.FunctionDef]:
    return [entry for entry in node.body if isinstance(entry, ast.FunctionDef)]


def _fixtures(node: ast.ClassDef) -> Iterator[str]:
    found = [f for f in _functions(node) if "fixture" in "".join(map(text_of, f.decorator_list))]
    if found:
        yield "Fixtures, which the subclass gives or replaces:\n"
    for fixture in found:
        returned = f" -> {ast.unparse(fixture.returns)}" if fixture.returns else ""
        said = first_sentence(ast.get_docstring(fixture))
        yield f"* `{fixture.name}{returned}`: {said}"
    if found:
        yield ""

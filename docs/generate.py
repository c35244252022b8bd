"""Write the reference pages from the code: hook specs, interfaces, options, settings, commands.

``python docs/generate.py`` writes what is out of date; ``--check`` only says it (exit status 1).
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from flow_core import FlowSpec, api, interfaces, step, testing
from flow_core.api import FlowDecorator, Session, Settings, describe_options, installed
from flow_core.cli import Context

DOCS = Path(__file__).parent
_NOTE = "<!-- Written by docs/generate.py from the code: change the docstring, not this page. -->\n"
_BEGIN, _END = "<!-- generated -->\n", "<!-- end of generated -->\n"


# --- signatures and docstrings ------------------------------------------------------------------


def signature(function: ast.FunctionDef) -> str:
    """Return the head of a function as source, without ``self``, broken when it is long."""
    copy = ast.FunctionDef(
        function.name, function.args, [ast.Pass()], [], returns=function.returns, lineno=0
    )
    head = _text(copy).partition("\n")[0].removesuffix(":")
    opening, closing = head.index("("), _closing(head)
    arguments = [a for a in _split(head[opening + 1 : closing]) if a not in ("self", "")]
    # As people write it: unparse leaves no blanks around the "=" of a default.
    arguments = [re.sub(r"^(\w+: [^=]+)=", r"\1 = ", a) for a in arguments]
    short = head[: opening + 1] + ", ".join(arguments) + head[closing:]
    if len(short) <= 88:
        return short
    return head[: opening + 1] + "\n    " + ",\n    ".join(arguments) + ",\n" + head[closing:]


def _closing(head: str) -> int:
    """Return where the bracket of the arguments closes."""
    depth = 0
    for position in range(head.index("("), len(head)):
        depth += (head[position] in "([{") - (head[position] in ")]}")
        if depth == 0:
            return position
    raise ValueError(head)


def _text(node: ast.AST) -> str:
    """Return source, with double quotes, as the formatter would write it."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def _split(arguments: str) -> list[str]:
    """Split at the commas that are in no brackets."""
    parts, depth = [""], 0
    for char in arguments:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


_SECTION = re.compile(r"(Args|Attributes|Returns|Raises):$")


def markdown(doc: str | None) -> str:
    """Return a docstring as Markdown: double backticks, lists of arguments, indented examples."""
    out: list[str] = []
    section = example = False
    for line in inspect.cleandoc(doc or "").replace("``", "`").splitlines():
        if found := _SECTION.match(line):
            out += [f"*{found.group(1)}*", ""]
            section = True
        elif not line.startswith("    "):
            section = section and not line
            if example:
                out, example = [*_strip(out), "```", ""], False
            out.append(line)
        elif section:
            out += _item(line[4:])
        else:
            if not example:
                out, example = [*out, "```py"], True
            out.append(line[4:])
    return "\n".join([*out, "```"] if example else out).strip()


def _strip(lines: list[str]) -> list[str]:
    return lines[:-1] if lines and not lines[-1] else lines


def _item(line: str) -> list[str]:
    name, colon, text = line.partition(": ")
    if line.startswith(" "):
        return [f"  {line.strip()}"]
    if colon and re.fullmatch(r"[\w.`, ]+", name):
        names = ", ".join(f"`{n.strip('` ')}`" for n in name.split(","))
        return [f"* {names}: {text}"]
    return [f"* {line}"]


def _first_sentence(doc: str | None) -> str:
    paragraph = inspect.cleandoc(doc or "").partition("\n\n")[0].replace("\n", " ")
    found = re.match(r"(.+?\.)(?=\s|$)", paragraph.replace("``", "`"))
    return found.group(1) if found else paragraph.replace("``", "`")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _source(module: Any) -> tuple[str, ast.Module]:
    text = inspect.getsource(module)
    return text, ast.parse(text)


def _banners(text: str) -> dict[int, str]:
    """Return line → title of the ``# --- title ---`` lines of a module."""
    lines = enumerate(text.splitlines(), 1)
    return {n: m.group(1) for n, line in lines if (m := re.match(r"# --- (.+?) -+$", line))}


# --- hooks --------------------------------------------------------------------------------------


def hooks() -> str:
    """Return the page of all hooks."""
    from flow_core import hookspecs

    text, tree = _source(hookspecs)
    banners = _banners(text)
    out = [_NOTE, "# Hooks\n", markdown(hookspecs.__doc__) + "\n"]
    out.append(_mark_of_hookimpl(tree))
    for node in tree.body:
        marks = [d for d in getattr(node, "decorator_list", ()) if "hookspec" in ast.unparse(d)]
        if not marks or not isinstance(node, ast.FunctionDef):
            continue
        out += [f"## {banners.pop(n)}\n" for n in list(banners) if n < node.lineno]
        out.append(f"### `{node.name}`\n\n```py\n{signature(node)}\n```\n")
        out.append(_hook_note(ast.unparse(marks[0])) + markdown(ast.get_docstring(node)) + "\n")
    return "\n".join(out)


def _mark_of_hookimpl(tree: ast.Module) -> str:
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "hookimpl"]
    body = markdown(ast.get_docstring(found[-1]))
    head = signature(found[1])
    return f"## The mark\n\n### `hookimpl`\n\n```py\n{head}\n```\n\n{body}\n"


def _hook_note(mark: str) -> str:
    if "firstresult" in mark:
        return "*The first result that is not None counts.*\n\n"
    return "*Historic: also called for plugins that come later.*\n\n" if "historic" in mark else ""


# --- providers ----------------------------------------------------------------------------------


def providers() -> str:
    """Return the page of the contracts between the kernel and providers."""
    text, tree = _source(interfaces)
    banners = _banners(text)
    out = [_NOTE, "# Providers\n", markdown(interfaces.__doc__) + "\n"]
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            titles = [banners.pop(n) for n in list(banners) if n < node.lineno]
            out += [f"## {title.capitalize()}\n" for title in titles]
            out += _class(node)
    return "\n".join(out)


def _class(node: ast.ClassDef) -> Iterator[str]:
    base = ast.unparse(node.bases[0]) if node.bases else ""
    kind = {"Protocol": "protocol", "NamedTuple": "record"}.get(base, "class")
    yield f"### `{node.name}` ({kind})\n"
    if kind == "record":
        yield f"```py\n{_fields(node)}\n```\n"
    elif call := _call(node):
        yield f"```py\n{call}\n```\n"
    yield f"{markdown(ast.get_docstring(node))}\n"
    if members := [_text(n) for n in node.body if isinstance(n, ast.Assign) and not _is_private(n)]:
        yield "\n".join(["```py", *members, "```\n"])
    for number, entry in enumerate(node.body):
        if _is_private(entry):
            continue
        if isinstance(entry, ast.AnnAssign) and kind != "record":
            following = node.body[number + 1] if number + 1 < len(node.body) else None
            yield f"#### `{_text(entry)}`\n" + _comment(following)
        elif isinstance(entry, ast.FunctionDef):
            is_property = any(ast.unparse(d) == "property" for d in entry.decorator_list)
            name = f"{node.name}.{entry.name}"
            head = signature(entry)
            if is_property:
                head = "@property\n" + head
            doc = markdown(ast.get_docstring(entry))
            yield f"#### `{name}`\n\n```py\n{head}\n```\n\n{doc}\n"


def _is_private(entry: ast.stmt) -> bool:
    if isinstance(entry, ast.FunctionDef):
        return entry.name.startswith("_") or "For the kernel." in (ast.get_docstring(entry) or "")
    if isinstance(entry, (ast.Assign, ast.AnnAssign)):
        return ast.unparse(entry).startswith("_")
    return False


def _call(node: ast.ClassDef) -> str:
    """Return the call that makes an object of a class which has a constructor of its own."""
    for entry in node.body:
        if isinstance(entry, ast.FunctionDef) and entry.name == "__init__":
            head = signature(entry).removeprefix("def __init__").rpartition(" -> ")[0]
            return "" if head == "()" else node.name + head
    return ""


def _fields(node: ast.ClassDef) -> str:
    """Return the fields of a record as the call that makes one."""
    fields = [_text(n) for n in node.body if isinstance(n, ast.AnnAssign)]
    short = f"{node.name}({', '.join(fields)})"
    if len(short) <= 88:
        return short
    return f"{node.name}(\n    " + ",\n    ".join(fields) + ",\n)"


def _comment(node: ast.AST | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return f"\n{markdown(str(node.value.value))}\n"
    return ""


# --- objects ------------------------------------------------------------------------------------

_TITLES = {
    "session": "Sessions",
    "definition": "Definitions",
    "run": "Requests",
    "task": "Tasks",
    "plan": "Plans and decisions",
    "records": "Records and events",
    "graph": "Graphs",
    "options": "Options and decorators",
    "settings": "Settings",
    "secret_sources": "Secrets",
    "plugins": "Loaded plugins",
    "index": "Installed plugins",
    "artifacts": "Artifacts",
}
_ELSEWHERE = ("errors", "interfaces", "flowspec", "parameters", "context")  # on other pages


def objects() -> str:
    """Return the page of what hooks and commands are given, and what they make."""
    out = [
        _NOTE,
        "# Objects\n",
        (
            "What hooks and commands are given, and what plugins make. All are in `flow_core.api`. "
            "Objects named *Draft* or *Definition* may be changed, all others are only read.\n"
        ),
    ]
    homes = _homes()
    for module in sorted(homes, key=lambda m: (list(_TITLES).index(m) if m in _TITLES else 99, m)):
        _, tree = _source(importlib.import_module(f"flow_core.{module}"))
        out.append(f"## {_TITLES.get(module, module.capitalize())}\n")
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in homes[module]:
                out += _class(node)
    return "\n".join(out)


def _homes() -> dict[str, set[str]]:
    """Return module → its classes that `flow_core.api` offers and this page describes."""
    found: dict[str, set[str]] = {}
    for name in api.__all__:
        value = getattr(api, name)
        package, _, module = getattr(value, "__module__", "").partition(".")
        if isinstance(value, type) and package == "flow_core" and module not in _ELSEWHERE:
            found.setdefault(module, set()).add(name)
    return found


# --- what flows and readers import --------------------------------------------------------------


def python() -> str:
    """Return the page of what flows are written with, and what plugins export for reading."""
    out = [
        _NOTE,
        "# Python\n",
        (
            "What flows and scripts import from `flow_core`, in full. Decorators have a "
            "[page of their own](decorators.md), and so has what [plugins](names.md) import.\n"
        ),
    ]
    own = importlib.import_module("flow_core")._OWN
    out.append("## Writing flows\n")
    for name, module in own.items():
        out += _export(module, "Current" if name == "current" else name)
    index = installed()
    for plugin in index.plugins():
        entries = [e for e in index.entry_points if e.plugin == plugin]
        exported = [e.load() for e in entries if e.group == "flow.exports"]
        if exported:
            out.append(f"## From `{entries[0].distribution}`\n")
        for value in exported:
            out += _export(value.__module__, value.__name__)
    return "\n".join(out)


def _export(module: str, name: str) -> Iterator[str]:
    """Yield the description of a class or function of a module."""
    _, tree = _source(importlib.import_module(module))
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            yield from _class(node)
        elif isinstance(node, ast.FunctionDef) and node.name == name:
            head = f"### `{name}` (function)\n\n```py\n{signature(node)}\n```\n"
            yield f"{head}\n{markdown(ast.get_docstring(node))}\n"


# --- commands -----------------------------------------------------------------------------------


class AnyFlow(FlowSpec):
    """Stands for any flow, so that commands which need one can tell their options."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""


def commands() -> str:
    """Return the page of all commands, with the help that they print."""
    index = installed()
    out = [
        _NOTE,
        "# Commands\n",
        (
            "Every command is a provider of a plugin (group `flow.commands`). A flow file is a command "
            "too: `python my_flow.py run` is `flow run my_flow.py`. The options of `flow` itself stand "
            "before the command. `run` has a further option for each parameter of the flow, and for what its decorators offer.\n"
        ),
        f"## `flow`\n\n```text\n{_help_of_flow()}\n```\n",
    ]
    for name in index.names("flow.commands"):
        entry = index.find("flow.commands", name)
        command = entry.load()
        out.append(f"## `flow {name}`\n")
        out.append(f"{command.summary} Provided by `{entry.distribution}`.\n")
        out.append(f"```text\n{_help(name, command)}\n```\n")
    return "\n".join(out)


def _help_of_flow() -> str:
    code = "from flow_core.cli import main; main(['--help'])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=_plain()
    )
    return done.stdout.strip()


def _plain() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLOW_")}
    return {**kept, "COLUMNS": "88", "NO_COLOR": "1"}


def _help(name: str, command: Any) -> str:
    flow = AnyFlow if command.needs_flow else None
    context = Context(flow, installed(), Settings({"HOME": "/nowhere"}))
    context.name = name
    built: click.Command = command.build(context)
    file = " FILE" if command.needs_flow else ""
    shell = click.Context(built, info_name=f"flow {name}{file}", terminal_width=88)
    shell.help_option_names = ["-h", "--help"]
    names = built.list_commands(shell) if isinstance(built, click.Group) else ()
    return "\n\n".join([built.get_help(shell), *(_part(shell, part) for part in sorted(names))])


def _part(shell: click.Context, name: str) -> str:
    """Return the help of one part of a command."""
    assert isinstance(shell.command, click.Group)
    command = shell.command.get_command(shell, name)
    assert command is not None
    part = click.Context(command, parent=shell, info_name=name, terminal_width=88)
    part.help_option_names = ["-h", "--help"]
    return command.get_help(part)


# --- decorators ---------------------------------------------------------------------------------


def decorators() -> str:
    """Return the page of all decorators with their options."""
    index = installed()
    out = [
        _NOTE,
        "# Decorators\n",
        (
            "A decorator of steps stands above `@step`, or comes from the command line, for every step "
            "that lacks it: `--with NAME:OPTION=VALUE,OPTION=VALUE`. A decorator of flows stands above "
            "the class, or comes from the command line in the same way ([more](../flow-decorators.md))."
            " Values are checked against the types below in both forms.\n"
        ),
    ]
    for name in index.names("flow.decorators"):
        entry = index.find("flow.decorators", name)
        decorator = entry.load()
        rows = describe_options(decorator.options)
        heads = [f"{o.name}: {o.type}{'' if o.required else f' = {o.default!r}'}" for o in rows]
        out.append(f"## `@{name}`\n\n```py\n@{name}({', '.join(heads)})\n```\n")
        kind = "flows" if isinstance(decorator, FlowDecorator) else "steps"
        provided = f"A decorator of {kind}, provided by `{entry.distribution}`."
        out.append(f"{markdown(decorator.__doc__)} {provided}\n")
        out.append("| option | type | default | meaning |\n|---|---|---|---|")
        for o in rows:
            default = "required" if o.required else f"`{o.default!r}`"
            out.append(f"| `{o.name}` | {_cell(o.type)} | {default} | {_cell(o.help)} |")
        out.append("")
    return "\n".join(out)


# --- names --------------------------------------------------------------------------------------


def names() -> str:
    """Return the page of all public names."""
    own = importlib.import_module("flow_core")._OWN
    out = [
        _NOTE,
        "# Names\n",
        (
            "All that may be imported of flow-core: `flow_core` for flows, `flow_core.api` for "
            "plugins, `flow_core.testing` for their tests. Everything else is private.\n"
        ),
        "## `flow_core`\n",
        "| name | what it is | comes from |\n|---|---|---|",
    ]
    out += [_row(name, getattr(importlib.import_module(m), name), m) for name, m in own.items()]
    index = installed()
    for group in ("flow.decorators", "flow.exports"):
        for name in index.names(group):
            entry = index.find(group, name)
            out.append(_row(name, entry.load(), entry.distribution))
    for module, homes in ((api, api._HOME), (testing, None)):
        out += ["", f"## `{module.__name__}`\n", "| name | what it is |\n|---|---|"]
        listed = [n for text in homes.values() for n in text.split()] if homes else testing.__all__
        out += [_row(name, getattr(module, name)) for name in listed]
    return "\n".join(out) + "\n"


def _row(name: str, value: Any, source: str = "") -> str:
    shown = f"{name}{_arguments(value)}" if inspect.isfunction(value) else name
    cells = [f"`{shown}`", _cell(_about(name, value))] + ([f"`{source}`"] if source else [])
    return f"| {' | '.join(cells)} |"


def _arguments(function: Any) -> str:
    """Return ``(a: int, b: str = 'x') -> C``, fit for a cell of a table."""
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(function)))
    text = re.sub(r"<[\w.]+ object at 0x\w+>", "…", text)
    # Annotations that were evaluated come with the modules of their types.
    text = re.sub(r"(?:\b\w+\.)+(\w+)", r"\1", text)
    return text.replace("|", "\\|")


_PLAIN = {
    "FORMAT": "Version of the stored formats that this flow-core writes.",
    "OK_STATES": "The states of an attempt after which the flow goes on.",
    "Buffer": "`bytes`, `bytearray` or `memoryview`.",
    "Event": "What `flow_event` gets: one of the event records.",
    "Update": "What `Compute.poll` returns: `Started`, `Output` or `Exited`.",
    "Decision": "What follows a failed attempt: `RetryAfter`, `Fallback` or `GiveUp`.",
    "JSONType": "The type of parameters that are given as JSON text.",
    "current": "Facts about the running task, as attributes.",
    "hookspec": "The mark of a hook specification, for plugins with hooks of their own.",
}


def _about(name: str, value: Any) -> str:
    return _PLAIN.get(name) or _first_sentence(value.__doc__)


# --- settings -----------------------------------------------------------------------------------


def settings() -> str:
    """Return the table of all settings."""
    session = Session(None, settings=Settings({"HOME": "/nowhere"}, "/"))
    session.load_hooks(session.index.names("flow.decorator_hooks"))
    assert session.plugins
    out = ["| setting | variable | type | default | meaning |\n|---|---|---|---|---|"]
    for one in session.settings.declared():
        kind = " or ".join(f"`{c}`" for c in one.choices) or f"`{one.type.__name__}`"
        # The number of processors would make the page another one on another machine.
        default = "processors" if one.name == "max_workers" else f"`{one.default!r}`"
        out.append(
            f"| `{one.name}` | `FLOW_{one.name.upper()}` | {kind} | {default} | {_cell(one.help)} |"
        )
    return "\n".join(out) + "\n"


# --- writing ------------------------------------------------------------------------------------


def _between(page: str, make: Callable[[], str]) -> Callable[[], str]:
    """Return a maker of a page that is written by hand but for what stands between the marks."""

    def content() -> str:
        before, _, rest = (DOCS / page).read_text(encoding="utf-8").partition(_BEGIN)
        _, _, after = rest.partition(_END)
        return before + _BEGIN + "\n" + make() + "\n" + _END + after

    return content


PAGES: dict[str, Callable[[], str]] = {
    "reference/hooks.md": hooks,
    "reference/providers.md": providers,
    "reference/objects.md": objects,
    "reference/python.md": python,
    "reference/commands.md": commands,
    "reference/decorators.md": decorators,
    "reference/names.md": names,
    "settings.md": _between("settings.md", settings),
}


def stale() -> dict[str, str]:
    """Return the pages that are out of date, with what they should be."""
    found = {}
    for name, make in PAGES.items():
        path = DOCS / name
        content = textwrap.dedent(make()).rstrip() + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            found[name] = content
    return found


def main() -> int:
    """Write the pages that are out of date, or only name them."""
    found = stale()
    for name, content in found.items():
        sys.stdout.write(f"{name}\n")
        if "--check" not in sys.argv:
            (DOCS / name).parent.mkdir(exist_ok=True)
            (DOCS / name).write_text(content, encoding="utf-8")
    return 1 if found and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())

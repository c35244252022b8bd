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
from collections.abc import Callable
from typing import Any

import click
import kinds
import shipped
from rendering import (
    DOCS,
    NOTE,
    banners_of,
    between,
    cell,
    describe,
    describe_class,
    first_sentence,
    markdown,
    signature,
    source_of,
)

from flow_core import FlowSpec, api, hookspecs, step, testing
from flow_core.api import (
    FlowDecorator,
    OptionInfo,
    Session,
    Settings,
    describe_options,
    installed,
)
from flow_core.cli import Context
from flow_core.settings import Setting

# --- hooks --------------------------------------------------------------------------------------


def hooks() -> str:
    """Return the page of all hooks."""
    text, tree = source_of(hookspecs)
    banners = banners_of(text)
    out = [NOTE, "# Hooks\n", markdown(hookspecs.__doc__) + "\n"]
    out.append(_mark_of_hookimpl(tree))
    for node in kinds.hook_functions(tree):
        out += [f"## {banners.pop(n)}\n" for n in list(banners) if n < node.lineno]
        out.append(f"### `{node.name}`\n\n```py\n{signature(node)}\n```\n")
        if nature := kinds.nature_of(node.name):
            out.append(f"*{nature}.*\n")
        out.append(markdown(ast.get_docstring(node)) + "\n")
    return "\n".join(out)


def _mark_of_hookimpl(tree: ast.Module) -> str:
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "hookimpl"]
    body = markdown(ast.get_docstring(found[-1]))
    head = signature(found[1])
    return f"## The mark\n\n### `hookimpl`\n\n```py\n{head}\n```\n\n{body}\n"


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
    "hook_calls": "Declared hooks",
    "hook_order": "The order of hooks",
    "index": "Installed plugins",
    "artifacts": "Artifacts",
}
_ELSEWHERE = ("errors", "interfaces", "flowspec", "parameters", "context")  # on other pages


def objects() -> str:
    """Return the page of what hooks and commands are given, and what they make."""
    out = [
        NOTE,
        "# Objects\n",
        (
            "What hooks and commands are given, and what plugins make. All are in `flow_core.api`. "
            "Objects named *Draft* or *Definition* may be changed, all others are only read.\n"
        ),
    ]
    homes = _homes()
    for module in sorted(homes, key=lambda m: (list(_TITLES).index(m) if m in _TITLES else 99, m)):
        _, tree = source_of(importlib.import_module(f"flow_core.{module}"))
        out.append(f"## {_TITLES.get(module, module.capitalize())}\n")
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in homes[module]:
                out += describe_class(node)
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
        NOTE,
        "# Python\n",
        (
            "What flows and scripts import from `flow_core`, in full. Decorators have a "
            "[page of their own](decorators.md), and so has what [plugins](names.md) import.\n"
        ),
    ]
    own = importlib.import_module("flow_core")._OWN
    out.append("## Writing flows\n")
    for name, module in own.items():
        out += describe(importlib.import_module(module), "Current" if name == "current" else name)
    index = installed()
    for plugin in index.plugins():
        entries = [e for e in index.entry_points if e.plugin == plugin]
        exported = [e.load() for e in entries if e.group == "flow.exports"]
        if exported:
            out.append(f"## From `{entries[0].distribution}`\n")
        for value in exported:
            out += describe(importlib.import_module(value.__module__), value.__name__)
    return "\n".join(out)


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
        NOTE,
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
        out.append(f"```text\n{_help(name)}\n```\n")
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


def built(name: str) -> click.Context:
    """Return a command of a plugin, as it is for any flow, in the context of its help."""
    command = installed().load("flow.commands", name)
    context = Context(
        AnyFlow if command.needs_flow else None, installed(), Settings({"HOME": "/nowhere"})
    )
    context.name = name
    file = " FILE" if command.needs_flow else ""
    shell = click.Context(command.build(context), info_name=f"flow {name}{file}", terminal_width=88)
    shell.help_option_names = ["-h", "--help"]
    return shell


def _help(name: str) -> str:
    shell = built(name)
    parts = shell.command.list_commands(shell) if isinstance(shell.command, click.Group) else ()
    return "\n\n".join([shell.get_help(), *(_part(shell, part) for part in sorted(parts))])


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
        NOTE,
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
        out += [f"### `{_option(name, o)}`\n\n{markdown(o.help)}\n" for o in rows]
    return "\n".join(out)


def _option(decorator: str, option: OptionInfo) -> str:
    default = "" if option.required else f" = {option.default!r}"
    return f"@{decorator}({option.name}: {option.type}{default})"


# --- names --------------------------------------------------------------------------------------


def names() -> str:
    """Return the page of all public names."""
    own = importlib.import_module("flow_core")._OWN
    out = [
        NOTE,
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
    cells = [f"`{shown}`", cell(_about(name, value))] + ([f"`{source}`"] if source else [])
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
    return _PLAIN.get(name) or first_sentence(value.__doc__)


# --- settings -----------------------------------------------------------------------------------


def settings() -> str:
    """Return the table of all settings."""
    out = ["| setting | variable | type | default | meaning |\n|---|---|---|---|---|"]
    for one in _declared():
        kind = " or ".join(f"`{c}`" for c in one.choices) or f"`{one.type.__name__}`"
        link = f"[`{one.name}`](reference/settings.md#{_anchor(one)})"
        out.append(
            f"| {link} | `FLOW_{one.name.upper()}` | {kind} | {_default(one)} | {cell(one.help)} |"
        )
    return "\n".join(out) + "\n"


def settings_one_by_one() -> str:
    """Return the page with a section for each setting."""
    owners = _owners()
    out = [
        NOTE,
        "# Settings\n",
        (
            "Each setting is a variable of the environment, a line of `[tool.flow]` in a project's "
            "`pyproject.toml`, or of a person's `config.toml`; how they come together is told "
            "[elsewhere](../settings.md).\n"
        ),
    ]
    for one in _declared():
        values = f" One of: {', '.join(f'`{c}`' for c in one.choices)}." if one.choices else ""
        least = "" if one.minimum is None else f" At least {one.minimum:g}."
        out.append(f"## `{_head(one)}`\n")
        out.append(f"{one.help}{values}{least}\n")
        out.append(
            f"Variable `FLOW_{one.name.upper()}`. Declared by {owners.get(one.name, OURS)}.\n"
        )
    return "\n".join(out)


OURS = "flow-core itself"


def _head(setting: Setting) -> str:
    return f"{setting.name}: {setting.type.__name__} = {_default(setting).strip('`')}"


def _default(setting: Setting) -> str:
    # The number of processors would make the page another one on another machine.
    return "processors" if setting.name == "max_workers" else f"`{setting.default!r}`"


def _anchor(setting: Setting) -> str:
    """Return the end of the link to a setting's heading."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", _head(setting)).strip().lower())


def _session() -> Session:
    """Return a session with all plugins, and without anybody's settings."""
    session = Session(None, settings=Settings({"HOME": "/nowhere"}, "/"))
    session.load_hooks(session.index.names("flow.decorator_hooks"))
    assert session.plugins
    return session


def _declared() -> list[Setting]:
    return _session().settings.declared()


def _owners() -> dict[str, str]:
    """Return setting → the distribution whose plugin declares it."""
    found: dict[str, str] = {}
    manager = _session().plugins.manager
    for name, plugin in manager.list_name_plugin():
        if declare := getattr(plugin, "flow_settings", None):
            settings = Settings({"HOME": "/nowhere"}, "/")
            known = {one.name for one in settings.declared()}
            declare(settings=settings)
            new = [one.name for one in settings.declared() if one.name not in known]
            found.update(dict.fromkeys(new, f"`flow-{manager.installed[name]}`"))
    return found


# --- writing ------------------------------------------------------------------------------------


PAGES: dict[str, Callable[[], str]] = {
    "reference/hooks.md": hooks,
    "reference/providers.md": kinds.providers,
    "reference/objects.md": objects,
    "reference/python.md": python,
    "reference/commands.md": commands,
    "reference/decorators.md": decorators,
    "reference/names.md": names,
    "reference/settings.md": settings_one_by_one,
    "settings.md": between("settings.md", settings),
    "plugins/ready-made.md": between("plugins/ready-made.md", shipped.tables),
    **kinds.pages(),
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

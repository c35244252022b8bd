"""``flow plugins hooks``: who implements each hook, in which order, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from flow_core.api import (
    CommandContext,
    HookInfo,
    NotFound,
    Place,
    Session,
    did_you_mean,
    load_flow,
)
from flow_plugins.command import json_option
from flow_plugins.reports import decorators_of, load_all_hooks
from flow_plugins.texts import columns, error_lines

_KERNEL = "KernelHooks"


class Line(NamedTuple):
    """One implementation of a hook.

    Attributes:
        place: where it stands, and why.
        decorators: it is loaded only for flows with one of these; () = always.
    """

    place: Place
    decorators: tuple[str, ...]

    @property
    def plugin(self) -> str:
        """The plugin's name, for people."""
        return "flow-core" if self.place.plugin == _KERNEL else self.place.plugin

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        place = self.place._asdict()
        return {**place, "plugin": self.plugin, "decorators": list(self.decorators)}


class Chain(NamedTuple):
    """One hook with its implementations in call order.

    Attributes:
        info: its declaration.
        process: where it is called, ``""`` when the declaration does not say.
        lines: the implementations.
    """

    info: HookInfo
    process: str
    lines: tuple[Line, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON data."""
        own = self.info
        return {
            "name": own.name,
            "arguments": list(own.arguments),
            "process": self.process,
            "first_result": own.first_result,
            "historic": own.historic,
            "observer": own.observer,
            "returns": returns(own),
            "budget": own.budget,
            "doc": own.doc,
            "implementations": [line.to_json() for line in self.lines],
        }


def command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def hooks(hook: str | None, flow: str | None, as_json: bool) -> None:
        session = context.session()
        if flow is not None:
            session = session.with_flow(load_flow(flow))
        try:
            _load(session)
            found = chains(session)
            chosen = found if hook is None else [find(found, hook)]
            if as_json:
                context.echo(json.dumps([chain.to_json() for chain in chosen], indent=2))
                return
            for line in lines(session, chosen) if hook is None else details(session, chosen[0]):
                context.echo(line)
        finally:
            if flow is not None:
                session.close()

    return click.Command(
        "hooks",
        callback=hooks,
        params=[
            click.Argument(["hook"], required=False),
            click.Option(["--flow"], metavar="FILE", help="Only what is loaded for this flow."),
            json_option(),
        ],
        help="List the hooks in the order of a session's life, each with the plugins that implement "
        "it, in the order in which they are called, and why in that order. With HOOK, tell all about "
        "one. Hooks of decorators count as if a flow carried all that are installed; --flow "
        "counts those of one flow.",
    )


def _load(session: Session) -> None:
    """Load the hooks of all decorators, or those of the session's flow."""
    if session.flow is None:
        load_all_hooks(session)
    else:
        _ = session.definition  # plugins may have attached more decorators to it


def chains(session: Session) -> list[Chain]:
    """Return all hooks with their implementations, in the order of a session's life."""
    manager = session.plugins.manager
    docs = {info.name: info.doc for info in manager.hooks()}
    return [
        Chain(
            info,
            _process(info.name, docs),
            tuple(
                Line(place, decorators_of(session, place.plugin))
                for place in manager.places(info.name)
            ),
        )
        for info in manager.hooks()
    ]


def find(found: Sequence[Chain], name: str) -> Chain:
    """Return one hook, by its name with or without ``flow_``.

    Raises:
        NotFound: there is no such hook.
    """
    known = {chain.info.name: chain for chain in found}
    for text in (name, f"flow_{name}"):
        if text in known:
            return known[text]
    close = did_you_mean(name if name.startswith("flow_") else f"flow_{name}", known)
    raise NotFound(f"There is no hook '{name}'", hint=close)


# --- for people ---------------------------------------------------------------------------------


def lines(session: Session, found: Sequence[Chain]) -> Iterator[str]:
    """Yield each hook with its implementations, then those that nobody implements."""
    for chain in found:
        if chain.lines:
            yield from _chain(chain)
            yield ""
    nobody = [chain.info.name for chain in found if not chain.lines]
    if nobody:
        yield f"Nobody implements {', '.join(nobody)}."
        yield "Plugins may add listeners while a command runs: FLOW_TRACE_HOOKS=1 tells of them."
    yield from _broken(session)


def details(session: Session, chain: Chain) -> Iterator[str]:
    """Yield all that is known of one hook."""
    own = chain.info
    yield click.style(f"{own.name}({', '.join(own.arguments)})", bold=True)
    yield ""
    yield from (f"  {line}".rstrip() for line in own.doc.splitlines())
    yield ""
    yield from columns([(f"  {label}", text) for label, text in _facts(chain)])
    yield ""
    if not chain.lines:
        yield "Nobody implements it."
    for number, line in enumerate(chain.lines, 1):
        yield f"{number:>4}  {_implementation(line)}"
        if line.place.where:
            yield click.style(f"      {line.place.where}", dim=True)
    yield from _broken(session)


def _broken(session: Session) -> Iterator[str]:
    """Tell of plugins whose hooks are missing above."""
    told = {str(error): error for error in session.plugins.broken.values()}  # a ring is one error
    for error in told.values():
        yield ""
        yield from error_lines(error)


def _chain(chain: Chain) -> Iterator[str]:
    own = chain.info
    where = {"": "", "any": "in any process", "task": "in the task"}
    place = where.get(chain.process, f"in the {chain.process}")
    notes = [note for note in (place, _result(own), _budget(own.budget)) if note]
    yield click.style(own.name, bold=True) + click.style(f"  {'; '.join(notes)}", dim=True)
    rows = [_cells(own, number, line) for number, line in enumerate(chain.lines, 1)]
    yield from columns(rows)


def _cells(own: HookInfo, number: int, line: Line) -> tuple[str, str, str]:
    return f"{number:>4}  {line.plugin}", line.place.reason, "; ".join(_notes(own, line))


def _notes(own: HookInfo, line: Line) -> list[str]:
    notes = []
    if line.decorators:
        notes.append("with " + " or ".join(f"@{name}" for name in line.decorators))
    if line.place.budget != own.budget:
        notes.append(_budget(line.place.budget) or "any time")
    return notes


def _implementation(line: Line) -> str:
    only = f"  with {' or '.join('@' + n for n in line.decorators)}" if line.decorators else ""
    return f"{click.style(line.plugin, bold=True)}  {line.place.reason}{only}"


def _facts(chain: Chain) -> list[tuple[str, str]]:
    own = chain.info
    failing = "is put aside, and the run goes on" if own.observer else "ends what is going on"
    return [
        ("process", chain.process or "any"),
        ("returns", returns(own)),
        *([] if chain.process == "task" else [("who fails", failing)]),
        ("budget", _budget(own.budget) or "none"),
        *([("called for", "plugins that come later, too")] if own.historic else []),
    ]


def _process(hook: str, docs: Mapping[str, str]) -> str:
    """Return in which process a hook is called, as its declaration says."""
    told = re.search(
        r"Process:\s+(any|launcher(?:, and each task)?|task|as `(\w+)`)", docs.get(hook, "")
    )
    if told and told[2] and told[2] != hook:
        return _process(told[2], docs)
    return told[1] if told else ""


def returns(own: HookInfo) -> str:
    """Return what becomes of the results of a hook, for people."""
    if own.returns is None:
        return "the first result counts" if own.first_result else "nothing that is used"
    return f"{own.returns}; the first result counts" if own.first_result else str(own.returns)


def _result(own: HookInfo) -> str:
    if own.observer:
        return "observers"
    return returns(own) if own.returns is not None or own.first_result else ""


def _budget(seconds: float | None) -> str:
    return "" if seconds is None else f"within {seconds:g} s"

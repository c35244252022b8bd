"""Checks of entry points: that each loads, and is what its group asks for."""

from __future__ import annotations

import difflib
import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from flow_core import step
from flow_core.api import (
    GROUPS,
    Command,
    CommandContext,
    Compute,
    ComputeCapabilities,
    Decorator,
    EntryPoint,
    Environment,
    FlowSpec,
    GangCompute,
    Metadata,
    PluginError,
    SecretsProvider,
    Serializer,
    Session,
    Store,
    StoreCapabilities,
)
from flow_plugins.checking.findings import FAIL, OK, Finding, of_error
from flow_plugins.checking.options import option_findings
from flow_plugins.checking.protocols import makes, misfits
from flow_plugins.inventory import HOOK_MODULES, Item
from flow_plugins.texts import kind

_ALIKE = 0.9
"""How much the name of a group must be like a known one to count as mistyped."""


_LATER = object()
"""Stands for an attribute that only instances have."""


class AnyFlow(FlowSpec):
    """Stands for any flow, so that commands which need one can be made."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""


def provider_findings(session: Session, item: Item) -> Iterator[Finding]:
    """Check all that a plugin provides, besides hooks."""
    sound = []
    for entry in item.entry_points:
        if entry.group in HOOK_MODULES:
            continue
        findings = list(_entry(session, entry))
        yield from findings
        if not any(f.check == "provides" and f.status != OK for f in findings):
            sound.append(f"{kind(entry.group)} {entry.name}")
    if sound:
        yield Finding("provides", OK, ", ".join(sound))


def _entry(session: Session, entry: EntryPoint) -> Iterator[Finding]:
    yield from _mistyped_group(entry)
    try:
        loaded = entry.load()
    except PluginError as error:
        yield of_error("provides", error)
        return
    if isinstance(loaded, Decorator):
        yield from option_findings(entry, loaded)
        return
    check = _CHECKS.get(entry.group)
    wrong = list(check(session, entry, loaded)) if check is not None else []
    if wrong:
        yield Finding(
            "provides",
            FAIL,
            f"The {kind(entry.group)} '{entry.name}' is not what its group asks for",
            _place(entry, loaded),
            "\n".join(wrong),
            f"the contract: {_CONTRACTS[entry.group]}",
        )


def _mistyped_group(entry: EntryPoint) -> Iterator[Finding]:
    known = {*GROUPS, *_CHECKS}
    if entry.group in known:
        return
    close = difflib.get_close_matches(entry.group, known, 1, _ALIKE)
    if close:
        yield Finding(
            "provides",
            FAIL,
            f"The group '{entry.group}' of '{entry.name}' is read by nobody",
            f"{entry.group}: {entry.name} = {entry.value}",
            hint=f"did you mean '{close[0]}'?",
        )


def _place(entry: EntryPoint, loaded: Any) -> str:
    try:
        file = inspect.getsourcefile(loaded)
        return f"{file}:{inspect.getsourcelines(loaded)[1]}" if file else entry.value
    except (TypeError, OSError):  # an instance; no source
        return entry.value


# --- the groups ---------------------------------------------------------------------------------


def _store(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from _provider(loaded, Store, StoreCapabilities, None)


def _url_store(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from _provider(loaded, Store, StoreCapabilities, "scheme://place")


def _metadata(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from _provider(loaded, Metadata, None, None)


def _compute(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    capabilities = getattr(loaded, "capabilities", None)
    protocol = GangCompute if getattr(capabilities, "gang", False) is True else Compute
    yield from _provider(loaded, protocol, ComputeCapabilities)


def _environment(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    made = _made_by(loaded)
    if made is not None:
        yield from misfits(made, Environment)


def _serializer(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from misfits(loaded if isinstance(loaded, type) else type(loaded), Serializer)
    if isinstance(loaded, type) and (why := makes(loaded)):
        yield why
    tag = getattr(loaded, "tag", entry.name)
    if isinstance(tag, str) and tag != entry.name:
        yield f"its tag is '{tag}', so that what it writes could not be read"


def _secrets(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from _provider(loaded, SecretsProvider, None, session.settings)


def _card(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from _function(loaded, "task")


def _provider(
    loaded: Any, protocol: type, capabilities: type | None, *arguments: object
) -> Iterator[str]:
    """Yield what is wrong with a provider that is made with ``arguments``."""
    if not callable(loaded):
        yield f"it is no class, but {type(loaded).__name__}"
        return
    if why := makes(loaded, *arguments):
        yield why
    made = _made_by(loaded)
    if made is None:
        return
    yield from misfits(made, protocol)
    stated = inspect.getattr_static(made, "capabilities", _LATER)
    by_instance = stated is _LATER or hasattr(stated, "__get__")
    if capabilities is not None and not by_instance and not isinstance(stated, capabilities):
        yield f"its capabilities are no {capabilities.__name__}"


def _made_by(loaded: Any) -> type | None:
    """Return the class of what a provider makes; None where a function does not say."""
    if isinstance(loaded, type):
        return loaded
    try:
        made = typing.get_type_hints(loaded).get("return")
    except Exception:  # whatever evaluating annotations raises: names that only type checkers know
        return None
    # A Protocol as the declared result says nothing on what comes.
    told = isinstance(made, type) and made not in (Any, object)
    return made if told and not getattr(made, "_is_protocol", False) else None


def _parser(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from _function(loaded, "text")


def _leftovers(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from _function(loaded, "store", "gone")


def _diagnosis(session: Session, entry: EntryPoint, loaded: Any) -> Iterator[str]:
    yield from _function(loaded, "session")


def _function(loaded: Any, *arguments: str) -> Iterator[str]:
    if not callable(loaded):
        yield f"it is no function, but {type(loaded).__name__}"
    elif why := makes(loaded, *arguments):
        yield why


class _Context:
    """What a command gets, for commands that are made only to be looked at."""

    def __init__(self, session: Session, name: str, flow: Any) -> None:
        self.flow = flow
        self.name = name
        self.arguments: Sequence[str] = ()
        self._session = session if flow is None else session.with_flow(flow)

    def session(self) -> Session:
        """Return the session."""
        return self._session

    def echo(self, text: str = "", *, error: bool = False) -> None:
        """Write a line, as other commands do."""
        click.echo(text, err=error)


def _command(session: Session, entry: EntryPoint, loaded: Command) -> Iterator[str]:
    context: CommandContext = _Context(session, entry.name, AnyFlow if loaded.needs_flow else None)
    try:
        made = loaded.build(context)
        text = made.get_help(click.Context(made, info_name=entry.name))
    except Exception as error:  # whatever a plugin may raise
        yield f"it cannot be made: {type(error).__name__}: {error}"
        return
    if not isinstance(made, click.Command):
        yield f"it makes no click command, but {type(made).__name__}"
    elif not made.help or not text:
        yield "it has no help text"


_Check = Callable[[Session, EntryPoint, Any], Iterator[str]]
_CHECKS: dict[str, _Check] = {
    "flow.cards": _card,
    "flow.commands": _command,
    "flow.computes": _compute,
    "flow.diagnoses": _diagnosis,
    "flow.environments": _environment,
    "flow.leftovers": _leftovers,
    "flow.metadata": _metadata,
    "flow.parsers": _parser,
    "flow.run_cards": _card,
    "flow.secrets": _secrets,
    "flow.serializers": _serializer,
    "flow.stores": _store,
    "flow.url_stores": _url_store,
}
_CONTRACTS = {
    "flow.cards": "a function (task) that returns or yields components, see flow_cards.CardType",
    "flow.commands": "flow_core.api.Command, which builds a click command with a help text",
    "flow.computes": "flow_core.api.Compute, made without arguments",
    "flow.diagnoses": "a function (session) that yields flow_core.api.Diagnosis",
    "flow.environments": "flow_core.api.Environment",
    "flow.leftovers": "a function (store, gone) that yields objects of the store",
    "flow.metadata": "flow_core.api.Metadata, made with the place behind name:// or None",
    "flow.parsers": "a function that makes a value of a text",
    "flow.run_cards": "a function (run) that returns or yields components, see flow_cards.RunCardType",
    "flow.secrets": "flow_core.api.SecretsProvider, made with the settings",
    "flow.serializers": "flow_core.api.Serializer, whose tag is the name of the entry point",
    "flow.stores": "flow_core.api.Store, made with the place behind name:// or None",
    "flow.url_stores": "flow_core.api.Store, made with a URL",
}

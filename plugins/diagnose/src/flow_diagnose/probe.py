"""The program of a probe: ``python -m flow_diagnose.probe WHAT``, see `flow_diagnose.probes`.

It is given, as JSON on standard input, what the session of the command is, and rebuilds it: so it
sees what a task would see.
"""

from __future__ import annotations

import difflib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from flow_core.api import (
    Diagnosis,
    FlowError,
    PluginError,
    RunState,
    Session,
    Settings,
    SettingsError,
    command_line,
    index_lacks,
    load_flow,
    seems_lost,
)
from flow_diagnose.machine import space

_ALIKE = 0.85
"""How much a variable's name must be like that of a setting to count as mistyped."""

_OTHERS = ("FLOW_RUN_", "FLOW_PROFILE", "FLOW_CONFIG")
"""Variables that are no settings: values of options and parameters, and the profile."""

_MANY = 10  # runs that are named


def main() -> None:
    """Find out what is asked for, and tell it line by line."""
    given = json.load(sys.stdin)
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what plugins print is not for the command

    def tell(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    what = sys.argv[1]
    tell({"begin": what})
    try:
        session = _session(given)
        for found in _PROBES[what](session, given, tell):
            tell({"line": list(found)})
    except FlowError as error:
        tell({"line": list(of_error(what, error))})
    except Exception as error:  # of a plugin: its name is in the traceback alone
        text = f"{type(error).__name__}: {error}"
        tell({"line": list(Diagnosis(what, "fail", "it failed", text, "FLOW_DEBUG=1"))})
    tell({"end": True})


def of_error(subject: str, error: FlowError, status: str = "fail") -> Diagnosis:
    """Return an error as a line: its cause and place behind what failed."""
    why = "\n".join(filter(None, (error.why, error.where)))
    return Diagnosis(subject, status, error.what, why, error.hint or "")


def _session(given: dict[str, Any]) -> Session:
    document = given["document"]
    sys.path[:] = dict.fromkeys([*document["path"], *sys.path])
    settings = Settings()
    for name, (value, source) in given["overrides"].items():
        settings.override(name, value, source)
    flow = load_flow(given["flow"]) if given["flow"] else None
    return Session(
        flow, settings=settings, plugins=document["plugins"], decorators=document["decorators"]
    )


Tell = Callable[[dict[str, Any]], None]

# --- plugins and settings -----------------------------------------------------------------------


def _plugins(session: Session, given: dict[str, Any], tell: Tell) -> Iterator[Diagnosis]:
    broken = [*dict.fromkeys(map(str, session.plugins.broken.values()))]
    told = {str(error): error for error in session.plugins.broken.values()}
    for text in broken:
        yield of_error("plugins", told[text])
    yield from _clashes(session)
    unfit = [line for line in _unfit(session) if line.text not in {e.what for e in told.values()}]
    yield from unfit
    try:
        session.index.require(*session.settings.lookup("required_plugins"))
    except PluginError as error:
        yield of_error("plugins", error)
    if not broken and not unfit:
        yield Diagnosis("plugins", "ok", f"{len(session.index.plugins())} are installed and load")
    tell({"begin": "settings"})
    yield from _settings(session, tell)


def _clashes(session: Session) -> Iterator[Diagnosis]:
    groups = {entry.group for entry in session.index.entry_points}
    for group in sorted(groups):
        for name, entries in session.index.group(group).items():
            if len(entries) > 1:
                try:
                    session.index.find(group, name)
                except PluginError as error:
                    yield of_error("plugins", error, "warn")


def _unfit(session: Session) -> Iterator[Diagnosis]:
    """Yield a line for each distribution that was made for another flow-core: who uses what it
    provides is refused, all others may run."""
    for entry in {e.distribution: e for e in session.index.entry_points if e.distribution}.values():
        try:
            entry.check_core()
        except PluginError as error:
            yield of_error("plugins", error, "warn")


def _settings(session: Session, tell: Tell) -> Iterator[Diagnosis]:
    settings = session.settings
    data = []
    for declared in settings.declared():
        try:
            value, source = settings.shown(declared.name), settings.lookup(declared.name)[1]
        except SettingsError as error:
            yield of_error("settings", error)
            continue
        data.append({"name": declared.name, "value": value, "source": source})
        if source != "default":
            yield Diagnosis("settings", "ok", f"{declared.name} = {value}, from {source}")
    tell({"data": {"settings": data}})
    yield from _mistyped(settings)
    if all(setting["source"] == "default" for setting in data):
        yield Diagnosis("settings", "ok", "all have their defaults")


def _mistyped(settings: Settings) -> Iterator[Diagnosis]:
    try:
        settings.check_names()
    except SettingsError as error:
        yield of_error("settings", error)
    known = [f"FLOW_{declared.name.upper()}" for declared in settings.declared()]
    for variable in sorted(settings.script_environment()):
        if variable in known or not variable.startswith("FLOW_") or variable.startswith(_OTHERS):
            continue
        close = difflib.get_close_matches(variable, known, 1, _ALIKE)
        if close:
            yield Diagnosis(
                "settings",
                "warn",
                f"{variable} is no setting, and without effect",
                hint=f"did you mean {close[0]}?",
            )


# --- store and index ----------------------------------------------------------------------------


def _store(session: Session, given: dict[str, Any], tell: Tell) -> Iterator[Diagnosis]:
    began = time.monotonic()
    store = session.store
    store.folders("runs/")
    took = (time.monotonic() - began) * 1000
    yield Diagnosis("store", "ok", f"{_shown(session, 'datastore', store.url)}, {took:.0f} ms")
    path = store.local_path("runs/doctor")
    if path is not None:
        yield from _writable(path)
        yield space(path, "the store")
    if given["write"]:
        tell({"begin": "store"})
        yield _write(session)


def _shown(session: Session, setting: str, url: str) -> str:
    """Return an URL without its password, with who chose it."""
    source = session.settings.lookup(setting)[1]
    name, colon, rest = url.partition("://")
    account, at, host = rest.partition("@")
    if at and ":" in account and "/" not in account:
        url = f"{name}{colon}{account.partition(':')[0]}:***@{host}"
    return url if source == "default" else f"{url} (from {source})"


def _writable(path: str) -> Iterator[Diagnosis]:
    place = os.path.dirname(path)
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    if not os.access(place, os.W_OK):
        yield Diagnosis(
            "store",
            "fail",
            f"you may not write in {place}",
            hint=f"chown or chmod that folder, or choose another: --datastore local://PLACE ({place})",
        )


def _write(session: Session) -> Diagnosis:
    import uuid

    key, content = f"doctor/{uuid.uuid4().hex}", b"written by flow doctor"
    began = time.monotonic()
    session.store.write([(key, content)])
    try:
        again = next(iter(session.store.read([key])))
    finally:
        session.store.delete([key])
    took = (time.monotonic() - began) * 1000
    if again is None or bytes(again) != content:
        return Diagnosis("store", "fail", "what was written is not what is read", key)
    return Diagnosis("store", "ok", f"an object was written, read and deleted in {took:.0f} ms")


def _index(session: Session, given: dict[str, Any], tell: Tell) -> Iterator[Diagnosis]:
    began = time.monotonic()
    metadata = session.metadata
    flows = metadata.flows()
    took = (time.monotonic() - began) * 1000
    count = f"{len(flows)} flow{'s' * (len(flows) != 1)}"
    url = _shown(session, "metadata", metadata.url)
    yield Diagnosis("index", "ok", f"{url}, {count}, {took:.0f} ms")
    tell({"begin": "runs"})
    yield from _lost(session, flows)
    if not flows:
        tell({"begin": "index"})
        if index_lacks(metadata, session.store, ""):
            hint = command_line(session, "reindex")
            yield Diagnosis("index", "warn", "it knows no run, but the store has some", hint=hint)


def _lost(session: Session, flows: list[str]) -> Iterator[Diagnosis]:
    states = (RunState.CREATED, RunState.RUNNING)
    lost = [
        run
        for flow in flows
        for run in session.metadata.runs(flow, states=states)
        if seems_lost(run)
    ]
    for run in lost[:_MANY]:
        where = f"process {run.pid} on {run.host}" if run.pid else "the launcher"
        yield Diagnosis(
            "runs",
            "warn",
            f"{run.pathspec} has not ended, but its launcher is gone",
            f"{where} gives no sign of life",
            f"go on with it: flow resume FILE --origin-run-id {run.run}",
        )
    if len(lost) > _MANY:
        yield Diagnosis("runs", "warn", f"and {len(lost) - _MANY} more", hint="flow runs")
    if not lost:
        yield Diagnosis("runs", "ok", "none whose launcher is gone")


# --- what plugins add ---------------------------------------------------------------------------


def _others(session: Session, given: dict[str, Any], tell: Tell) -> Iterator[Diagnosis]:
    compute: str = session.settings["compute"]
    tell({"begin": "compute"})
    session.index.load("flow.computes", compute)
    yield Diagnosis("compute", "ok", f"steps that name none run on '{compute}'")
    for name in session.index.names("flow.diagnoses"):
        tell({"begin": name})
        try:
            yield from session.index.load("flow.diagnoses", name)(session)
        except FlowError as error:
            yield of_error(name, error)


_Probe = Callable[[Session, dict[str, Any], Tell], Iterator[Diagnosis]]
_PROBES: dict[str, _Probe] = {
    "plugins": _plugins,
    "store": _store,
    "index": _index,
    "others": _others,
}

if __name__ == "__main__":
    main()

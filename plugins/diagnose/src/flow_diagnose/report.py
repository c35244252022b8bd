"""What the doctor finds, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import click

from flow_core.api import Diagnosis, Session
from flow_diagnose import machine
from flow_diagnose.probes import run_probes

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}
_PROBES = ("plugins", "store", "index", "others")


class Found(NamedTuple):
    """All that was found.

    Attributes:
        lines: in order.
        data: facts for programs, by name.
    """

    lines: tuple[Diagnosis, ...]
    data: Mapping[str, Any]

    @property
    def status(self) -> str:
        """The worst status of all lines."""
        there = {line.status for line in self.lines}
        return next((status for status in ("fail", "warn") if status in there), "ok")


def examine(session: Session, flow: str | None, write: bool, limit: float) -> Found:
    """Look at everything.

    Args:
        session: that of the command; its plugins are not loaded here.
        flow: a file whose flow is loaded where forking is judged.
        write: whether to write to the store.
        limit: seconds that each thing may take.
    """
    overrides = {name: session.settings.lookup(name) for name in session.settings.overrides()}
    given: dict[str, Any] = {
        "document": session.document_of(flow or "", ""),
        "overrides": overrides,
        "write": write,
        "flow": None,
    }
    asked = {name: {**given, "flow": flow if name == "others" else None} for name in _PROBES}
    lines = [*machine.interpreter(), *machine.versions(), machine.temporary_space()]
    data: dict[str, Any] = {}
    for outcome in run_probes(asked, limit).values():
        lines += outcome.lines
        data.update(outcome.data)
    return Found(tuple(_once(lines)), data)


def _once(lines: Sequence[Diagnosis]) -> Iterator[Diagnosis]:
    """Yield the lines; an index that follows its store does not repeat what is wrong with that."""
    causes = {line.why for line in lines if line.subject == "store" and line.status == "fail"}
    for line in lines:
        if line.subject == "index" and line.status == "fail" and line.why and line.why in causes:
            yield Diagnosis("index", "warn", "not looked at: it follows the store, which fails")
        else:
            yield line


def json_lines(found: Found) -> Iterator[str]:
    """Yield all of it as JSON."""
    rows = [line._asdict() for line in found.lines]
    yield json.dumps({"status": found.status, "lines": rows, **found.data}, indent=2)


def lines(found: Found, show_all: bool) -> Iterator[str]:
    """Yield a line for each finding, with what to type, and a sum."""
    column = max(len(line.subject) for line in found.lines)
    for line in found.lines:
        status = click.style(line.status.ljust(4), fg=_COLOURS.get(line.status))
        yield f"{status}  {line.subject:<{column}}  {line.text}"
        for label, text in (("why", line.why), ("try", line.hint)):
            for number, part in enumerate(text.splitlines()):
                head = click.style(f"{label}:".ljust(5), dim=True) if not number else " " * 5
                yield " " * (column + 8) + f"{head}{part}"
    if show_all:
        yield ""
        yield from _all_settings(found)
    yield ""
    yield _sum(found)


def _all_settings(found: Found) -> Iterator[str]:
    settings = found.data.get("settings", ())
    names = max((len(setting["name"]) for setting in settings), default=0)
    values = max((len(setting["value"]) for setting in settings), default=0)
    for setting in settings:
        yield f"{setting['name']:<{names}}  {setting['value']:<{values}}  {setting['source']}"


def _sum(found: Found) -> str:
    counts = {s: sum(line.status == s for line in found.lines) for s in ("fail", "warn")}
    names = {"fail": "failure", "warn": "warning"}
    told = [f"{n} {names[s]}{'s' * (n != 1)}" for s, n in counts.items() if n]
    return ", ".join(told) + "." if told else "All is well."

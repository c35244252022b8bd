"""``flow store check``: do with a store what flows do, and tell what it cannot."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import click

from flow_core.api import CommandContext, IntegrityError

if TYPE_CHECKING:
    from flow_core.api import Store

_SKEW = 5.0
"""Seconds that the clocks of the store and of this machine may differ: `flow gc` compares them."""
_PART = 6 << 20  # a little more than what object stores take as the smallest part


class Finding(NamedTuple):
    """One thing that was tried.

    Attributes:
        what: what it was.
        status: ``ok``, ``warn`` or ``fail``.
        text: how it went.
    """

    what: str
    status: str
    text: str


def check_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def check(store: str | None, as_json: bool) -> int:
        session = context.session()
        found = session.open_provider("store", store) if store else session.store
        if as_json:
            findings = list(check_store(found))
            rows = [finding._asdict() for finding in findings]
            context.echo(json.dumps({"store": found.url, "findings": rows}, indent=2))
        else:
            findings = []
            context.echo(found.url)
            for finding in check_store(
                found
            ):  # one by one: what ends it is an error that is raised
                findings.append(finding)
                context.echo(_line(finding))
        return int(any(finding.status == "fail" for finding in findings))

    return click.Command(
        "check",
        callback=check,
        params=[
            click.Argument(["store"], required=False),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        short_help="Try out what flows do with a store.",
        help="Write, read, list and delete a few objects below 'doctor/' in STORE, or in that of the "
        "settings, as flows do, and tell what it cannot. Exit status 1 when flows would fail.",
    )


def check_store(store: Store) -> Iterator[Finding]:
    """Try what flows do with a store, and clean up behind it."""
    folder = f"doctor/{uuid.uuid4().hex}/"
    began = time.monotonic()
    store.folders("runs/")
    yield _took("reach", began, "it answers")
    key, content = f"{folder}object", b"written by flow store check"
    try:
        yield from _tries(store, folder, key, content)
    finally:
        store.delete([found.key for found in store.list(folder)])
    if store.exists([key])[0]:
        yield Finding("delete", "fail", "what was deleted is still there")
    else:
        yield Finding("delete", "ok", "what was written is gone")


def _tries(store: Store, folder: str, key: str, content: bytes) -> Iterator[Finding]:
    began = time.monotonic()
    store.write([(key, content)])
    yield _took("write", began, "an object was written")
    began = time.monotonic()
    if next(iter(store.read([key]))) != content:
        raise IntegrityError("What was written is not what is read", where=f"{store.url}, {key}")
    yield _took("read", began, "it was read")
    yield _clock(store, key)
    yield _conditional(store, key)
    large = b"".join(bytes([number % 251]) * 4096 for number in range(_PART // 4096))
    yield _large(store, f"{folder}large", large)
    listed = [found.key for found in store.list(folder)]
    expected = [f"{folder}large", key]
    status = "ok" if listed == expected else "fail"
    yield Finding("list", status, f"{len(listed)} of {len(expected)} objects are listed")


def _took(what: str, began: float, text: str) -> Finding:
    return Finding(what, "ok", f"{text} in {(time.monotonic() - began) * 1000:.0f} ms")


def _clock(store: Store, key: str) -> Finding:
    info = next(iter(store.describe([key])))
    skew = time.time() - info.modified if info is not None else 0.0
    if abs(skew) <= _SKEW:
        return Finding("clock", "ok", "its clock is that of this machine")
    which = "behind" if skew > 0 else "ahead of"
    return Finding(
        "clock",
        "warn",
        f"its clock is {abs(skew):.0f} s {which} that of this machine: set it by NTP",
    )


def _conditional(store: Store, key: str) -> Finding:
    if not store.capabilities.create_only:
        return Finding(
            "once", "warn", "it cannot write only what is not there: one launcher at a time, please"
        )
    if store.write([(key, b"again")], create_only=True)[0]:
        return Finding("once", "fail", "it overwrites what must be written only once")
    return Finding("once", "ok", "what is written once stays")


def _large(store: Store, key: str, content: bytes) -> Finding:
    began = time.monotonic()
    store.write_stream(key, [content])
    found = store.stream(key)
    if found is None or b"".join(map(bytes, found)) != content:
        return Finding("large", "fail", "a large object is not read as it was written")
    return _took("large", began, f"{len(content) / 1e6:.0f} MB were written and read")


def _line(finding: Finding) -> str:
    what, status, text = finding
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    return (
        f"{click.style(status.ljust(4), fg=colours[status])}  {what.ljust(len('delete'))}  {text}"
    )

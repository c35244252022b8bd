"""Reads objects for a process that has no flow-core: see `flow_fsspec.fetch`."""

from __future__ import annotations

import json
from typing import IO, Any

from flow_core.api import FlowError
from flow_fsspec.store import open_url


def lend(url: str, asked: IO[bytes], answers: IO[bytes]) -> None:
    """Answer until no more is asked.

    Args:
        url: of the store.
        asked: a key on each line, as JSON.
        answers: for each a line of JSON, and behind it the content: ``size`` in bytes, None = there
            is no such object; or ``error`` and ``hint``.
    """
    store = None
    for line in asked:
        content = None
        try:
            store = store or open_url(url)
            content = next(iter(store.read([json.loads(line)])))
            head: dict[str, Any] = {"size": None if content is None else len(content)}
        except FlowError as error:
            why = ": ".join(filter(None, (error.what, error.where, error.why)))
            head = {"error": " ".join(why.split()), "hint": error.hint or ""}
        answers.write(json.dumps(head).encode() + b"\n" + bytes(content or b""))
        answers.flush()

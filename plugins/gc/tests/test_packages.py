"""Packages of environments in the store: they stay, unless it is asked for those that nobody needs."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from flow_core.api import RunDocument, run_key


def package(past: Any, content: bytes) -> str:
    """Keep a package; return its hash."""
    sha256 = hashlib.sha256(content).hexdigest()
    past.store.write([(f"packages/{sha256[:2]}/{sha256}", content)])
    return sha256


def kept(past: Any) -> set[str]:
    return {entry.key.rpartition("/")[2] for entry in past.store.list("packages/")}


@pytest.fixture
def two(past: Any) -> Any:
    """Two runs, each with an environment of one package, and a package of none."""
    past.named = {}
    for number in ("1", "2"):
        past.run(number, "a text")
        past.named[number] = package(past, f"wheel {number}".encode())
        lock = json.dumps({"packages": [{"name": "x", "sha256": past.named[number]}]})
        digest = past.session.artifacts.put_bytes(lock.encode())
        environment = {"provider": "bare", "lock": digest, "request": ""}
        key = run_key("F", number)
        document = RunDocument.decode(next(iter(past.store.read([key]))), key)
        changed = document._replace(environments={"work": environment})
        past.store.write([(key, changed.encode())])
    past.other = package(past, b"of no run")
    return past


def test_they_stay_and_are_not_even_read(two: Any) -> None:
    read: list[str] = []
    plain = two.store.read
    two.store.read = lambda keys: read.extend(keys) or plain(keys)
    two.gc("--keep-last", "1", "--margin", "0", "--yes")
    assert kept(two) == {*two.named.values(), two.other}
    assert not [key for key in read if key.startswith("packages/")]


def test_those_go_that_no_lock_names(two: Any) -> None:
    out = two.gc("--packages", "--margin", "0", "--dry-run")
    assert "0 runs and 0 blobs go: 9 B." in out
    two.gc("--packages", "--margin", "0", "--keep-last", "1", "--yes")
    assert kept(two) == {two.named["2"]}


def test_young_ones_stay(two: Any) -> None:
    two.gc("--packages", "--yes")
    assert two.other in kept(two)

"""What a task begins with, where its store is one of fsspec: a Python that has flow-fsspec."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_fsspec.store import UrlStore, open_url

READER = """
import json, os, sys
asked = json.load(sys.stdin)
module = {"__name__": "flow_fetch"}
exec(compile(asked["source"], "<flow_fetch>", "exec"), module)
try:
    read = module["open"](asked["config"])
    found = [read(key) for key in asked["keys"]]
    print(json.dumps([None if each is None else each.decode() for each in found]))
    del read
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        pass
    else:
        raise SystemExit("the process that read still runs")
except OSError as error:
    print(json.dumps({"error": str(error), "hint": error.hint}))
"""


def told(store: UrlStore, *keys: str, python: str = sys.executable, **variables: str) -> Any:
    """Return what another process reads, or the error that it tells."""
    bootstrap = store.bootstrap()
    assert bootstrap is not None
    assert bootstrap.needs == ("flow-fsspec",)
    asked = {"source": bootstrap.source, "config": dict(bootstrap.config), "keys": keys}
    done = subprocess.run(
        [python, "-c", READER],
        input=json.dumps(asked),
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_objects_one_after_another(tmp_path: Path) -> None:
    store = open_url(f"file://{tmp_path}/store")
    store.write([("a", b"one"), ("b/c", b""), ("odd/ü", b"two")])
    assert told(store, "a", "none", "b/c", "odd/ü", "a") == ["one", None, "", "two", "one"]


def test_a_python_without_it(tmp_path: Path) -> None:
    store = open_url(f"file://{tmp_path}/store")
    bare = os.path.join(sys.base_prefix, "bin", f"python3.{sys.version_info[1]}")
    found = told(store, "a", python=bare)
    assert found["error"].startswith(f"{bare} has no flow-fsspec: No module named 'flow_fsspec'")
    assert "pip install flow-fsspec" in found["hint"]
    assert "--datastore s3://bucket/prefix" in found["hint"]


def test_a_server_that_refuses(sftp_place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in sftp_place.environment().items():
        monkeypatch.setenv(name, value)
    store = open_url(f"{sftp_place.url}/store")
    wrong = json.dumps({"sftp": {"password": "wrong", "host_key_policy": "auto_add"}})
    found = told(store, "a", FLOW_FSSPEC_OPTIONS=wrong)
    assert store.url in found["error"]
    assert "\n" not in found["error"]
    assert "wrong" not in found["error"]
    assert found["hint"]


def test_what_lies_in_the_memory_of_one_process() -> None:
    assert open_url("memory://x").bootstrap() is None

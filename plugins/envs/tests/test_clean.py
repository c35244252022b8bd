"""``env clean``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest


@pytest.fixture(scope="module")
def full(lab: Any) -> Any:
    """Environments that tests remove, in another folder than those of other tests."""
    lab.environments = lab.path / "others"
    return lab


@pytest.fixture
def built(full: Any) -> Any:
    """Both environments are there."""
    full.env("build").check()
    return full


def half_built(lab: Any) -> Any:
    folder = lab.environments / "bare/0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "file").write_text("x" * 5000)
    return folder


def test_without_options_only_rubbish_goes(built: Any) -> None:
    folder = half_built(built)
    left = built.environments / "bare/0123456789abcdef.json.999999999.1"
    left.write_text("x")
    more = [
        built.environments / "bare" / name
        for name in ("cache/tmp-x/file", "cache/job-1/file", "resolved/ab.json.999999999.1")
    ]
    for path in more:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    kept = built.environments / "bare/cache/packages"
    kept.write_text("x")
    shown = built.flow("env", "clean", "--dry-run").check().stdout
    assert "bare 01234567" in shown
    assert "1 environment would go: " in shown
    assert folder.exists()
    shown = built.flow("env", "clean").check().stdout
    assert "Removed 1 environment: " in shown
    assert not folder.exists()
    assert not left.exists()
    assert not any(path.exists() for path in more)
    assert kept.exists()
    assert len(built.built()) == 2
    assert built.flow("env", "clean").check().stdout == "Nothing was removed.\n"


def test_what_is_named(built: Any) -> None:
    lock = built.json("show", "test")["lock"]
    data = built.json("clean", "train")
    assert [one["provider"] for one in data["environments"]] == ["bare"]
    assert data["bytes"] > 1000
    assert built.built() == [lock[:16]]
    again = built.env("clean", "train")
    assert again.error["error"] == "The environment of train is not on this machine"


def test_what_is_old(built: Any) -> None:
    assert (
        "Nothing was removed." in built.flow("env", "clean", "--older-than", "30d").check().stdout
    )
    key = built.json("show", "train")["lock"][:16]
    then = time.time() - 40 * 86400
    os.utime(built.environments / f"bare/{key}.json", (then, then))
    built.flow("env", "clean", "--older-than", "30d").check()
    assert key not in built.built()
    assert len(built.built()) == 1
    found = built.flow("env", "clean", "--older-than", "soon")
    assert found.error["where"] == "--older-than"


def test_what_no_run_has(built: Any) -> None:
    built.env("lock", "train", "--upgrade", WORLD="9").check()
    built.env("build", "train").check()
    built.env("lock", "train", "--upgrade").check()
    assert len(built.built()) == 3
    data = json.loads(built.flow("env", "clean", "--unused", "--json").check().stdout)
    assert len(data["environments"]) == 1
    assert len(built.built()) == 2


def test_what_is_in_use_stays(built: Any) -> None:
    program = "import time; print('here', flush=True); time.sleep(280)"
    process = subprocess.Popen(
        [sys.executable, str(built.file), "env", "shell", "train", "--", "python", "-c", program],
        env={**os.environ, **built.variables()},
        cwd=built.path,
        stdout=subprocess.PIPE,
        text=True,
    )
    key = built.json("show", "train")["lock"][:16]
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        assert "in use" in built.flow("env", "list").check().stdout
        dry = built.flow("env", "clean", "--all", "--dry-run").check().stdout
        assert f"bare {key[:8]} stays: a run uses it, or somebody builds it." in dry
        shown = built.flow("env", "clean", "--all").check().stdout
        assert f"bare {key[:8]} stays: a run uses it, or somebody builds it." in shown
        assert "The links to flow-core stay: somebody needs them now." in shown
        assert built.built() == [key]
        process.terminate()
    built.flow("env", "clean", "--all").check()
    assert built.built() == []
    assert not (built.environments / ".runtime").exists()
    assert not (built.environments / "bare/cache").exists()
    assert built.env("show", "train").check().stdout.count("not built here") == 1  # the lock stays


def test_what_is_being_built_stays(built: Any) -> None:
    import fcntl

    folder = half_built(built)
    with open(f"{folder}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "being built" in built.flow("env", "list").check().stdout
        shown = built.flow("env", "clean", "--caches").check().stdout
        assert "bare 01234567 stays" in shown
        assert "The downloads of bare stay: somebody needs them now." in shown
    assert folder.exists()
    built.flow("env", "clean").check()


def test_what_contradicts_itself(full: Any) -> None:
    found = full.flow("env", "clean", "--all", "--unused")
    assert (found.returncode, found.error["error"]) == (2, "--all and --unused exclude each other")
    found = full.env("clean", "train", "--unused")
    assert found.error["error"] == "train and --unused exclude each other"

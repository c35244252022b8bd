"""``env lock``, ``env build`` and ``env shell``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest


def test_lock_says_what_has_changed_since_the_last_run(lab: Any) -> None:
    lines = lab.env("lock").check().stdout.splitlines()
    assert [line.partition(", ")[2] for line in lines if line] == ["as in F/1", "as in F/1"]
    shown = lab.env("lock", "train", "--upgrade", WORLD="5").check().stdout
    assert "1 changed since F/1" in shown
    assert "\n  tiny 1.0 → 5.0\n" in shown
    data = lab.json("lock", "train")  # what was resolved last counts from then on
    assert data[0]["changes"] == [{"name": "tiny", "old": "1.0", "new": "5.0"}]
    assert data[0]["before"]["run"] == "F/1"
    lab.env("lock", "train", "--upgrade").check()
    assert lab.json("lock", "train")[0]["changes"] == []


def test_locks_are_written_for_other_tools(lab: Any) -> None:
    folder = lab.path / "locks"
    shown = lab.env("lock", "--write", "locks").check().stdout
    assert "  written to locks/pylock.train.toml\n" in shown
    assert (folder / "pylock.train.toml").read_text() == "# VALUE = 1\n"
    assert (folder / "pylock.test.toml").read_text() == "# VALUE = 2\n"
    lab.env("lock", "test", "--write", "locks").check()
    assert (folder / "pylock.toml").read_text() == "# VALUE = 2\n"
    lab.env("lock", "F/1/train", "-o", "one.toml").check()
    assert (lab.path / "one.toml").read_text() == "# VALUE = 1\n"
    found = lab.env("lock", "-o", "all.toml")
    assert found.error["error"] == "2 locks do not go into one file"


def test_a_lock_as_json_is_built_elsewhere(lab: Any, empty: Any) -> None:
    path = empty.path / "train.json"
    lab.env("lock", "train", "-o", str(path)).check()
    assert json.loads(path.read_text())["provider"] == "bare"
    shown = empty.flow("env", "build", "train.json").check().stdout
    assert "of train.json: built, Python" in shown
    assert empty.built()[0] in lab.built()


def test_a_lock_that_cannot_be_built_is_told_without_a_flow(lab: Any, empty: Any) -> None:
    path = empty.path / "train.json"
    lab.env("lock", "train", "-o", str(path)).check()
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "lock": {}}))
    found = empty.flow("env", "build", "train.json")
    assert found.error["error"] == "The environment provider 'bare' failed"
    assert found.error["where"] == "train.json, Provider.prepare"


def test_build(empty: Any) -> None:
    shown = empty.env("build").check().stdout
    assert shown.count(": ready\n") == 2
    assert shown.count(": built, Python 3.") == 2
    assert empty.env("build", "train").check().stdout.count(": was there, Python 3.") == 1
    data = empty.json("build")
    assert [(one["steps"], one["built"]) for one in data] == [(["train"], False), (["test"], False)]


def test_a_run_is_built_from_its_locks(lab: Any, empty: Any) -> None:
    variables = {"FLOW_DATASTORE": f"local://{lab.path}/.flow"}
    shown = empty.flow("env", "build", "F/1", **variables).check().stdout
    assert "of F/1/train: built" in shown
    assert empty.built() == lab.built()


def test_packages_go_to_the_datastore(lab: Any) -> None:
    assert not (lab.path / ".flow/packages").exists()
    shown = lab.env("build", "train", "--mirror").check().stdout
    assert shown.endswith("Their packages are in the datastore.\n")
    assert len([p for p in lab.path.glob(".flow/packages/*/*") if p.is_file()]) == 1
    assert not list(lab.environments.glob("bare/*.again"))


def test_what_cannot_be_made_is_told(empty: Any) -> None:
    text = empty.file.read_text()
    empty.file.write_text(text.replace("@bare(value=2)", "@bare(value=13)"))
    found = empty.env("build")
    assert found.error == {
        "error": "There is nothing",
        "where": "step 'test', here",
        "why": "so it is",
        "try": "ask less",
    }
    assert "Environment bare of test: failed\n" in found.stdout


class TestShell:
    def test_a_command_has_what_a_task_has(self, lab: Any) -> None:
        program = (
            "import os, sys, tiny, flow_core; print(sys.prefix, tiny.VALUE, os.environ['TINY'])"
        )
        found = lab.env("shell", "train", "--", "python", "-c", program).check()
        path = lab.json("show", "train")["path"]
        assert found.stdout == f"{os.path.realpath(path)} 1 yes\n"
        found = lab.flow("env", "shell", "F/1/test", "python", "-c", program).check()
        assert found.stdout.endswith(" 2 yes\n")

    def test_the_exit_status_is_that_of_the_command(self, lab: Any) -> None:
        exits = lab.env("shell", "train", "--", "python", "-c", "raise SystemExit(7)")
        assert exits.returncode == 7
        killed = "import os; os.kill(os.getpid(), 9)"
        assert lab.env("shell", "train", "--", "python", "-c", killed).returncode == 137

    def test_without_a_command_it_is_a_shell(self, lab: Any) -> None:
        words = [sys.executable, str(lab.file), "env", "shell", "train"]
        found = subprocess.run(
            words,
            input="command -v python; exit 3\n",
            env={**os.environ, **lab.variables(), "SHELL": "/bin/sh"},
            cwd=lab.path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 3, found.stderr
        assert found.stdout == lab.json("show", "train")["path"] + "/bin/python\n"

    def test_near_misses(self, lab: Any) -> None:
        found = lab.env("shell", "train", "--", "pyton")
        assert found.error["error"].startswith(
            "There is no program 'pyton' in the environment bare "
        )
        assert found.error["try"].startswith("did you mean 'python'")
        found = lab.env("shell", "1")
        assert found.error["error"] == "'1' has several environments"
        assert found.error["try"] == "1/test"
        unnamed = lab.env("shell").error
        assert unnamed["error"] == "Which environment?"
        assert unnamed["try"] == "name a step behind it: train, test"
        assert lab.flow("env", "shell").error["try"].startswith("flow env shell my_flow.py")

    def test_what_ends_it_ends_the_command(self, lab: Any) -> None:
        program = "import time; print('here', flush=True); time.sleep(280)"
        process = subprocess.Popen(
            [sys.executable, str(lab.file), "env", "shell", "train", "--", "python", "-c", program],
            env={**os.environ, **lab.variables()},
            cwd=lab.path,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        with process:
            assert process.stdout.readline() == "here\n"
            process.send_signal(signal.SIGTERM)
            assert process.wait(100) == 128 + signal.SIGTERM


@pytest.mark.slow
def test_a_shell_on_a_terminal_keeps_its_python_whatever_its_files_say(
    lab: Any, tmp_path: Any
) -> None:
    import pty

    (tmp_path / ".bashrc").write_text("export PATH=/usr/bin:/bin\n")
    words = [sys.executable, str(lab.file), "env", "shell", "train"]
    variables = {**os.environ, **lab.variables(), "SHELL": "/bin/bash", "HOME": str(tmp_path)}
    variables["FLOW_DATASTORE"] = f"local://{lab.path}/.flow"
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(lab.path)
        os.execve(words[0], words, variables)
    seen = b""
    deadline = time.monotonic() + 30
    os.write(terminal, b"which python; exit 4\n")
    while time.monotonic() < deadline:
        try:
            seen += os.read(terminal, 4096)
        except OSError:
            break
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 4, seen
    assert (lab.json("show", "train")["path"] + "/bin/python").encode() in seen
    assert b"(train) " in seen

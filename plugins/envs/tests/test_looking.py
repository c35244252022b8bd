"""``env list`` and ``env show``, and what can be named."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest


def test_list(lab: Any) -> None:
    lines = lab.env("list").check().stdout.splitlines()
    assert lines[0].split() == [
        "ENVIRONMENT",
        "PYTHON",
        "PACKAGES",
        "SIZE",
        "LAST",
        "USED",
        "STATE",
        "STEPS",
    ]
    rows = {line.split()[-1]: line for line in lines[1:3]}
    assert rows.keys() == {"train", "test"}
    assert re.match(
        r"bare [0-9a-f]{8}  3\.\d+\.\d+ +\d+ +\d+(\.\d)? [kM]B  ....-..-.. ..:..:..  ready  ",
        lines[1],
    )
    assert re.match(rf"2 environments in {lab.environments}: .*B in all", lines[3])


def test_list_as_json(lab: Any) -> None:
    data = json.loads(lab.flow("env", "list", "--json").check().stdout)
    assert data["folder"] == str(lab.environments)
    assert sorted(one["lock"][:16] for one in data["environments"]) == lab.built()
    assert all(one["state"] == "ready" and one["bytes"] > 1000 for one in data["environments"])
    assert data["bytes"] >= sum(one["bytes"] for one in data["environments"]) // 2


def test_nothing_is_listed_where_there_is_nothing(empty: Any) -> None:
    shown = empty.flow("env", "list").check().stdout
    assert shown == f"No environments in {empty.environments}\n"


def test_half_built_ones_are_told(empty: Any) -> None:
    (empty.environments / "bare/0123456789abcdef").mkdir(parents=True)
    shown = empty.flow("env", "list").check().stdout
    assert re.search(r"^bare 01234567 .* half built$", shown, re.MULTILINE)
    assert "1 half built, by programs that were killed: env clean removes them." in shown


def test_show_a_step(lab: Any) -> None:
    shown = lab.env("show", "train").check().stdout
    data = lab.json("show", "train")
    assert shown.startswith(f"Environment bare {data['lock'][:8]} of train\n  state      ready\n")
    assert f"  lock       {data['lock']}\n" in shown
    assert f"  path       {data['path']}\n" in shown
    assert re.search(r"^tiny +1\.0$", shown, re.MULTILINE)
    assert {"name": "tiny", "version": "1.0", "from": None} in data["packages"]
    assert data["platform"].count("-") == 1
    assert data["path"].endswith(data["lock"][:16])


def test_what_can_be_named(lab: Any) -> None:
    lock = lab.json("show", "train")["lock"]
    words = ["flow.py", "train", "F/1/train", lock[:8], f"bare:{lock}", "1/test"]
    found = json.loads(lab.flow("env", "show", *words, "--json").check().stdout)
    assert [(one["name"], one["lock"] == lock) for one in found] == [
        ("train", True),
        ("F/1/train", True),
        (f"bare {lock[:8]}", True),
        ("F/1/test", False),
    ]
    table = lab.flow("env", "show", "F/1").check().stdout
    assert [line.split()[0] for line in table.splitlines()] == ["STEP", "F/1/test", "F/1/train"]
    assert [one["step"] for one in lab.json("show")] == ["train", "test"]


def test_showing_resolves_and_builds_nothing(empty: Any) -> None:
    shown = empty.env("show").check().stdout
    assert [line.split()[-2:] for line in shown.splitlines()[1:]] == [["not", "resolved"]] * 2
    assert not list(empty.environments.glob("*/resolved/*"))
    empty.env("lock", "train").check()
    assert "not built here" in empty.env("show", "train").check().stdout


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["trian"], "There is no step 'trian' in F, and no such run or lock", "did you mean 'train'?"),
        (["end"], "Step 'end' has no environment", "steps that have one: train, test"),
        (["F/7"], "There is no run F/7", "latest runs: 1"),
        (["F/1/trian"], "Run F/1 has no step 'trian'", "did you mean 'train'?"),
        (["1/end"], "Step 'end' of run F/1 had no environment", "steps that had one: test, train"),
        (["F/1/2/3/4/5"], "'F/1/2/3/4/5' names no run, and no step of one", "MyFlow/3/train"),
    ],
)  # fmt: skip
def test_near_misses_with_a_flow(lab: Any, words: list[str], error: str, hint: str) -> None:
    found = lab.env("show", *words)
    assert found.returncode in (1, 2)
    assert (found.error["error"], found.error["try"]) == (error, hint)


def test_near_misses_without_a_flow(lab: Any) -> None:
    assert lab.flow("env", "show").error["error"] == "Which environments?"
    assert lab.flow("env", "show", "F").error["try"] == "its latest run: F/1"
    key = lab.built()[0][:8]
    wrong = key[:7] + ("0" if key[7] != "0" else "1")
    assert lab.flow("env", "show", wrong).error["try"] == f"did you mean '{key}'?"


def test_a_flow_without_environments(lab: Any) -> None:
    found = lab.env("show", FLOW_ENVIRONMENT="local")
    assert found.error["error"] == "No step of F has an environment"
    assert found.error["why"] == "the setting 'environment' is 'local'"

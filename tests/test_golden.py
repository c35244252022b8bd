"""Flows run from Python, of a script, leave the same artifacts forked, sent by value, and in one process."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_core.testing import FlowTester

FLOWS = Path(__file__).parent / "golden/flows.py"

_BY_VALUE = {
    "ForeachSet/names": "the order of texts in a set differs from one interpreter to the next",
}
"""Artifacts whose hashes may differ between interpreters, and why. Their values may not."""

Left = dict[str, dict[str, dict[str, list[str]]]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The flows, in one place for all modes: paths are part of tracebacks and of functions."""
    folder = tmp_path_factory.mktemp("modes")
    shutil.copy(FLOWS, folder / "flows.py")
    (folder / "data.txt").write_text("included")
    return folder


def leave(folder: Path, mode: str, *names: str) -> Left:
    """Run the flows in one mode, with a store of its own; return what they left."""
    tester = FlowTester(folder)
    tester.more_plugins = ["inprocess", "parallel"]
    found = tester.command(
        [sys.executable, str(folder / "flows.py"), mode, *names],
        variables={
            "FLOW_DATASTORE": f"local://{folder}/{mode}-{len(names)}",
            "FLOW_MAX_WORKERS": "2",
        },
        timeout=250,
    ).check()
    assert found.stderr == ""
    left: Left = json.loads(found.stdout)
    return left


@pytest.fixture(scope="module")
def forked(folder: Path) -> Left:
    return leave(folder, "forked")


def test_there_are_thirty_and_more(forked: Left) -> None:
    assert len(forked) >= 30
    assert forked["NestedForeach"]["join[0]"]["all"][1].startswith("[(1, [")
    assert forked["Retried"]["end[0]"]["seen"][1] == "(2, False)"
    assert forked["ForeachSet"]["join[0]"]["order"][1] == "['ada', 'alan', 'edsger', 'grace']"
    assert forked["Functions"]["end[0]"]["values"][1] == "(3, 10, 6)"
    assert forked["Kinds"]["end[0]"]["private"][1] == "'stored'"
    assert forked["Gang"]["join[0]"]["places"][1] == "[(0, 2), (1, 2)]"


@pytest.mark.parametrize("mode", ["in-process", "spawned"])
def test_the_same_artifacts(folder: Path, forked: Left, mode: str) -> None:
    compare(forked, leave(folder, mode))


def test_some_tasks_in_interpreters_of_their_own(folder: Path, forked: Left) -> None:
    names = ("Instances", "Caught", "Inherited", "Parameters")
    compare({name: forked[name] for name in names}, leave(folder, "alone", *names))


def compare(expected: Left, found: Left) -> None:
    """Compare flow by flow, task by task, artifact by artifact."""
    assert found.keys() == expected.keys()
    wrong = []
    for flow, tasks in expected.items():
        assert found[flow].keys() == tasks.keys(), flow
        for task, artifacts in tasks.items():
            assert found[flow][task].keys() == artifacts.keys(), f"{flow}/{task}"
            for name, (digest, value) in artifacts.items():
                other_digest, other_value = found[flow][task][name]
                same: Any = value == other_value
                if f"{flow}/{name}" not in _BY_VALUE:
                    same = same and digest == other_digest
                if not same:
                    wrong.append(f"{flow}/{task}.{name}: {value} and {other_value}")
    assert not wrong, "\n".join(wrong)

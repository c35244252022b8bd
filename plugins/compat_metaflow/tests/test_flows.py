"""Flows as users of the predecessor write them, each run unchanged; see ``flows/``."""

import ast
import os
from pathlib import Path

import pytest

import flow_core

FLOWS = Path(__file__).parent / "flows"


def constants_of(path):
    """Return the constants ``EXPECTED``, ``ARGUMENTS`` and ``EXIT`` of a flow file."""
    found = {"ARGUMENTS": "run", "EXIT": 0}
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in (
            "EXPECTED",
            "ARGUMENTS",
            "EXIT",
        ):
            found[ast.unparse(node.targets[0])] = ast.literal_eval(node.value)
    return found


FILES = sorted(f.name for f in FLOWS.glob("*.py") if "EXPECTED" in constants_of(f))

READ = """
import sys
from metaflow import Run, namespace
namespace(None)
data = Run(sys.argv[1] + "/" + open("run_id").read().strip()).data
print(repr({name: getattr(data, name) for name in sys.argv[2:]}))
"""


def flow_name(file):
    [name] = [
        line.split("class ")[1].split("(")[0]
        for line in (FLOWS / file).read_text().splitlines()
        if line.startswith("class ") and "Flow(" in line
    ]
    return name


def run_flow(old, file):
    """Run a flow; return what it should have at its end, None when it should fail."""
    old.take(file, "movies.csv")
    wanted = constants_of(FLOWS / file)
    done = old.call(file, wanted["ARGUMENTS"] + " --run-id-file run_id")
    assert done.returncode == wanted["EXIT"], done.stdout + done.stderr
    return wanted["EXPECTED"]


def check_results(old, file, expected, monkeypatch):
    monkeypatch.chdir(old.folder)
    flow_core.namespace(None)
    run = flow_core.Run(f"{flow_name(file)}/{(old.folder / 'run_id').read_text()}")
    found = {name: getattr(run.data, name) for name in expected or ()}
    assert repr(found) == repr(expected or {})


@pytest.mark.parametrize("file", FILES)
def test_runs_unchanged(old, file, monkeypatch):
    check_results(old, file, run_flow(old, file), monkeypatch)


@pytest.mark.parametrize("file", ["catch_retry.py", "own_classes.py"])
def test_with_tasks_that_are_spawned(old, file, monkeypatch):
    old.variables["FLOW_FORK"] = "never"
    check_results(old, file, run_flow(old, file), monkeypatch)


RIVAL = os.environ.get("RIVAL_PYTHON", "")


@pytest.mark.slow
@pytest.mark.skipif(not RIVAL, reason="RIVAL_PYTHON names no Python that has the real metaflow")
@pytest.mark.parametrize("file", [file for file in FILES if file != "conda_off.py"])  # needs conda
def test_the_real_one_gives_the_same(old, file):
    old.program = [RIVAL]
    # It starts the members of a gang with what is called python there.
    old.variables["PATH"] = os.path.dirname(RIVAL) + os.pathsep + os.environ["PATH"]
    expected = run_flow(old, file)
    if expected is not None:
        read = old.call(old.write("read.py", READ), " ".join([flow_name(file), *expected]))
        assert read.returncode == 0, read.stderr
        assert read.stdout.splitlines()[-1] == repr(expected)

"""Stores to put files into, and the command line in this process."""

import pytest

from flow_core.api import RunDocument, installed, run_key
from flow_core.cli import run as command_line
from flow_core.testing import MemoryStore


@pytest.fixture(params=["memory", "local"])
def store(request, tmp_path):
    """A store that keeps attributes, and one that does not."""
    if request.param == "memory":
        return MemoryStore("here")
    return installed().open("flow.stores", f"local://{tmp_path / 'store'}")


@pytest.fixture
def here(flowtester, monkeypatch):
    """A folder where the command line of this process sees what a process there would see."""
    monkeypatch.chdir(flowtester.path)
    for name, value in flowtester.environment().items():
        if name.startswith("FLOW_") or name == "HOME":
            monkeypatch.setenv(name, value)
    monkeypatch.delenv("FLOW_PLUGINS")
    return flowtester.path


@pytest.fixture
def call(here, capsys, monkeypatch):
    """Call ``flow …``; return exit status, output, errors."""
    monkeypatch.setattr("sys.argv", ["flow"])

    def call(*arguments):
        status = command_line([*map(str, arguments)])
        shown = capsys.readouterr()
        return status, shown.out, shown.err

    return call


@pytest.fixture
def run(here):
    """A run F/1 in the folder, which has two files and two in a folder."""
    store = installed().open("flow.stores", "local")
    document = RunDocument("F", "1", 1000.0, {}, {}, None, {}, {})
    names = ("report.csv", "data/a.txt", "data/b.txt", "note")
    store.write([(run_key("F", "1"), document.encode())])
    store.write([(f"files/F/1/{name}", name.encode() * 10) for name in names])
    return store

"""``status`` and ``version``."""

from __future__ import annotations

import json
from typing import Any

import flow_core
from flow_inspect.status import command, version


def test_where_runs_are_and_the_latest_of_each_flow(here: Any) -> None:
    here.run()
    here.run("2", "failed", user="bob")
    out = here.call(command).out
    assert out[0].startswith(f"flow-core {flow_core.__version__}, Python 3.")
    assert "  store  memory://here  (from FLOW_DATASTORE)" in out
    assert "  user   ada" in out
    assert out[-1].startswith("F/2  ")
    assert out[-1].endswith("  failed  by bob")


def test_before_anything_has_run(here: Any) -> None:
    assert here.call(command).out[-1] == "Nothing has been run here yet: python my_flow.py run"


def test_an_index_that_was_lost(here: Any) -> None:
    here.session.store.write([("runs/F/1/run.json", b"x")])
    assert here.call(command).out[-1].startswith("The index knows no run, but the store has some")
    assert json.loads(here.call(command, "--json").out[0])["incomplete"] is True


def test_as_json(here: Any) -> None:
    here.run()
    data = json.loads(here.call(command, "--json").out[0])
    assert data["store"] == {"url": "memory://here", "from": "FLOW_DATASTORE"}
    assert data["flows"][0]["latest"] == "F/1"
    assert set(data) == {
        "version",
        "python",
        "folder",
        "store",
        "index",
        "user",
        "state_folder",
        "incomplete",
        "flows",
    }


def test_the_version(here: Any) -> None:
    assert here.call(version).out == [f"flow-core {flow_core.__version__}"]
    data = json.loads(here.call(version, "--json").out[0])
    assert data["flow_core"] == flow_core.__version__
    assert data["plugins"]["flow-inspect"] == "0.1.0"


def test_in_a_folder_where_nothing_is(flowtester: Any) -> None:
    flowtester.more_plugins = ["inspect"]
    done = flowtester.flow("status").check()
    assert done.stdout.splitlines()[-1].startswith("Nothing has been run here yet")

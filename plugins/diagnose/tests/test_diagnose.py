"""``flow doctor``: what is found, what is told, and that nothing makes it hang."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flow_diagnose.machine import LITTLE, TOO_LITTLE, size, space, supported_versions
from flow_diagnose.probes import run_probe

STORE = """
import time

class Store:
    def __init__(self, root=None):
        {made}

    url = "odd://"

    def folders(self, prefix=""):
        {asked}

    def local_path(self, key):
        return None
"""


def lines(text: str) -> list[str]:
    """Return the lines of a report with single spaces."""
    return [" ".join(line.split()) for line in text.splitlines()]


HERE = ("-p", "no:container", "-p", "no:kubernetes", "-p", "no:slurm")
"""Leaves out what asks programs of this machine, which not every machine has."""


def told(place: Any, *arguments: str, **variables: str) -> dict[str, Any]:
    """Return the report as JSON, with the lines by subject."""
    done = place.flow(*arguments, "doctor", "--json", **variables)
    data: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (data["status"] == "fail"), done.stderr
    return data


def of(data: dict[str, Any], subject: str) -> list[dict[str, str]]:
    """Return the lines about a subject."""
    return [line for line in data["lines"] if line["subject"] == subject]


def test_all_is_well(place: Any) -> None:
    done = place.flow(*HERE, "doctor")
    assert (done.returncode, done.stderr) == (0, "")
    found = lines(done.stdout)
    assert found[0] == f"ok python {'.'.join(map(str, sys.version_info[:3]))}, {sys.executable}"
    assert found[-1] == "All is well."
    subjects = [line.split()[1] for line in found if line.startswith("ok ")]
    assert subjects == [
        *("python", "versions", "disk", "plugins", "settings", "store", "disk"),
        *("index", "runs", "compute", "forking"),
    ]
    assert "ok forking tasks can be forked" in found
    assert not (place.folder / ".flow").exists()  # looking leaves nothing behind


def test_settings_in_force_and_where_they_come_from(place: Any) -> None:
    (place.folder / "pyproject.toml").write_text("[tool.flow]\nmax-workers = 3\n")
    data = told(place, "--datastore", "local://here", FLOW_USER="ada", FLOW_MAX_WORKER="4")
    file = place.folder / "pyproject.toml"
    assert [line["text"] for line in of(data, "settings") if line["status"] == "ok"] == [
        "datastore = local://here, from --datastore",
        f"max_workers = 3, from [tool.flow] of {file}",
        "user = ada, from FLOW_USER",
    ]
    (mistyped,) = (line for line in of(data, "settings") if line["status"] == "warn")
    assert mistyped["text"] == "FLOW_MAX_WORKER is no setting, and without effect"
    assert mistyped["hint"] == "did you mean FLOW_MAX_WORKERS?"
    (store,) = of(data, "store")
    assert store["text"].startswith(f"local://{place.folder}/here (from --datastore), ")
    known = {setting["name"]: setting for setting in data["settings"]}
    assert known["failure_grace"] == {"name": "failure_grace", "value": "5.0", "source": "default"}
    assert "terminal_quiet" in known  # those of plugins, too


def test_all_settings_for_people(place: Any) -> None:
    done = place.flow("doctor", "--all")
    assert "failure_grace 5.0 default" in lines(done.stdout)


def test_a_setting_that_cannot_be_used(place: Any) -> None:
    done = place.flow("doctor", FLOW_MAX_WORKERS="many")
    assert done.returncode == 1
    found = lines(done.stdout)
    at = found.index("fail settings Setting 'max_workers' must be an integer, not 'many'")
    assert "try: FLOW_MAX_WORKERS=4" in found[at : at + 5]
    assert found[-1] == "1 failure."


@pytest.mark.parametrize(
    ("made", "asked"), [("time.sleep(600)", "pass"), ("pass", "time.sleep(600)")]
)
def test_a_store_that_hangs_does_not_hang_the_command(place: Any, made: str, asked: str) -> None:
    module = STORE.format(made=made, asked=asked)
    place.install("odd", {"flow.stores": "odd = flow_odd:Store"}, module)
    began = time.monotonic()
    done = place.flow(*HERE, "--datastore", "odd://", "doctor", "--timeout", "0.5")
    assert time.monotonic() - began < 45
    assert done.returncode == 1
    found = lines(done.stdout)
    assert "fail store no answer within 0.5 s" in found
    assert any("--datastore" in line for line in found)
    assert any(line.startswith("ok forking") for line in found)  # the others are told as ever


def test_a_store_that_refuses_says_why(place: Any) -> None:
    error = (
        "from flow_core.api import StoreError; raise StoreError('There is no bucket', why='404')"
    )
    module = STORE.format(made="pass", asked=error)
    place.install("odd", {"flow.stores": "odd = flow_odd:Store"}, module)
    (store,) = of(told(place, "--datastore", "odd://"), "store")
    assert (store["status"], store["text"], store["why"]) == ("fail", "There is no bucket", "404")


def test_a_store_that_has_a_bug_and_one_that_kills(place: Any) -> None:
    place.install(
        "odd",
        {"flow.stores": "odd = flow_odd:Store\ndead = flow_odd:Dead"},
        STORE.format(made="pass", asked="1 / 0")
        + "\nimport os\nclass Dead(Store):\n    def folders(self, prefix=''): os._exit(7)\n",
    )
    (store,) = of(told(place, "--datastore", "odd://"), "store")
    assert (store["status"], store["why"]) == ("fail", "ZeroDivisionError: division by zero")
    (dead,) = of(told(place, "--datastore", "dead://"), "store")
    assert dead["text"] == "its process ended with 7, without an answer"


def test_a_store_that_nobody_provides(place: Any) -> None:
    (store,) = of(told(place, "--datastore", "locla://x"), "store")
    assert store["status"] == "fail"
    assert "did you mean 'local'?" in store["hint"]


def test_what_plugins_print_does_not_matter(place: Any) -> None:
    place.install("loud", {"flow.plugins": "loud = flow_loud"}, "print('{\"begin\": 5}')")
    assert of(told(place), "plugins")[0]["status"] == "ok"


def test_writing(place: Any) -> None:
    done = place.flow("doctor", "--write")
    assert done.returncode == 0, done.stdout
    assert "an object was written, read and deleted" in done.stdout
    left = [file for file in (place.folder / ".flow").rglob("*") if file.is_file()]
    assert [file for file in left if "doctor" in str(file)] == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write all")
def test_a_place_where_one_may_not_write(place: Any) -> None:
    closed = place.folder / "closed"
    closed.mkdir(mode=0o500)
    data = told(place, "--datastore", f"local://{closed}")
    assert any("you may not write in" in line["text"] for line in of(data, "store"))


def test_broken_plugins_and_missing_ones(place: Any) -> None:
    place.install("sour", {"flow.plugins": "sour = flow_sour"}, "1/0")
    place.install("other", {"flow.decorators": "retry = flow_other:retry"}, "retry = 1")
    data = told(place, FLOW_REQUIRED_PLUGINS="flow-retry, flow-unheard-of>=2")
    broken, clash, missing = of(data, "plugins")
    assert broken["text"] == "The plugin 'sour' cannot be loaded"
    assert "ZeroDivisionError" in broken["why"]
    assert "-p no:sour" in broken["hint"]
    assert (clash["status"], clash["hint"][:8]) == ("warn", "pick one")
    assert missing["status"] == "fail"
    assert missing["hint"] == "pip install 'flow-unheard-of>=2'"


def test_a_plugin_for_another_core(place: Any) -> None:
    """Also one without hooks, which no run loads that does not use it."""
    place.install(
        "later",
        {"flow.decorators": "later = flow_later:later"},
        "later = 1",
        requires="flow-core>=2",
    )
    (line,) = of(told(place), "plugins")
    assert line["status"] == "warn"
    assert line["text"].startswith("The plugin 'later' needs flow-core >=2; this is ")
    assert "-p no:later" in line["hint"]
    place.install("hooked", {"flow.plugins": "hooked = flow_hooked"}, "", requires="flow-core>=2")
    found = of(told(place), "plugins")
    assert sorted((line["status"], line["text"].split("'")[1]) for line in found) == [
        ("fail", "hooked"),
        ("warn", "later"),
    ]


def test_a_plugin_that_hangs_when_it_is_imported(place: Any) -> None:
    place.install("slow", {"flow.plugins": "slow = flow_slow"}, "import time\ntime.sleep(600)")
    done = place.flow("doctor", "--timeout", "1")
    assert done.returncode == 1
    assert "fail plugins no answer within 1 s" in lines(done.stdout)


def test_runs_whose_launcher_is_gone(place: Any) -> None:
    assert place.flow("--quiet", "run", "hello_flow.py").returncode == 0
    (database,) = (f for f in (place.folder / ".flow").rglob("*") if _is_database(f))
    with sqlite3.connect(database) as connection:
        connection.execute(
            "UPDATE runs SET state = 'running', pid = ?, host = ?, heartbeat_at = ?",
            (2**22 + 5, socket.gethostname(), time.time()),
        )
    connection.close()
    (run,) = of(told(place), "runs")
    assert run["status"] == "warn"
    assert run["text"] == "HelloFlow/1 has not ended, but its launcher is gone"
    assert run["hint"].endswith("flow resume FILE --origin-run-id 1")


def _is_database(file: Path) -> bool:
    return file.is_file() and file.read_bytes()[:15] == b"SQLite format 3"


def test_an_index_that_was_lost(place: Any) -> None:
    assert place.flow("--quiet", "run", "hello_flow.py").returncode == 0
    for file in (place.folder / ".flow").rglob("*"):
        if _is_database(file):
            file.unlink()
    warnings = [line for line in of(told(place), "index") if line["status"] == "warn"]
    assert [line["text"] for line in warnings] == ["it knows no run, but the store has some"]
    assert "reindex" in warnings[0]["hint"]


def test_forking(place: Any) -> None:
    (never,) = of(told(place, FLOW_FORK="never"), "forking")
    assert (never["status"], never["why"]) == ("warn", "fork = never, from FLOW_FORK")
    (place.folder / "threads.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True, name='busy').start()\n"
        + (place.folder / "hello_flow.py").read_text()
    )
    done = place.flow("doctor", "--flow", "threads.py")
    assert "warn forking tasks cannot be forked here and start slower" in lines(done.stdout)
    assert "thread 'busy' is running" in done.stdout


def test_what_other_plugins_add(place: Any) -> None:
    place.install(
        "more",
        {"flow.diagnoses": "licence = flow_more:diagnose"},
        """
        from flow_core.api import Diagnosis

        def diagnose(session):
            yield Diagnosis("licence", "fail", "it has run out", "2020", "buy one")
        """,
    )
    done = place.flow("doctor")
    assert done.returncode == 1
    assert "fail licence it has run out" in lines(done.stdout)
    assert "try: buy one" in lines(done.stdout)


# --- parts ------------------------------------------------------------------------------------------


def test_a_probe_that_is_killed_leaves_nothing(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import json, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(mark)!r}, 'w').write(str(child.pid))\n"
        "print(json.dumps({'begin': 'store'}), flush=True)\n"
        "time.sleep(600)\n"
    )
    outcome = run_probe("store", {}, 0.3, (sys.executable, "-c", code))
    assert [line.text for line in outcome.lines] == ["no answer within 0.3 s"]
    pid = int(mark.read_text())
    until = time.monotonic() + 10
    while _lives(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _lives(pid)


def _lives(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    ("free", "status"), [(TOO_LITTLE - 1, "fail"), (LITTLE - 1, "warn"), (LITTLE, "ok")]
)
def test_disk_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    usage = type("Usage", (), {"free": free})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    found = space(str(tmp_path / "not" / "there"), "the store")
    assert (found.status, bool(found.hint)) == (status, status != "ok")
    assert found.text.endswith(f"free for the store, in {tmp_path}")


@pytest.mark.parametrize(
    ("count", "text"), [(5, "5 B"), (1500, "1.5 kB"), (123_456_789, "123 MB"), (5e15, "5000 TB")]
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


def test_versions_that_are_tested() -> None:
    classifiers = ["Programming Language :: Python :: 3", "Programming Language :: Python :: 3.12"]
    assert supported_versions(classifiers) == ["3.12"]

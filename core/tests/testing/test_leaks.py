"""The fixture that fails tests which leave something behind: each kind is found, nothing else is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import NamedTuple

import pytest

LEAKS = {
    "variables": (
        "os.environ['LEFT'] = 'hunter22'",
        "the environment variable LEFT was set",
    ),
    "folder": ("os.chdir(tmp_path)", "the current folder is"),
    "signals": (
        "signal.signal(signal.SIGUSR1, lambda *_: None)",
        "the handler of SIGUSR1 is test_one.test_signals.<locals>.<lambda>, and was the default",
    ),
    "threads": (
        "threading.Thread(target=EVENT.wait, name='left', daemon=True).start()",
        "the daemon thread 'left' still runs (threading.Event.wait)",
    ),
    "processes": (
        "KEPT.append(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']))",
        "still runs: ",
    ),
    "files": ("KEPT.append(open(tmp_path / 'left.txt', 'w'))", "left.txt' is still open"),
    "logging": (
        "logging.getLogger('left').addHandler(logging.NullHandler())",
        "the logger 'left' has one more handler: <NullHandler (NOTSET)>",
    ),
    "path": ("sys.path.append('/left')", "sys.path has one more entry: '/left'"),
    "modules": (
        "sys.modules['left'] = types.ModuleType('left')",
        "sys.modules has a new entry 'left': it was made by hand",
    ),
    "gc": ("gc.disable()", "the garbage collector: enabled was True and is False"),
    "atexit": ("atexit.register(at_end)", "test_one.at_end runs when this process ends"),
    "interpreter": (
        "sys.excepthook = lambda *_: None",
        # On Python 3.10 it was not the usual one: pytest brings groups of exceptions there.
        "sys.excepthook is test_one.test_interpreter.<locals>.<lambda>, and was ",
    ),
}

HEAD = """
import atexit, gc, logging, os, signal, socket, subprocess, sys, threading, types, unittest
import pytest
import helper
from flow_core.testing import leaks

leaks.GRACE = 0.3
EVENT = threading.Event()
KEPT = []


def at_end():
    pass


@pytest.fixture(autouse=True, scope="session")
def end_the_processes():
    yield
    for kept in KEPT:
        if isinstance(kept, subprocess.Popen):
            kept.kill()

"""

HELPER = """
import atexit, logging, os, socket, subprocess, sys, threading

def set_variable():
    os.environ["MORE"] = "1"

def start():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def open_file(folder):
    return open(folder / "x", "w")

def open_socket():
    return socket.socket()

def register(function):
    atexit.register(function)

def log():
    logging.getLogger().addHandler(logging.NullHandler())

def spawn():
    return subprocess.Popen([sys.executable, "-c", ""])
"""

PLACES = """
def test_place_of_variable(no_leaks):
    helper.set_variable()

def test_place_of_thread(no_leaks):
    helper.start()

def test_place_of_file(no_leaks, tmp_path):
    KEPT.append(helper.open_file(tmp_path))

def test_place_of_socket(no_leaks):
    KEPT.append(helper.open_socket())

def test_place_of_atexit(no_leaks):
    helper.register(at_end)

def test_place_of_handler(no_leaks):
    helper.log()

def test_place_of_process(no_leaks):
    KEPT.append(helper.spawn())

@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_nobody_waits(no_leaks):
    if os.fork() == 0:
        os._exit(0)

@pytest.mark.may_leak("variables", "atexit")
def test_may_leak(no_leaks):
    os.environ["STAYS"] = "1"
    atexit.register(at_end)

@pytest.mark.may_leak("gc")
def test_may_leak_other(no_leaks):
    os.environ["STAYS_NOT"] = "1"

@pytest.mark.may_leak("thread")
def test_misspelt(no_leaks):
    pass

def test_without_the_fixture():
    os.environ["UNSEEN"] = "1"
"""

CLEAN = """
import json

@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    os.environ["SHARED"] = "1"
    yield
    del os.environ["SHARED"]

@pytest.fixture(scope="module", params=[1, 2])
def changing(request):
    os.environ[f"CHANGING_{request.param}"] = "1"
    yield
    del os.environ[f"CHANGING_{request.param}"]

@pytest.fixture(autouse=True)
def each(monkeypatch):
    monkeypatch.setenv("EACH", "1")

def test_plain():
    assert json.loads("1") == 1

def test_import_of_a_library_that_has_a_finder():
    before = len(sys.meta_path)
    import importlib_metadata
    assert len(sys.meta_path) == before + 1, "this library had not been imported"

def test_monkeypatch(monkeypatch, tmp_path, shared):
    monkeypatch.setenv("A", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["x"])
    monkeypatch.setitem(sys.modules, "made", types.ModuleType("made"))

def test_everything_is_ended(tmp_path, capsys, caplog):
    import sqlite3, zoneinfo

    caplog.set_level("DEBUG")
    thread = threading.Thread(target=EVENT.wait, args=[0.1])
    thread.start()
    subprocess.run([sys.executable, "-c", ""], check=True)
    with open(tmp_path / "x", "w") as file, socket.socket():
        file.write("x")
    logging.getLogger("new").setLevel("INFO")
    sqlite3.connect(tmp_path / "db").close()
    earlier = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, earlier)
    atexit.register(at_end)
    atexit.unregister(at_end)

class Closing:
    def __init__(self, path):
        self.file = open(path, "w")

    def __del__(self):
        self.file.close()

@pytest.fixture
def opened(tmp_path):
    return Closing(tmp_path / "y")

def test_objects_that_close_themselves(opened):
    assert not opened.file.closed

def test_threads_get_time_to_end():
    threading.Timer(0.1, EVENT.set).start()

@pytest.fixture(scope="session")
def late():
    os.environ["LATE"] = "1"
    yield

def test_dynamic(request):
    request.getfixturevalue("late")

class TestSuite:
    @pytest.mark.parametrize("number", range(2))
    def test_more(self, number, shared):
        pass

    def test_fixture_with_parameters(self, changing):
        pass
"""

UNCLEAN = """
def test_fails():
    os.environ["FAILING"] = "1"
    assert 1 == 2

def test_leaves():
    os.environ["LEFT"] = "1"

class TestOld(unittest.TestCase):
    def test_old(self):
        gc.disable()
"""


class Report(NamedTuple):
    """What pytest said: of each test the lines about what it leaves behind."""

    text: str
    leaks: dict[str, list[str]]

    def of(self, test: str) -> str:
        return "\n".join(self.leaks.get(test, ()))


def run(folder, ini, **sources):
    (folder / "pytest.ini").write_text(f"[pytest]\n{ini}")
    (folder / "helper.py").write_text(HELPER.lstrip())
    for name, source in sources.items():
        (folder / f"test_{name}.py").write_text(HEAD.lstrip() + source)
    plugins = ("cacheprovider", "xdist", "timeout", "hypothesispytest")
    without = [word for name in plugins for word in ("-p", f"no:{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *without, "--strict-markers", "--tb=short"],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    parts = re.split(
        r"^_+ (?:ERROR at \w+ of )?(\S+) _+$|^=+.*=+$", done.stdout, flags=re.MULTILINE
    )
    leaks = {
        name: body.strip().splitlines()
        for name, body in zip(parts[1::2], parts[2::2], strict=False)
        if name and "behind:" in body
    }
    return Report(done.stdout, leaks)


@pytest.fixture(scope="module")
def wanted(tmp_path_factory) -> Report:
    """Tests that ask for the fixture."""
    tests = "".join(
        f"def test_{kind}(no_leaks, tmp_path):\n    {code}\n\n" for kind, (code, _) in LEAKS.items()
    )
    return run(tmp_path_factory.mktemp("wanted"), "", one=tests, two=PLACES)


@pytest.fixture(scope="module")
def everywhere(tmp_path_factory) -> Report:
    """Tests that get it by the setting."""
    folder = tmp_path_factory.mktemp("everywhere")
    return run(folder, "flow_no_leaks = true", clean=CLEAN, unclean=UNCLEAN)


@pytest.mark.parametrize("kind", LEAKS)
def test_each_kind_is_found(wanted, kind):
    first, found, *_, last = wanted.leaks[f"test_{kind}"]
    assert first == "The test leaves something behind:"
    assert found.startswith(f"  {kind}: ")
    assert LEAKS[kind][1] in found
    assert last == (f'Put it right at the end of the test; or say @pytest.mark.may_leak("{kind}")')


@pytest.mark.parametrize(
    ("test", "place"),
    [
        ("variable", "helper.py:4 in set_variable"),
        ("thread", "helper.py:7 in start"),
        ("file", "helper.py:10 in open_file"),
        ("socket", "helper.py:13 in open_socket"),
        ("atexit", "helper.py:16 in register"),
        ("handler", "helper.py:19 in log"),
        ("process", "helper.py:22 in spawn"),
    ],
)
def test_the_place_is_told(wanted, test, place):
    assert f"      by {place}" in wanted.of(f"test_place_of_{test}")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_that_nobody_waited_for(wanted):
    text = r"the child process \d+ has ended, but nobody waited for it"
    assert re.search(text, wanted.of("test_nobody_waits"))


def test_a_value_of_a_variable_is_not_shown(wanted):
    assert "hunter22" not in wanted.text


def test_what_may_stay(wanted):
    assert "test_may_leak" not in wanted.leaks
    assert "STAYS_NOT was set" in wanted.of("test_may_leak_other")
    assert "There is no kind of leak 'thread'" in wanted.text
    assert "did you mean 'threads'?" in wanted.text


def test_only_who_asks_is_looked_at(wanted):
    assert "UNSEEN" not in wanted.text


def test_nothing_is_found_where_nothing_is_left(everywhere):
    assert re.search(r"^test_clean.py \.{11} ", everywhere.text, re.MULTILINE)


def test_the_setting_is_for_all_tests(everywhere):
    assert "LEFT was set" in everywhere.of("test_leaves")
    assert "enabled was True and is False" in everywhere.of("TestOld.test_old")


def test_a_failure_comes_alone(everywhere):
    assert "FAILING" not in everywhere.of("test_fails")
    assert "1 failed, 13 passed, 2 errors" in everywhere.text

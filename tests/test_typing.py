"""What type checkers say of flows and plugins: nothing where all is right, and each error on its line.

The files are in typing_tests/; its README says what the marks in them mean.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = ROOT / "typing_tests"
MARK = re.compile(r"  # (E|mypy|pyright)(?:: (.+))?$")
ERROR = re.compile(r"^(?P<file>.+?):(?P<line>\d+): error: (?P<text>.+)$", re.MULTILINE)
CHECKERS = ("mypy", "pyright")

Lines = dict[tuple[str, int], str]
"""File and line → what is said of it."""


def _run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FLOW_", "MYPY", "PYRIGHT"))}
    return subprocess.run(
        command, cwd=folder, env=kept, capture_output=True, text=True, timeout=200, check=False
    )


def _mypy(folder: Path, *paths: str, python: str = sys.executable) -> Lines:
    command = (sys.executable, "-m", "mypy", "--hide-error-context", "--no-error-summary")
    # Kept for the next time; each test has its own, since they have different settings.
    cache = ROOT / ".mypy_cache" / folder.name
    options = ("--python-executable", python, "--cache-dir", str(cache))
    done = _run(*command, *options, *paths, folder=folder)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: Lines = {}
    for match in ERROR.finditer(done.stdout):
        _add(found, match["file"], int(match["line"]), match["text"])
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found


def _pyright(folder: Path, *paths: str, python: str = sys.executable) -> Lines:
    _need_pyright()
    command = (sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", python)
    done = _run(*command, *paths, folder=folder)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["summary"]["filesAnalyzed"] >= len(paths)
    found: Lines = {}
    for diagnostic in report["generalDiagnostics"]:
        if diagnostic["severity"] != "error":
            continue
        file = Path(diagnostic["file"]).resolve().relative_to(folder.resolve())
        line = diagnostic["range"]["start"]["line"] + 1
        _add(found, str(file), line, diagnostic["message"])
    return found


def _add(found: Lines, file: str, line: int, text: str) -> None:
    found[file, line] = "\n".join(filter(None, [found.get((file, line)), text]))


def _need_pyright() -> None:
    """Skip the test where pyright is absent; but CI has it, or something is wrong."""
    if importlib.util.find_spec("basedpyright") is None:
        reason = "pyright is not here: pip install basedpyright"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)


def _check(checker: str, folder: Path, *paths: str, python: str = sys.executable) -> Lines:
    return {"mypy": _mypy, "pyright": _pyright}[checker](folder, *paths, python=python)


def _marks(checker: str, folder: Path) -> Lines:
    """Return what the marks say of the lines that a checker must find, ``""`` = anything."""
    found: Lines = {}
    for file in sorted(folder.glob("*/*.py")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            mark = MARK.search(line)
            if mark is not None and mark[1] in ("E", checker):
                found[str(file.relative_to(folder)), number] = mark[2] or ""
    return found


def _configure(folder: Path, strict: bool) -> None:
    (folder / "mypy.ini").write_text(
        f"[mypy]\nmypy_path = typings:.\nexplicit_package_bases = true\nstrict = {strict}\n"
    )
    mode = "strict" if strict else "standard"
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": mode}))


def _flow(folder: Path, *arguments: str, python: str = sys.executable) -> None:
    done = _run(python, "-c", "from flow_core.cli import main; main()", *arguments, folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_errors_are_found_where_they_are_and_nowhere_else(checker, tmp_path):
    shutil.copytree(FILES, tmp_path, dirs_exist_ok=True)
    _configure(tmp_path, strict=True)
    _flow(tmp_path, "-p", "team_plugin", "plugins", "stubs", "--output", "typings")
    expected = _marks(checker, tmp_path)
    found = _check(checker, tmp_path, "passes", "fails", "typings", "team_plugin.py")
    unmarked = {place: text for place, text in found.items() if place not in expected}
    assert unmarked == {}
    missed = {place: text for place, text in expected.items() if place not in found}
    assert missed == {}
    others = {
        place: f"{text!r} is not in: {found[place]}"
        for place, text in expected.items()
        if text not in found[place]
    }
    assert others == {}


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_without_stubs_nothing_is_found_in_what_is_right(checker, tmp_path):
    shutil.copytree(FILES / "passes", tmp_path / "passes")
    (tmp_path / "passes/team.py").unlink()  # nobody knows of its plugin without them
    (tmp_path / "passes/any.py").write_text("from flow_core import retri as retri\n")
    _configure(tmp_path, strict=False)
    assert _check(checker, tmp_path, "passes") == {}


@pytest.mark.slow
@pytest.mark.parametrize("checker", CHECKERS)
def test_stubs_in_the_environment_are_found_without_any_setting(checker, tmp_path):
    python = _environment(tmp_path / "env")
    (tmp_path / "wrong.py").write_text(
        "from flow_core import retri\n"
        "from flow_core import FlowSpec, retry, step\n\n\n"
        "class Wrong(FlowSpec):\n"
        "    @retry(tims=3)\n"
        "    @step\n"
        "    def start(self) -> None:\n"
        "        self.next(self.end)\n"
    )
    _flow(tmp_path, "plugins", "stubs", python=python)
    found = _check(checker, tmp_path, "wrong.py", python=python)
    assert found.keys() >= {("wrong.py", 1), ("wrong.py", 6)}
    assert "retri" in found["wrong.py", 1]


def _environment(folder: Path) -> str:
    """Make an environment with the flow-core and the plugins of this one; return its Python."""
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python3*/site-packages")
    ours = [p for p in sys.path if p.endswith("site-packages") or (Path(p) / "py.typed").exists()]
    sources = [p for p in sys.path if any(Path(p).glob("flow_*/py.typed"))]
    (site / "ours.pth").write_text("\n".join(dict.fromkeys([*sources, *ours])) + "\n")
    return str(folder / "bin/python")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["x = 3  # E", "y = 4"], {("fails/a.py", 1): ""}),
        (
            ["x = 3  # E: int", "y = 4  # mypy: str"],
            {("fails/a.py", 1): "int", ("fails/a.py", 2): "str"},
        ),
        (["x = 3  # pyright: int", 'y = "# E: x"'], {}),
    ],
)
def test_marks_are_read(lines: list[str], expected: Mapping[tuple[str, int], str], tmp_path):
    (tmp_path / "fails").mkdir()
    (tmp_path / "fails/a.py").write_text("\n".join(lines))
    assert _marks("mypy", tmp_path) == expected

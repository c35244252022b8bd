"""A shell finds a Python, or says why none will do."""

from __future__ import annotations

import ast
import json
import shutil
import struct
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from booting import START, Place, pythons
from servers.sharing import absent

from flow_remote.script import PYTHONS, SCRIPT, boot_command, boot_program, lean

SHELLS = [["/bin/dash"], ["/bin/bash", "--posix"], ["/bin/busybox", "ash"]]


@pytest.fixture(params=SHELLS, ids=lambda words: words[-1].rpartition("/")[2])
def shell(request: pytest.FixtureRequest) -> list[str]:
    """Return the words of a shell of this machine."""
    words: list[str] = request.param
    if not Path(words[0]).exists():
        absent(f"no shell {words[0]} here")
    return words


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.add_part({"started_here.py": START})
    return made


def with_shell(shell: list[str], pythons: list[str]) -> tuple[str, ...]:
    return (*shell, "-c", SCRIPT, "flow-task", boot_program(), *pythons)


def program(path: Path, text: str | bytes) -> str:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    path.chmod(0o755)
    return str(path)


def test_words() -> None:
    words = boot_command(["/env/bin/python", "python3"], "3.12")
    assert words[:4] == ("/bin/sh", "-c", SCRIPT, "flow-task")
    assert words[5:] == ("/env/bin/python", "python3", "python3.12", "python")
    assert boot_command()[5:] == PYTHONS


def test_all_shells_begin_a_task(shell: list[str], place: Place) -> None:
    told = place.run(words=with_shell(shell, ["/no/such/python", "no-such-python", sys.executable]))
    assert told.told["folders"]


def test_the_variable_names_the_only_one(shell: list[str], place: Place) -> None:
    place.variables["FLOW_PYTHON"] = sys.executable
    assert place.run(words=with_shell(shell, ["/no/such/python"])).told["folders"]
    place.variables["FLOW_PYTHON"] = "/opt/no python"
    failure = place.run(words=with_shell(shell, [sys.executable])).failure
    assert failure["why"] == "none of these is there: /opt/no python"


def test_there_is_no_python(shell: list[str], place: Place) -> None:
    log = place.folder / "termination-log"
    place.variables["FLOW_TERMINATION_LOG"] = str(log)
    failure = place.run(words=with_shell(shell, ["/no/python3.12", "no-python3"])).failure
    assert failure["what"] == "There is no Python here that can run flow-core"
    assert failure["why"] == "none of these is there: /no/python3.12 no-python3"
    assert "python:3.12-slim" in failure["hint"]
    assert json.loads(log.read_text().partition(" ")[2]) == failure


def test_another_processor(shell: list[str], place: Place) -> None:
    """The program is real, but for the processor that its header names."""
    header = bytearray(Path(sys.executable).resolve().read_bytes()[:4096])
    assert header[:4] == b"\x7fELF"
    header[18:20] = struct.pack("<H", 243)  # RISC-V
    path = program(place.folder / "python", bytes(header))
    failure = place.run(words=with_shell(shell, [path])).failure
    assert f"{path} is for another processor than this one (Exec format error)" in failure["why"]


def test_another_libc(shell: list[str], place: Place) -> None:
    text = "#!/lib/ld-musl-x86_64.so.0\n"  # the loader of another system is not there
    path = program(place.folder / "python", text)
    failure = place.run(words=with_shell(shell, [path])).failure
    assert f"{path} cannot be executed here" in failure["why"]


def test_a_python_that_does_not_run(shell: list[str], place: Place) -> None:
    path = program(place.folder / "python", "#!/bin/sh\necho 'quo\"ted \\ trouble'\nexit 3\n")
    failure = place.run(words=with_shell(shell, [path])).failure
    assert f"{path} does not run here (it ends with status 3)" in failure["why"]


def test_what_may_not_be_executed(shell: list[str], place: Place) -> None:
    path = place.folder / "python"
    path.write_text("")
    path.chmod(0o644)
    failure = place.run(words=with_shell(shell, [str(path)])).failure
    assert f"{path} may not be executed" in failure["why"]


OLD = pythons()


@pytest.mark.parametrize("python", OLD, ids=lambda path: path.parts[-3])
def test_each_python_begins_or_says_that_it_is_too_old(python: Path, place: Place) -> None:
    version = python.parts[-3]
    result = place.run(words=boot_command([str(python)])[:-2])
    if tuple(map(int, version.split(".")[:2])) >= (3, 10):
        assert result.told["python"] == version
    else:
        assert f"{python} is {version}, older than 3.10" in result.failure["why"]


@pytest.mark.parametrize("python", OLD, ids=lambda path: path.parts[-3])
def test_the_program_itself_says_that_a_python_is_too_old(python: Path, place: Place) -> None:
    version = python.parts[-3]
    if tuple(map(int, version.split(".")[:2])) < (3, 8):
        pytest.skip("the shell says that")
    result = place.run(words=(str(python), "-c", boot_program()))
    if tuple(map(int, version.split(".")[:2])) < (3, 10):
        assert result.failure["what"] == "This Python is too old for flow-core"
        assert result.failure["why"] == f"it is {version}, and flow-core needs 3.10 or newer"
    else:
        assert result.told["python"] == version


def test_the_program_is_short_enough_for_an_argument() -> None:
    assert len(boot_program()) < 20_000, "each task carries it"
    assert len(" ".join(boot_command())) < 100_000, "one argument of a process holds 128 KiB"


def test_lean_text_does_the_same_with_fewer_words() -> None:
    source = '"""Doc."""\n# why\nTYPE_CHECKING = False\nif TYPE_CHECKING:\n    import nothing\n'
    source += (
        'def f(x: int, *, y: "str" = "a") -> int:\n    """Doc."""\n\nclass C:\n    """Doc."""\n'
    )
    text = lean(source)
    assert "Doc" not in text
    assert "why" not in text
    assert "nothing" not in text
    space: dict[str, object] = {}
    exec(text, space)
    assert space["f"](1) is None  # type: ignore[operator]


def test_the_program_needs_no_syntax_newer_than_3_8() -> None:
    source = files("flow_remote").joinpath("boot.py").read_text()
    ast.parse(source, feature_version=(3, 8))
    ast.parse(boot_program(), feature_version=(3, 8))


def test_the_shell_script_is_posix() -> None:
    if shutil.which("shellcheck") is None:
        absent("no shellcheck here: apt-get install shellcheck")
    done = subprocess.run(
        ["shellcheck", "-s", "sh", "-"], input=SCRIPT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout

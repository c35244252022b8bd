"""The example with two versions of pandas, with conda: from a channel of this machine, on two Pythons."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from servers.conda import (
    CondaChannel,
    Interpreter,
    NoChannel,
    fetched_wheels,
    index,
    interpreters,
    package_of_wheel,
)
from servers.sharing import absent

ROOT = Path(__file__).resolve().parents[1]
NAME = "TwoPandasFlow"
PANDAS = {"2": "pandas==2.3.*", "3": "pandas==3.0.*"}


@pytest.fixture(scope="module")
def channel(conda_channel: CondaChannel, tmp_path_factory: pytest.TempPathFactory) -> CondaChannel:
    """The channel, with pandas 2 for one of its Pythons and pandas 3 for the other, newer one."""
    import rattler

    made = conda_channel.copy(tmp_path_factory.mktemp("channel") / "with-pandas")
    folder = Path(made.folder, str(rattler.Subdir.current()))
    try:
        for version, one in zip("23", sorted(interpreters(), key=_order), strict=True):
            wheels = tmp_path_factory.mktemp("wheels")
            for wheel in fetched_wheels([PANDAS[version]], one, wheels):
                package_of_wheel(folder, wheel, one)
    except NoChannel as reason:
        return absent(f"no pandas for the channel: {reason}")
    index(Path(made.folder))
    return made


def _order(one: Interpreter) -> int:
    return int(one.minor.partition(".")[2])


@pytest.mark.slow
def test_the_example_with_conda(channel: CondaChannel, tmp_path: Path) -> None:
    old, new = sorted((channel.python, channel.other), key=lambda v: int(v.split(".")[1]))
    for folder in ("movies", "two_pandas"):
        (tmp_path / folder).mkdir()
    (tmp_path / "movies/movies.csv").symlink_to(ROOT / "examples/movies/movies.csv")
    code = (ROOT / "examples/two_pandas/two_pandas_flow.py").read_text(encoding="utf-8")
    code = code.replace("import FlowSpec, IncludeFile, pypi", "import FlowSpec, IncludeFile, conda")
    for version, python in (("2", old), ("3", new)):
        asked = f'@pypi(packages={{"pandas": "{version}.*"}})'
        assert asked in code
        code = code.replace(
            asked, f'@conda(packages={{"pandas": "{version}.*"}}, python="{python}")'
        )
    flow = tmp_path / "two_pandas/two_pandas_flow.py"
    flow.write_text(code, encoding="utf-8")
    (tmp_path / "two_pandas/pyproject.toml").write_text(
        f'[tool.flow]\nconda_channels = "{channel.url}"\n', encoding="utf-8"
    )
    done = _run(tmp_path, sys.executable, str(flow), "run")
    assert "pandas 2.3." in done
    assert " and 3.0." in done
    assert "12 genres, 0 of them differ" in done
    again = _run(tmp_path, str(Path(sys.executable).parent / "flow"), "reproduce", f"{NAME}/1")
    assert "All 5 steps are bit-equal." in again


def _run(folder: Path, *command: str) -> str:
    """Run a command to its end; return what it printed."""
    done = subprocess.run(
        command,
        cwd=folder / "two_pandas",
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout

"""Wheels made without network are such as pip takes, also with their hashes."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import importlib_metadata
import pytest

from flow_core.testing import core_wheels, installed_wheel, write_wheel

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")


def install(wheels: Path, target: Path, *words: str) -> None:
    place = ("--no-index", "--find-links", str(wheels), "--target", str(target))
    subprocess.run([*PIP, "install", *place, *words], check=True)


def test_pip_installs_what_is_written(tmp_path: Path) -> None:
    write_wheel(tmp_path, "tiny", "1.0", {"tiny.py": "VALUE = 1\n"})
    made = write_wheel(tmp_path, "user", "2.0", {"user/__init__.py": ""}, requires=["tiny<2"])
    assert made.name == "user-2.0-py3-none-any.whl"
    install(tmp_path, tmp_path / "site", "user")
    assert (tmp_path / "site/tiny.py").read_text() == "VALUE = 1\n"


def test_what_is_installed_becomes_its_wheel_again(tmp_path: Path) -> None:
    made = installed_wheel(tmp_path, "blake3")
    names = zipfile.ZipFile(made).namelist()
    assert "blake3/__init__.py" in names
    assert not [name for name in names if "INSTALLER" in name or name.endswith(".pyc")]
    install(tmp_path, tmp_path / "site", "--no-deps", "blake3")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); import blake3"
    done = subprocess.run(
        [sys.executable, "-I", "-c", f"{code}; print(blake3.__file__)"], stdout=-1, check=True
    )
    assert done.stdout.decode().startswith(str(tmp_path))


def test_what_is_not_installed(tmp_path: Path) -> None:
    with pytest.raises(importlib_metadata.PackageNotFoundError):
        installed_wheel(tmp_path, "no-such-distribution")


def test_all_that_flow_core_needs_is_there(tmp_path: Path) -> None:
    made = [path.name.partition("-")[0] for path in core_wheels(tmp_path)]
    assert {"blake3", "zstandard"} <= {*made}
    assert len(made) == len({*made})

"""Where packages come from: options, settings, uv's variables, pip's configuration; and Pythons."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from flow_core.api import NoEnvironment
from flow_pypi.pythons import find_python, there_are
from flow_pypi.sources import Sources, find_sources, pip_sources, without_login


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration file of pip, and nothing else that it would read."""
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name)
    file = tmp_path / "pip.conf"
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path / "none"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "none"))
    file.write_text(
        "[global]\nindex-url = https://one.example/simple\n"
        "extra-index-url =\n    https://two.example/simple\n    https://three.example/simple\n"
        "trusted-host = one.example\ncert = /etc/ours.pem\n[install]\nfind-links = /wheels\n"
    )
    return file


class TestSources:
    def test_configuration_of_pip(self, pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        assert pip_sources() == Sources(
            "https://one.example/simple",
            ("https://two.example/simple", "https://three.example/simple"),
            ("/wheels",),
            False,
            ("one.example",),
            "/etc/ours.pem",
        )
        monkeypatch.setenv("PIP_INDEX_URL", "https://four.example/simple")
        monkeypatch.setenv("PIP_NO_INDEX", "true")
        assert pip_sources().index_url == "https://four.example/simple"
        assert pip_sources().no_index

    def test_what_counts_more(self, pip: Path, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        assert find_sources({}, work).index_url == "https://one.example/simple"
        assert find_sources({}, work).strategy == "unsafe-best-match"  # as pip takes them
        monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example/simple")
        assert find_sources({}, work) == Sources()
        assert find_sources({}, work).names() == ["https://uv.example/simple"]
        monkeypatch.setattr(
            work,
            "setting",
            {
                "pypi_index": "https://set.example",
                "pypi_extra_index": "https://b.example https://c.example",
                "pypi_find_links": "/w",
            }.__getitem__,
        )
        found = find_sources({}, work)
        assert found.index_url == "https://set.example"
        assert found.extra_index_urls == ("https://b.example", "https://c.example")
        assert found.links == ("/w",)
        found = find_sources({"index_url": "https://option.example"}, work)
        assert found.index_url == "https://option.example"
        assert found.variables() == {
            "UV_DEFAULT_INDEX": "https://option.example",
            "UV_INDEX": "https://b.example https://c.example",
            "UV_FIND_LINKS": "/w",
        }

    def test_logins_are_taken_out(self) -> None:
        assert without_login("https://bob:x@h.example/a") == "https://h.example/a"
        assert without_login("ssh://git@h.example/a") == "ssh://git@h.example/a"


class TestPythons:
    def test_that_of_the_launcher(self, work: Any) -> None:
        own = ".".join(map(str, sys.version_info[:3]))
        for version in (own, own.rpartition(".")[0]):
            found = find_python(version, work)
            assert found.version == own
            assert os.path.samefile(found.path, getattr(sys, "_base_executable", sys.executable))

    def test_those_of_pyenv_are_found_though_they_are_not_active(
        self, work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for version in ("3.99.2", "3.99.10"):
            program = tmp_path / "versions" / version / "bin" / "python"
            program.parent.mkdir(parents=True)
            program.write_text(f'#!/bin/sh\necho \'["{version}", "{program}"]\'\n')
            program.chmod(0o755)
        monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
        assert find_python("3.99", work).version == "3.99.10"
        assert find_python("3.99.2", work).path == os.path.realpath(
            tmp_path / "versions/3.99.2/bin/python"
        )

    def test_programs_that_do_not_run_are_passed_over(
        self, work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shim = tmp_path / "python3.98"
        shim.write_text("#!/bin/sh\nexit 127\n")
        shim.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
        with pytest.raises(NoEnvironment) as caught:
            find_python("3.98", work)
        own = ".".join(map(str, sys.version_info[:3]))
        assert caught.value.what == "There is no Python 3.98 on this machine"
        assert str(caught.value.why).startswith("none may be downloaded (pypi_python_downloads")
        assert own in str(caught.value.why)
        assert own in there_are()

"""The provider by itself: the conformance suite, and what pip says in words of ours."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flow_core.api import CommandFailed, EnvironmentBuilder, EnvironmentLock, NoEnvironment
from flow_core.testing import EnvironmentSuite
from flow_venv.provider import VenvEnvironment, check, find_python, requirements_of
from flow_venv.trouble import explain


class _Suite(EnvironmentSuite):
    provider = VenvEnvironment
    options: Mapping[str, Any] = {"packages": ["tiny==1.0"]}
    proof = "import tiny; assert tiny.VERSION == '1.0'"
    other_options: Mapping[str, Any] = {"packages": ["tiny==2.0"]}
    impossible: Mapping[str, Any] = {"packages": ["tiny==3.0"]}

    @pytest.fixture(autouse=True)
    def _wheels(self, wheels: Path) -> None:
        self.settings = {"venv_wheels": str(wheels), "venv_index": ""}


@pytest.mark.slow
class TestVenv(_Suite):
    pass


@pytest.fixture
def builder(tmp_path: Path, wheels: Path) -> EnvironmentBuilder:
    settings = {"venv_wheels": str(wheels), "venv_index": ""}
    return EnvironmentBuilder("venv", VenvEnvironment(), str(tmp_path), setting=settings.get)


def request_for(*packages: str, **changes: Any) -> Any:
    suite = _Suite()
    return suite.request({"packages": list(packages)})._replace(requirements=(), **changes)


class TestLock:
    def test_names_what_pip_would_install_with_its_hash(self, builder: EnvironmentBuilder) -> None:
        lock = builder.resolve(request_for("clash")).data
        assert [(p["name"], p["version"]) for p in lock["packages"]] == [
            ("clash", "1.0"),
            ("tiny", "1.0"),
        ]
        assert {p["file"] for p in lock["packages"]} == {
            "clash-1.0-py3-none-any.whl",
            "tiny-1.0-py3-none-any.whl",
        }
        assert all(len(p["sha256"]) == 64 for p in lock["packages"])

    def test_reads_a_requirements_file(self, builder: EnvironmentBuilder) -> None:
        files = {"requirements.txt": "# ours\ntiny<2  # not the new one\n\n"}
        lock = builder.resolve(request_for(files=files)).data
        assert [p["version"] for p in lock["packages"]] == ["1.0"]

    def test_packages_that_clash(self, builder: EnvironmentBuilder) -> None:
        with pytest.raises(NoEnvironment) as caught:
            builder.resolve(request_for("clash", "tiny==2.0"))
        assert caught.value.what == "The packages that the step asks for do not fit together"
        assert "clash 1.0 depends on tiny<2" in str(caught.value.why)

    def test_a_version_that_is_not_there(self, builder: EnvironmentBuilder) -> None:
        with pytest.raises(NoEnvironment) as caught:
            builder.resolve(request_for("tiny==3.0"))
        assert str(caught.value) == (
            "No package fits 'tiny==3.0'\n"
            "  where: environment provider 'venv'\n"
            "  why:   versions that there are: 1.0, 2.0\n"
            "  try:   check name and version; @venv installs wheels only: a folder with yours is "
            "FLOW_VENV_WHEELS"
        )

    def test_a_name_that_is_not_there(self, builder: EnvironmentBuilder) -> None:
        with pytest.raises(NoEnvironment, match="No package fits 'tinny'") as caught:
            builder.resolve(request_for("tinny"))
        assert "no package of this name" in str(caught.value.why)

    def test_a_python_that_is_not_there(self, builder: EnvironmentBuilder) -> None:
        request = request_for()._replace(options={"python": "3.99"})
        with pytest.raises(NoEnvironment) as caught:
            builder.resolve(request)
        assert caught.value.what == "There is no Python 3.99 on this machine"
        assert caught.value.why == "no program 'python3.99' is on the PATH"

    def test_offline_nothing_new_is_resolved(self, tmp_path: Path, wheels: Path) -> None:
        settings = {"venv_wheels": str(wheels), "venv_index": ""}
        offline = EnvironmentBuilder(
            "venv", VenvEnvironment(), str(tmp_path), setting=settings.get, offline=True
        )
        with pytest.raises(NoEnvironment, match="was not resolved yet"):
            offline.resolve(request_for("tiny"))


class TestBuild:
    def test_a_wheel_that_was_changed(self, builder: EnvironmentBuilder, tmp_path: Path) -> None:
        lock = builder.resolve(request_for("tiny==1.0"))
        data = lock.data
        data["packages"][0]["sha256"] = "0" * 64
        with pytest.raises(NoEnvironment) as caught:
            builder.prepare(EnvironmentLock.of("venv", data))
        assert caught.value.what == (
            "A package is not what it was when the environment was resolved"
        )

    def test_offline_it_says_what_is_missing(
        self, builder: EnvironmentBuilder, tmp_path: Path, wheels: Path
    ) -> None:
        lock = builder.resolve(request_for("tiny==1.0"))
        settings = {"venv_wheels": str(wheels), "venv_index": ""}
        offline = EnvironmentBuilder(
            "venv", VenvEnvironment(), str(tmp_path), setting=settings.get, offline=True
        )
        with pytest.raises(NoEnvironment) as caught:
            offline.prepare(lock)
        assert caught.value.why == "missing: tiny 1.0"


class TestParts:
    def test_own_python_needs_no_search(self) -> None:
        import sys

        assert find_python(f"3.{sys.version_info[1]}") == sys.executable

    def test_options_of_pip_are_no_requirements(self) -> None:
        assert requirements_of("a==1\n#b\n  c # d\n") == ["a==1", "c"]
        with pytest.raises(NoEnvironment, match="has an option of pip: -r other\\.txt") as caught:
            requirements_of("a\n-r other.txt\n")
        assert caught.value.where == "line 2"

    def test_a_newer_lock_is_refused(self) -> None:
        with pytest.raises(NoEnvironment, match="no lock of the environment provider 'venv'"):
            check({"format": 2, "python": "3.12", "packages": []})

    def test_no_pip(self) -> None:
        error = CommandFailed(
            "x", command=["/bin/python"], status=1, output="/bin/python: No module named pip"
        )
        assert explain(error).hint == "python -m ensurepip"

    def test_whatever_else_pip_says_is_passed_on(self) -> None:
        error = CommandFailed("x", command=["p"], status=1, output="WARNING: a\nERROR: disk full")
        assert explain(error).why == "disk full"

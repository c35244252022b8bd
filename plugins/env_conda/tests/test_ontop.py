"""Packages of PyPI on top of those of conda, and flows whose steps have two versions of Python."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from servers import conda
from servers.conda import CondaChannel

from flow_conda.provider import CondaEnvironment
from flow_core.api import (
    EnvironmentBuilder,
    EnvironmentLock,
    EnvironmentRequest,
    NoEnvironment,
    this_platform,
)
from flow_core.testing import write_wheel


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of wheels; those of `ontop` need versions of what conda provides."""
    folder = tmp_path_factory.mktemp("wheels")
    write_wheel(folder, "ontop", "1.0", {"ontop.py": "A = 1\n"}, requires=["tinylib<2", "below"])
    write_wheel(folder, "ontop", "2.0", {"ontop.py": "A = 2\n"}, requires=["tinylib>=2"])
    write_wheel(folder, "below", "1.0", {"below.py": ""})
    return folder


@pytest.fixture(autouse=True)
def variables(
    monkeypatch: pytest.MonkeyPatch, wheels: Path, conda_channel: CondaChannel
) -> dict[str, str]:
    """Variables by which there is no index, and one channel."""
    for name in [n for n in os.environ if n.startswith(("CONDA_", "PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    given = {
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "FLOW_PYPI_FIND_LINKS": str(wheels),
        "FLOW_CONDA_CHANNELS": conda_channel.folder,
        "FLOW_PLUGINS": "",  # also those that are no default ones
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return given


@pytest.fixture
def builder(tmp_path: Path, wheels: Path, conda_channel: CondaChannel) -> EnvironmentBuilder:
    settings = {
        "conda_channels": conda_channel.folder,
        "mirror_packages": False,
        "pypi_find_links": str(wheels),
        "pypi_index": "",
        "pypi_extra_index": "",
        "pypi_python_downloads": False,
    }
    return EnvironmentBuilder(
        "conda", CondaEnvironment(), str(tmp_path / "envs"), setting=settings.__getitem__
    )


def request(**options: Any) -> EnvironmentRequest:
    required, files = options.pop("required", ()), options.pop("files", {})
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return EnvironmentRequest(options, required, files, this_platform(), version)


def on_top(lock: Any) -> dict[str, str]:
    from flow_pypi.pylock import read

    return {p.name: p.version for p in read(lock.data["pypi"])}


class TestLock:
    def test_what_conda_provides_stays(self, builder: EnvironmentBuilder) -> None:
        for version, found in [
            ("1.*", {"ontop": "1.0", "below": "1.0"}),
            ("2.*", {"ontop": "2.0"}),
        ]:
            lock = builder.resolve(
                request(packages=[f"tinylib {version}"], pypi={"packages": ["ontop"]})
            )
            assert on_top(lock) == found

    def test_section_pip_of_environment_yml(self, builder: EnvironmentBuilder) -> None:
        files = {"environment.yml": "dependencies: [oldfriend, pip, pip: [ontop]]\n"}
        lock = builder.resolve(request(environment="environment.yml", files=files))
        assert on_top(lock)["ontop"] == "1.0"

    def test_what_tasks_need_and_no_channel_has(self, builder: EnvironmentBuilder) -> None:
        lock = builder.resolve(request(packages=["tinylib 2.0"], required=("below>=1", "blake3")))
        assert on_top(lock) == {"below": "1.0"}
        assert "blake3" in {p["name"] for p in lock.data["packages"]}

    def test_what_does_not_fit_what_conda_provides(self, builder: EnvironmentBuilder) -> None:
        with pytest.raises(NoEnvironment) as caught:
            builder.resolve(request(packages=["tinylib 1.4"], pypi={"packages": ["ontop==2.0"]}))
        assert "conda provides tinylib 1.4" in str(caught.value.why).splitlines()

    def test_a_pyproject_is_refused(self, builder: EnvironmentBuilder) -> None:
        wanted = request(pypi={"pyproject": "pyproject.toml"}, files={"pyproject.toml": ""})
        with pytest.raises(NoEnvironment, match="does not go together with @conda"):
            builder.resolve(wanted)

    def test_conda_lock_yml_has_it_too(self, builder: EnvironmentBuilder) -> None:
        from flow_pypi.pylock import Package, write

        lock = builder.resolve(request(packages=["tinylib 2.0"])).data
        url = "https://h.example/six-1.0-py3-none-any.whl"
        six = Package("six", "1.0", "six-1.0-py3-none-any.whl", "a" * 64, url)
        whole = EnvironmentLock.of("conda", {**lock, "pypi": write([six], "3.12")})
        found = yaml.safe_load(builder.export(whole)["conda-lock.yml"])["package"]
        assert [p["name"] for p in found] == ["python", "tinylib", "six"]
        last = found[-1]
        assert (last["manager"], last["url"]) == ("pip", url)
        assert last["hash"] == {"sha256": "a" * 64}

    def test_own_wheels_have_no_place_in_conda_lock_yml(self, builder: EnvironmentBuilder) -> None:
        lock = builder.resolve(request(packages=["tinylib 2.0"], pypi={"packages": ["ontop"]}))
        with pytest.raises(NoEnvironment, match="'ontop' has no URL"):
            builder.export(lock)


FLOW = """
    from flow_core import FlowSpec, conda, conda_base, pypi, step

    @conda_base(packages={"tinylib": "1.*"})
    class F(FlowSpec):
        @conda(disabled=True)
        @step
        def start(self):
            self.degrees = 20.0
            self.next(self.old, self.new)

        @pypi(packages={"ontop": ""})
        @step
        def old(self):
            import sys, tinylib, ontop
            self.what = sys.version_info[:2], tinylib.__version__, ontop.A
            self.value = tinylib.warmer(self.degrees)
            self.next(self.join)

        @conda(packages={"tinylib": "2.*"}, python="OTHER")
        @step
        def new(self):
            import sys, tinylib
            self.what = sys.version_info[:2], tinylib.__version__
            self.value = tinylib.warmer(self.degrees)
            self.next(self.join)

        @conda(disabled=True)
        @step
        def join(self, inputs):
            self.values = inputs.old.value, inputs.new.value
            self.next(self.end)

        @conda(disabled=True)
        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


@pytest.mark.slow
def test_two_steps_have_two_pythons_and_two_versions_of_a_library(
    flowtester: Any, conda_channel: CondaChannel, variables: dict[str, str]
) -> None:
    file = flowtester.write(FLOW.replace("OTHER", conda_channel.other))
    flowtester.python(file, "run", variables=variables).check()
    run = flowtester.left()
    assert run.artifact("old", "what") == (sys.version_info[:2], "1.4", 1)
    other = tuple(map(int, conda_channel.other.split(".")))
    assert run.artifact("new", "what") == (other, "2.0")
    assert run.artifact("join", "values") == (21.4, 22.0)


@pytest.mark.slow
def test_environment_for_all_is_bare(flowtester: Any, variables: dict[str, str]) -> None:
    file = flowtester.write("""
        from flow_core import FlowSpec, step

        class F(FlowSpec):
            @step
            def start(self):
                import importlib.util, sys
                self.prefix = sys.prefix
                self.seen = [importlib.util.find_spec(n) is not None for n in ("pip", "pytest")]
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
    """)
    flowtester.python(file, "--environment", "conda", "run", variables=variables).check()
    run = flowtester.left()
    assert run.artifact("start", "prefix") != sys.prefix
    assert run.artifact("start", "seen") == [False, False]


def test_the_channel_is_described_by_its_maker(conda_channel: CondaChannel) -> None:
    found = {one.minor for one in conda.interpreters()}
    assert found == {conda_channel.python, conda_channel.other}

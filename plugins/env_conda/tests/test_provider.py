"""The provider by itself: the conformance suite, locks, and what goes wrong."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from servers import conda
from servers.conda import CondaChannel

from flow_conda import trouble
from flow_conda.provider import CondaEnvironment, check, default_channels
from flow_core.api import (
    EnvironmentBuilder,
    EnvironmentLock,
    EnvironmentRequest,
    NoEnvironment,
    this_platform,
)
from flow_core.testing import EnvironmentSuite
from flow_core.testing.processes import in_children


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("CONDA_")]:
        monkeypatch.delenv(name)


@pytest.mark.slow
class TestConda(EnvironmentSuite):
    provider = CondaEnvironment
    options: Mapping[str, Any] = {"packages": ["tinylib 1.*"]}
    proof = "import tinylib; assert tinylib.__version__ == '1.4'"
    other_options: Mapping[str, Any] = {"packages": ["tinylib 2.*"]}
    impossible: Mapping[str, Any] = {"packages": ["oldfriend", "newfriend"]}

    @pytest.fixture(autouse=True)
    def _channel(self, conda_url: str) -> None:
        self.settings = {"conda_channels": conda_url, "mirror_packages": False}


SETTINGS = {
    "mirror_packages": False,
    **dict.fromkeys(("pypi_index", "pypi_extra_index", "pypi_find_links"), ""),
}

Make = Callable[..., EnvironmentBuilder]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that tests share: interpreters are unpacked once."""
    return tmp_path_factory.mktemp("conda-cache")


@pytest.fixture
def make(tmp_path: Path, cache: Path, conda_url: str) -> Make:
    """Return a function that makes builders; with ``fresh`` nothing was fetched yet."""

    def builder(fresh: bool = False, name: str = "envs", **changes: Any) -> EnvironmentBuilder:
        root = tmp_path / name
        if not fresh and not (root / "conda" / "cache").exists():
            (root / "conda").mkdir(parents=True)
            (root / "conda" / "cache").symlink_to(cache)
        settings: dict[str, Any] = {"conda_channels": conda_url, **SETTINGS}
        settings.update(changes.pop("settings", {}))
        return EnvironmentBuilder(
            "conda", CondaEnvironment(), str(root), setting=settings.__getitem__, **changes
        )

    return builder


def request(*packages: str, **changes: Any) -> EnvironmentRequest:
    """Return a request for packages, and for nothing that tasks need."""
    options = {"packages": list(packages), **changes.pop("options", {})}
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return EnvironmentRequest(options, (), {}, this_platform(), version)._replace(**changes)


def names(lock: EnvironmentLock) -> dict[str, str]:
    return {p["name"]: p["version"] for p in lock.data["packages"]}


def error_of(builder: EnvironmentBuilder, wanted: EnvironmentRequest) -> NoEnvironment:
    with pytest.raises(NoEnvironment) as caught:
        builder.resolve(wanted, anew=True)
    return caught.value


class TestLock:
    def test_names_each_package_with_its_url_and_its_hash(
        self, make: Make, conda_url: str, conda_channel: CondaChannel
    ) -> None:
        lock = make().resolve(request("oldfriend")).data
        assert [p["name"] for p in lock["packages"]] == ["oldfriend", "python", "tinylib"]
        for package in lock["packages"]:
            assert len(package["sha256"]) == 64
            assert package["url"].startswith(f"{conda_url}/{package['subdir']}/{package['name']}-")
        python = lock["packages"][1]["version"]
        assert python.startswith(f"{conda_channel.python}.")

    def test_another_python(self, make: Make, conda_channel: CondaChannel) -> None:
        wanted = request("tinylib", options={"python": conda_channel.other})
        assert names(make().resolve(wanted))["python"].startswith(f"{conda_channel.other}.")

    def test_channels_come_from_options_settings_or_the_variable_of_conda(
        self, make: Make, conda_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONDA_CHANNELS", f"{conda_url}, other")

        class Work:
            given = ""

            def setting(self, name: str) -> str:
                return self.given

        work: Any = Work()
        assert default_channels(work) == [conda_url, "other"]
        work.given = "mine,yours"
        assert default_channels(work) == ["mine", "yours"]
        monkeypatch.delenv("CONDA_CHANNELS")
        work.given = ""
        assert default_channels(work) == ["conda-forge"]
        no_setting = make(settings={"conda_channels": "http://127.0.0.1:9/x"})
        assert names(no_setting.resolve(request("tinylib", options={"channels": [conda_url]})))

    def test_a_package_of_a_channel_of_its_own(
        self, make: Make, tmp_path: Path, conda_url: str
    ) -> None:
        conda.library(tmp_path / "own", "tinylib", "0.1", "")
        conda.index(tmp_path / "own")
        own = (tmp_path / "own").as_uri()
        wanted = request(f"{own}::tinylib", options={"channels": [conda_url, own]})
        assert names(make().resolve(wanted))["tinylib"] == "0.1"

    def test_a_folder_is_a_channel(self, make: Make, conda_channel: CondaChannel) -> None:
        wanted = request("tinylib 1.0", options={"channels": [conda_channel.folder]})
        assert names(make().resolve(wanted))["tinylib"] == "1.0"

    def test_for_another_platform(self, make: Make) -> None:
        other = "macos-arm64" if sys.platform == "linux" else "linux-aarch64"
        lock = make().resolve(request("native", "tinylib", platform=other))
        assert names(lock)["native"] == "1.0", "that of this platform is 2.0"
        found = {p["subdir"] for p in lock.data["packages"]}
        assert found == {lock.data["platform"], "noarch"}

    def test_what_the_other_platform_must_have(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CONDA_OVERRIDE_OSX", "10.15")
        error = error_of(make(), request("native", platform="macos-arm64"))
        assert error.why == "native 1.0 needs __osx >=11.0, which osx-arm64 does not have"

    def test_what_tasks_need_comes_from_the_channel(self, make: Make) -> None:
        lock = make().resolve(request("tinylib", requirements=("blake3>=1", "tinylib<2")))
        assert {"blake3", "tinylib"} <= {*names(lock)}

    def test_conditions_are_those_of_the_environment(
        self, make: Make, conda_channel: CondaChannel
    ) -> None:
        needed = f"blake3>=1; python_version == '{conda_channel.other}'"
        here = make().resolve(request("tinylib", requirements=(needed,)))
        there = make().resolve(
            request("tinylib", requirements=(needed,), options={"python": conda_channel.other})
        )
        assert ("blake3" in names(here), "blake3" in names(there)) == (False, True)

    def test_environment_yml(self, make: Make, conda_url: str) -> None:
        text = f"channels: ['{conda_url}']\ndependencies: [oldfriend, 'tinylib 1.0']\n"
        options = {"environment": "environment.yml"}
        files = {"environment.yml": text}
        builder = make(settings={"conda_channels": "http://127.0.0.1:9/x"})
        assert names(builder.resolve(request(options=options, files=files)))["tinylib"] == "1.0"
        over = request("tinylib 1.4", options=options, files=files)
        assert names(builder.resolve(over))["tinylib"] == "1.4"

    def test_passwords_of_channels_are_in_no_lock(
        self, make: Make, conda_url: str, conda_channel: CondaChannel, tmp_path: Path
    ) -> None:
        url = conda_url.replace("http://", "http://ada:secret@")
        builder = make(settings={"conda_channels": url})
        lock = builder.resolve(request("tinylib 1.0"))
        assert "secret" not in lock.text
        down = make(settings={"conda_channels": "http://ada:secret@127.0.0.1:9/t/tok-1/c"})
        error = str(error_of(down, request("tinylib")))
        assert "'http://127.0.0.1:9/c'" in error
        assert "secret" not in error
        assert "tok-1" not in error

    def test_other_channels_lead_to_another_lock(
        self, make: Make, conda_channel: CondaChannel, conda_url: str
    ) -> None:
        by_url = make().resolve(request("tinylib 1.0"))
        by_folder = make(settings={"conda_channels": conda_channel.folder})
        assert by_folder.known(request("tinylib 1.0")) is None
        assert by_folder.resolve(request("tinylib 1.0")).hash != by_url.hash
        assert make().known(request("tinylib 1.0")) == by_url
        own = request("tinylib 1.0", options={"channels": [conda_url]})
        known = by_folder.resolve(own)
        assert make().known(own) == known, "what the step says itself counts alone"

    def test_a_lock_of_another_format_is_refused(self) -> None:
        with pytest.raises(NoEnvironment, match="no lock of the environment provider 'conda'"):
            check({"format": 2, "platform": "linux-64", "packages": []})


class TestErrors:
    def test_packages_that_clash(self, make: Make) -> None:
        error = error_of(make(), request("oldfriend", "newfriend"))
        assert str(error) == (
            "The packages that the step asks for do not fit together\n"
            "  where: environment provider 'conda'\n"
            "  why:   newfriend 1.0 needs tinylib >=2\n"
            "         oldfriend 1.0 needs tinylib <2\n"
            "  try:   leave open the version of one of them"
        )

    def test_a_package_that_clashes_with_what_the_step_says(self, make: Make) -> None:
        error = error_of(make(), request("oldfriend", "tinylib 2.0"))
        assert error.why == "oldfriend 1.0 needs tinylib <2\nthe step asks for tinylib ==2.0"

    def test_a_package_that_clashes_with_python(
        self, make: Make, conda_channel: CondaChannel
    ) -> None:
        error = error_of(make(), request("onlyown", options={"python": conda_channel.other}))
        assert error.why == (
            f"onlyown 1.0 needs python {conda_channel.python}.*\n"
            f"the step asks for python {conda_channel.other}.*"
        )

    def test_an_unknown_package(self, make: Make, conda_url: str) -> None:
        assert str(error_of(make(), request("tinnylib"))) == (
            "There is no package 'tinnylib'\n"
            f"  where: channel {conda_url}\n"
            "  why:   none of the channels has a package of this name for this platform\n"
            "  try:   did you mean 'tinylib'?"
        )

    def test_a_version_that_is_not_there(self, make: Make, conda_url: str) -> None:
        error = error_of(make(), request("tinylib 3.*"))
        assert error.what == "No package fits 'tinylib 3.*'"
        assert error.why == "versions that there are: 1.0, 1.4, 2.0"

    def test_a_python_that_is_not_there(self, make: Make, conda_channel: CondaChannel) -> None:
        error = error_of(make(), request(options={"python": "3.99"}))
        assert error.what == "There is no 'python 3.99.*'"
        assert conda_channel.python in str(error.why)
        assert conda_channel.other in str(error.why)
        newest = max(conda_channel[1:], key=lambda v: int(v.split(".")[1]))
        assert error.hint == f"python='{newest}'"

    def test_a_channel_that_does_not_answer(self, make: Make, conda_url: str) -> None:
        down = "http://127.0.0.1:9/down"
        error = error_of(make(), request("tinylib", options={"channels": [conda_url, down]}))
        assert error.what == f"The channel '{down}' is not reached"
        assert "Connection refused" in str(error.why)

    def test_a_channel_that_is_none(self, make: Make, conda_url: str) -> None:
        error = error_of(make(), request(options={"channels": [f"{conda_url}/nothing"]}))
        assert error.what == f"There is no channel '{conda_url}/nothing'"

    def test_a_platform_that_conda_does_not_know(self, make: Make) -> None:
        error = error_of(make(), request(platform="linux-x86_65"))
        assert error.what == "There are no packages of conda for the platform 'linux-x86_65'"
        assert error.hint == "did you mean 'linux-x86_64'?"

    def test_offline_nothing_new_is_solved(self, make: Make) -> None:
        error = error_of(make(fresh=True, offline=True), request("tinylib"))
        assert error.what == "What @conda asks for was not solved yet, and no network may be used"

    def test_a_version_that_nobody_understands(self, make: Make) -> None:
        error = error_of(make(), request("tinylib >=<2"))
        assert error.what == "'tinylib >=<2' is no package for conda"


@pytest.fixture
def own_channel(conda_channel: CondaChannel, tmp_path: Path) -> CondaChannel:
    """A copy of the channel that a test may change."""
    return conda_channel.copy(tmp_path / "channel")


_BUILD = """
import os
from flow_conda.provider import CondaEnvironment
from flow_core.api import EnvironmentBuilder, EnvironmentLock, NoEnvironment

lock = EnvironmentLock.read("conda", open("lock.json").read())
settings = {"conda_channels": "", "mirror_packages": False}
try:
    EnvironmentBuilder("conda", CondaEnvironment(), "small", setting=settings.get).prepare(lock)
except NoEnvironment as error:
    print(error.what)
print([name for name in os.listdir("small/conda") if len(name) == 16])
"""
"""Builds an environment on a disk that is too small."""


class TestBuild:
    def test_a_package_that_the_channel_has_changed(
        self, make: Make, own_channel: CondaChannel
    ) -> None:
        builder = make(fresh=True, settings={"conda_channels": own_channel.folder})
        lock = builder.resolve(request("tinylib 1.0"))
        conda.library(Path(own_channel.folder), "tinylib", "1.0", "changed = True\n")
        with pytest.raises(NoEnvironment) as caught:
            builder.prepare(lock)
        assert caught.value.what == (
            "The package 'tinylib' is not what it was when the environment was solved"
        )
        assert str(caught.value.where).endswith("/noarch/tinylib-1.0-0.conda")
        assert builder.find(lock) is None

    def test_a_package_that_is_gone(self, make: Make, own_channel: CondaChannel) -> None:
        builder = make(fresh=True, settings={"conda_channels": own_channel.folder})
        lock = builder.resolve(request("tinylib 1.0"))
        Path(own_channel.folder, "noarch", "tinylib-1.0-0.conda").unlink()
        with pytest.raises(NoEnvironment, match="The package 'tinylib' cannot be fetched"):
            builder.prepare(lock)

    def test_what_is_damaged_in_the_cache_is_fetched_again(
        self, make: Make, tmp_path: Path
    ) -> None:
        builder = make(fresh=True)
        lock = builder.resolve(request("tinylib 1.0"))
        builder.prepare(lock)
        cache = tmp_path / "envs" / "conda" / "cache"
        for archive in (cache / "archives").glob("*/tinylib*"):
            archive.write_bytes(b"damaged")
        shutil.rmtree(cache / "pkgs")
        builder.remove(lock)
        ready = builder.prepare(lock)
        subprocess.run([ready.interpreter, "-c", "import tinylib"], check=True)

    def test_of_another_platform(self, make: Make) -> None:
        lock = make().resolve(request("native", platform="macos-arm64"))
        with pytest.raises(NoEnvironment, match="The environment is for osx-arm64, and this"):
            make().prepare(lock)

    def test_offline_it_says_what_is_missing(self, make: Make) -> None:
        lock = make().resolve(request("tinylib 1.0"))
        with pytest.raises(NoEnvironment) as caught:
            make(fresh=True, name="new", offline=True).prepare(lock)
        assert "tinylib 1.0" in str(caught.value.why)
        assert caught.value.hint == "build it once with network: FLOW_OFFLINE=0"

    @pytest.mark.slow
    def test_eight_launchers_build_once(self, make: Make) -> None:
        lock = make().resolve(request("tinylib 1.0"))

        def build(number: int) -> tuple[str, int]:
            told: list[str] = []
            ready = make(tell=lambda text, part: told.append(text)).prepare(lock)
            return ready.interpreter, sum(text.startswith("making an env") for text in told)

        answers = in_children(8, build)
        assert len({interpreter for interpreter, _ in answers}) == 1
        assert sum(built for _, built in answers) == 1

    @pytest.mark.slow
    @pytest.mark.skipif(sys.platform != "linux", reason="a small disk is mounted")
    def test_a_full_disk(self, make: Make, tmp_path: Path, conda_channel: CondaChannel) -> None:
        lock = make().resolve(request("tinylib 1.0"))
        (tmp_path / "lock.json").write_text(lock.text)
        (tmp_path / "small").mkdir()
        (tmp_path / "build.py").write_text(_BUILD)
        mounted = 'mount -t tmpfs -o size=30m tmpfs small && exec "$0" build.py'
        command = ["unshare", "-rm", "sh", "-c", mounted, sys.executable]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        if not done.stdout:
            pytest.skip(f"no disk can be mounted here: {done.stderr[-200:]}")
        assert done.stdout.splitlines() == ["The disk is full", "[]"]

    def test_words_for_a_full_disk(self) -> None:
        error = trouble.disk_full("/envs")
        assert (error.what, error.where) == ("The disk is full", "/envs")
        assert error.hint == "make room, or put environments elsewhere: FLOW_ENVIRONMENTS=FOLDER"
        texts = ["failed to link: No space left on device (os error 28)", "[Errno 28] No space"]
        assert all(map(trouble.is_full, texts))
        assert not trouble.is_full("os error 2")

    @pytest.mark.slow
    def test_killed_at_any_time_it_is_built_again(self, make: Make, tmp_path: Path) -> None:
        builder = make(fresh=True)
        lock = builder.resolve(request("tinylib 1.0"))
        killed, longest = 0, 1.5
        while killed < 3:
            pid = os.fork()
            if pid == 0:
                try:
                    builder.prepare(lock)
                finally:
                    os._exit(0)
            time.sleep(random.uniform(0.0, longest))
            os.kill(pid, signal.SIGKILL)
            if os.WIFSIGNALED(os.waitpid(pid, 0)[1]):
                killed += 1
            else:  # it was quicker: sooner, and where nothing is built
                longest /= 2
                builder = make(fresh=True, name=f"within-{longest}")
        ready = builder.prepare(lock)
        subprocess.run([ready.interpreter, "-c", "import tinylib, ssl, sqlite3"], check=True)
        assert ready.packages["tinylib"] == "1.0"


class _Mirror:
    """A mirror in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def fetch(self, sha256: str, path: str) -> bool:
        if not (self.folder / sha256).exists():
            return False
        shutil.copyfile(self.folder / sha256, path)
        return True

    def keep(self, sha256: str, path: str) -> None:
        shutil.copyfile(path, self.folder / sha256)


class TestMirror:
    def test_all_channels_may_be_gone(
        self, make: Make, tmp_path: Path, own_channel: CondaChannel
    ) -> None:
        mirror = _Mirror(tmp_path / "mirror")
        settings = {"conda_channels": own_channel.folder, "mirror_packages": True}
        builder = make(fresh=True, settings=settings, mirror=mirror)
        lock = builder.resolve(request("tinylib 1.0"))
        builder.prepare(lock)
        assert {p.name for p in mirror.folder.iterdir()} == {
            p["sha256"] for p in lock.data["packages"]
        }
        shutil.rmtree(own_channel.folder)
        # The setting is off: the channel fails first. Offline: the mirror at once.
        for name, changes in (("second", {}), ("third", {"offline": True})):
            ready = make(fresh=True, name=name, mirror=mirror, **changes).prepare(lock)
            subprocess.run([ready.interpreter, "-c", "import tinylib"], check=True)

    def test_a_mirror_in_trouble_does_not_hide_the_reason(self, make: Make, tmp_path: Path) -> None:
        class Broken(_Mirror):
            def fetch(self, sha256: str, path: str) -> bool:
                raise NoEnvironment("The store is down")

        lock = make().resolve(request("tinylib 1.0"))
        data = lock.data
        for package in data["packages"]:
            package["url"] = "http://127.0.0.1:9/noarch/" + package["fn"]
        gone = EnvironmentLock.of("conda", data)
        broken = Broken(tmp_path / "mirror")
        for changes, what in (
            ({}, "cannot be fetched"),
            ({"offline": True}, "are not on this machine"),
        ):
            with pytest.raises(NoEnvironment, match=what) as caught:
                make(fresh=True, name="new", mirror=broken, **changes).prepare(gone)
            assert "nor does the datastore give" in str(caught.value.why)
            assert "The store is down" in str(caught.value.why)


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, conda_url: str) -> Path:
    root = tmp_path_factory.mktemp("exported")
    settings = {"conda_channels": conda_url, **SETTINGS}
    builder = EnvironmentBuilder(
        "conda", CondaEnvironment(), str(root), setting=settings.__getitem__
    )
    (name, text), *rest = builder.export(builder.resolve(request("oldfriend"))).items()
    assert (name, rest) == ("conda-lock.yml", [])
    (root / name).write_text(text)
    return root / name


class TestCondaLock:
    def test_conda_lock_takes_it(self, exported: Path, conda_url: str) -> None:
        command = [
            sys.executable,
            "-m",
            "conda_lock",
            "render",
            "--kind",
            "explicit",
            exported.name,
        ]
        subprocess.run(command, cwd=exported.parent, check=True, capture_output=True)
        (made,) = exported.parent.glob("conda-*.lock")
        lines = made.read_text().partition("@EXPLICIT\n")[2].splitlines()
        assert [line.rpartition("#")[0].rpartition("/")[2].split("-")[0] for line in lines] == [
            "python",
            "tinylib",
            "oldfriend",
        ]

    def test_it_may_stand_for_what_is_asked(self, make: Make, exported: Path) -> None:
        files = {"conda-lock.yml": exported.read_text()}
        wanted = request(options={"environment": "conda-lock.yml", "packages": []}, files=files)
        wanted.options.pop("packages")
        nowhere = make(settings={"conda_channels": "http://127.0.0.1:9/x"})
        lock = nowhere.resolve(wanted)
        assert names(lock) == {**names(make().resolve(request("oldfriend")))}
        ready = nowhere.prepare(lock)
        assert ready.packages["tinylib"] == "1.4"

    def test_nothing_is_asked_beside_it(self, make: Make, exported: Path) -> None:
        files = {"conda-lock.yml": exported.read_text()}
        error = error_of(
            make(), request("six", options={"environment": "conda-lock.yml"}, files=files)
        )
        assert (
            error.what == "'conda-lock.yml' is a lock, and 'packages' asks for something beside it"
        )

    def test_of_another_platform(self, make: Make, exported: Path) -> None:
        files = {"conda-lock.yml": exported.read_text()}
        wanted = request(options={"environment": "conda-lock.yml"}, files=files)
        wanted.options.pop("packages")
        error = error_of(make(), wanted._replace(platform="macos-arm64"))
        assert error.what == "'conda-lock.yml' is no lock that can be used here"
        assert "the step runs on osx-arm64" in str(error.why)

    def test_a_lock_is_read_as_it_was_written(self, exported: Path) -> None:
        json.dumps(exported.read_text())  # text of one file, without anything of this machine
        assert os.path.expanduser("~") not in exported.read_text()

"""What goes along to an interpreter without flow-core, and what must be there."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from flow_core.environments import EnvironmentLock, ReadyEnvironment
from flow_core.errors import NoEnvironment, PluginError
from flow_core.index import EntryPoint, PluginIndex, installed
from flow_core.launch import python_command
from flow_core.travel import (
    Luggage,
    Requirement,
    check_lock,
    core_requirements,
    find_compiled,
    link_folder,
    pack,
    unpack,
)


def environment(tmp_path: Path, python: str = "3.11.4", **packages: str) -> ReadyEnvironment:
    names = {name.replace("_", "-"): version for name, version in packages.items()}
    return ReadyEnvironment("x", "a" * 64, str(tmp_path), "/p", {}, python, "cpython", names, 0.0)


class TestPack:
    def test_flow_core_goes_along_and_what_is_compiled_is_required(self) -> None:
        luggage = pack(PluginIndex([]), ())
        assert set(luggage.own) == {"flow-core"}
        assert {"pluggy", "click", "cloudpickle"} <= set(luggage.libraries)
        assert {text.partition(">")[0] for text in luggage.compiled} >= {"blake3", "zstandard"}
        assert core_requirements() == luggage.compiled
        assert not {"pytest", "hypothesis", "numpy"} & set(luggage.libraries)

    def test_exactly_the_plugins_of_the_index(self) -> None:
        luggage = pack(installed().choose(["only:retry", "only:catch"]), ())
        assert set(luggage.own) == {"flow-core", "flow-retry", "flow-catch"}
        assert "flow_retry" in luggage.own["flow-retry"]

    def test_what_only_declares_settings_brings_only_what_was_written_for_flow_core(self) -> None:
        index = installed()
        by_hooks = {e.distribution for e in index.entry_points if e.group == "flow.plugins"}
        all_of_it = pack(index, (), by_hooks)
        little = pack(index, ())
        assert {"click", "pluggy"} <= {*little.libraries}, "flow-core itself needs these"
        assert not {"six", "requests", "boto3", "urllib3"} & {*little.libraries}
        assert {"boto3", "urllib3"} <= {*all_of_it.libraries}
        assert "flow-objectstore" in little.libraries

    def test_everything_is_a_file_or_folder_of_this_machine(self) -> None:
        luggage = pack(installed(), ())
        for contents in (*luggage.own.values(), *luggage.libraries.values()):
            assert all(os.path.exists(path) for path in contents.values())

    def test_a_module_that_was_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "my_plugin_module.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
        file = str(tmp_path / "my_plugin_module.py")
        entry = EntryPoint(
            "flow.commands", "x", "my_plugin_module:x", "my_plugin_module", "", file, packaged=False
        )
        luggage = pack(PluginIndex([entry]), ())
        assert luggage.own["my_plugin_module"] == {"my_plugin_module.py": file}

    def test_a_plugin_that_is_nowhere(self) -> None:
        entry = EntryPoint("flow.commands", "x", "nowhere:x", "flow-nowhere", "1", "/nowhere")
        with pytest.raises(PluginError, match="'flow-nowhere' cannot be taken along") as caught:
            pack(PluginIndex([entry]), ())
        assert caught.value.hint == "pip install flow-nowhere, or leave it out: -p no:nowhere"


class TestFindCompiled:
    def test_what_is_compiled_with_all_that_it_requires(self) -> None:
        found = find_compiled(pack(installed(), {"flow-s3"}))
        assert {"blake3", "zstandard", "obstore"} <= set(found)
        for one in found.values():
            assert one.version
            assert all(os.path.exists(path) for path in one.contents.values())
        assert any(name.endswith(".dist-info") for name in found["blake3"].contents)

    def test_what_goes_along_as_it_is_is_not_among_it(self) -> None:
        luggage = pack(installed(), {"flow-s3"})
        assert not {*luggage.libraries, *luggage.own} & {*find_compiled(luggage)}

    def test_a_condition_that_does_not_hold_here(self) -> None:
        texts = ('tomli>=2; python_version < "3"', "blake3>=1 ; python_version >= '3'")
        found = {*find_compiled(Luggage({}, {}, texts, {}))}
        assert found - {"typing-extensions"} == {"blake3"}  # which wants that on older Pythons

    def test_what_is_not_here(self) -> None:
        with pytest.raises(PluginError, match="'no-such-thing' cannot be taken along"):
            find_compiled(Luggage({}, {}, ("no-such-thing>=1",), {}))

    def test_versions_and_what_a_task_uses(self) -> None:
        luggage = pack(installed(), {"flow-s3"}, {"flow-terminal"})
        assert luggage.used == {"flow-core", "flow-s3", "flow-terminal"}
        assert set(luggage.versions) == {*luggage.own, *luggage.libraries}


class TestUnpack:
    def luggage(self, tmp_path: Path) -> Luggage:
        for name in ("own", "lib"):
            (tmp_path / f"{name}.py").write_text("")
        lib = Requirement("lib", ">=2", "lib>=2", "flow-core")
        fast = Requirement("fast", ">=1", "fast>=1", "flow-core")
        old = Requirement("old", "", "old; python_version < '3.11'", "flow-core")
        return Luggage(
            {"flow-core": {"own.py": str(tmp_path / "own.py")}},
            {"lib": {"lib.py": str(tmp_path / "lib.py")}},
            ("fast>=1", old.text),
            {"lib": (lib,), "fast": (fast,), "old": (old,)},
        )

    def unpacked(self, tmp_path: Path, **packages: str) -> list[str]:
        folder = unpack(
            self.luggage(tmp_path), environment(tmp_path, **packages), str(tmp_path / "root")
        )
        return sorted(os.listdir(folder))

    def test_only_what_is_missing_goes_along(self, tmp_path: Path) -> None:
        assert self.unpacked(tmp_path, fast="1.5") == ["lib.py", "own.py"]
        assert self.unpacked(tmp_path, fast="1.5", lib="2.1") == ["own.py"]

    def test_a_version_that_will_not_do(self, tmp_path: Path) -> None:
        with pytest.raises(NoEnvironment) as caught:
            self.unpacked(tmp_path, fast="1.5", lib="1.0")
        assert caught.value.why == "lib is 1.0; flow-core needs lib>=2"

    def test_a_lock_is_refused_before_it_is_built(self, tmp_path: Path) -> None:
        luggage = self.luggage(tmp_path)
        good = {"packages": [{"name": "lib", "version": "2.5"}, {"name": "x", "version": "0"}]}
        check_lock(luggage, EnvironmentLock.of("own", good))
        lock = EnvironmentLock.of("own", {"pylock": '[[packages]]\nname = "lib"\nversion = "1"\n'})
        with pytest.raises(NoEnvironment) as caught:
            check_lock(luggage, lock)
        assert caught.value.what == f"flow-core cannot run in the environment {lock.name}"
        assert caught.value.why == "lib is 1; flow-core needs lib>=2"

    def test_what_is_compiled_must_be_there(self, tmp_path: Path) -> None:
        with pytest.raises(NoEnvironment) as caught:
            self.unpacked(tmp_path)
        assert caught.value.why == "fast>=1, which flow-core needs, is not there"

    def test_conditions_are_those_of_the_environment(self, tmp_path: Path) -> None:
        with pytest.raises(NoEnvironment, match=r"cannot run in the environment") as caught:
            self.unpacked(tmp_path, fast="1.5", python="3.10.2")
        assert "old; python_version < '3.11'" in str(caught.value.why)


class TestFolder:
    def test_the_same_items_have_one_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").write_text("A = 1")
        items = {"deep/a.py": str(tmp_path / "a.py")}
        folders: list[str] = []
        threads = [
            threading.Thread(target=lambda: folders.append(link_folder(items, str(tmp_path / "r"))))
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(folders)) == 1
        assert os.listdir(tmp_path / "r") == [os.path.basename(folders[0])], "nothing half made"
        assert Path(folders[0], "deep/a.py").read_text() == "A = 1"

    def test_a_python_with_nothing_else_runs_flow_core_from_it(self, tmp_path: Path) -> None:
        luggage = pack(PluginIndex([]), ())
        items = {
            n: p for c in (*luggage.own.values(), *luggage.libraries.values()) for n, p in c.items()
        }
        folder = link_folder(items, str(tmp_path))
        words = python_command(sys.executable, "flow_core", folder)
        alone = [words[0], "-S", "-E", *words[1:], "--version"]
        done = subprocess.run(alone, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
        assert "0.1.0" in done.stdout

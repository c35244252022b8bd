"""The runtime is made once, lies in the store, and starts where there is nothing."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from booting import Place, digest

from flow_core import FlowSpec, step
from flow_core.api import PluginIndex, Session, StoreError, installed
from flow_core.testing import FaultyStore
from flow_core.testing.compute_steps import StepsRuntime
from flow_remote import archives
from flow_remote.boot import this_machine
from flow_remote.bundle import RuntimePart, make_runtime
from flow_remote.script import boot_command
from flow_store_local.store import LocalStore

START = """
import json, sys
def main(spec, folders):
    import flow_core.api, flow_core.session, flow_remote.supervisor, blake3, zstandard, pluggy
    from flow_core import FlowSpec, retry, card
    from flow_core.index import installed
    names = ("flow_core", "flow_remote", "blake3", "pluggy", "flow_cards")
    print(json.dumps({
        "files": [sys.modules[name].__file__ for name in names],
        "stores": installed().names("flow.stores"),
        "cached": sys.modules["flow_core.session"].__cached__,
    }))
    return 7
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(str(tmp_path / "store"))


def make(store: LocalStore, tmp_path: Path) -> dict[str, RuntimePart]:
    bundle = make_runtime(StepsRuntime(), store, str(tmp_path / "kept"))
    return {part.name: part for part in bundle.parts}


def names_in(store: LocalStore, part: RuntimePart) -> list[str]:
    (content,) = store.read([part.key])
    assert content is not None
    assert digest(content) == part.sha256
    assert len(content) == part.size
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert sum(entry.file_size for entry in archive.infolist()) == part.unpacked
        return archive.namelist()


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python like this one without any package."""
    folder = tmp_path_factory.mktemp("bare") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def test_it_starts_where_there_is_nothing(
    store: LocalStore, tmp_path: Path, bare_python: str
) -> None:
    bundle = make_runtime(StepsRuntime(), store, str(tmp_path / "kept"))
    place = Place(tmp_path)
    bootstrap = store.bootstrap()
    place.source, place.config = bootstrap.source, dict(bootstrap.config)
    place.parts = bundle.document()["runtime"]
    place.installed = bundle.document()["installed"]
    place.start = ["start_of_test"]
    place.add_part({"start_of_test.py": START}, name="test")
    told = place.run(words=boot_command([bare_python])).told
    assert all(file.startswith(f"{place.cache}/runtime/") for file in told["files"])
    assert {"local", "file"} <= set(told["stores"]), "the plugins are known by name"
    assert Path(told["cached"]).exists()


def test_an_image_with_libraries_keeps_them(store: LocalStore, tmp_path: Path) -> None:
    """A venv that sees those of the tests' own Python, and has no flow-core."""
    import click

    parts = make(store, tmp_path)
    place = Place(tmp_path)
    place.parts = [part._asdict() for part in parts.values()]
    place.start = ["start_of_test"]
    program = START.replace('"pluggy"', '"pluggy", "click"').replace("pluggy\n", "pluggy, click\n")
    place.add_part({"start_of_test.py": program}, name="test")
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    installed = Path(click.__file__).parents[1]
    for found in [*installed.glob("click*"), *installed.glob("blake3*")]:
        (packages / found.name).symlink_to(found)
    bootstrap = store.bootstrap()
    place.source, place.config = bootstrap.source, dict(bootstrap.config)
    told = place.run(words=boot_command([str(environment / "bin" / "python")])).told
    places = {Path(file).parent.name: file for file in told["files"]}
    assert places["click"].startswith(str(packages))
    assert places["blake3"].startswith(str(packages))
    assert places["pluggy"].startswith(str(place.cache))
    assert places["flow_core"].startswith(str(place.cache))


def test_what_is_installed_needs_no_runtime(store: LocalStore, tmp_path: Path) -> None:
    from flow_remote.boot import find_installed

    installed = make_runtime(StepsRuntime(), store, str(tmp_path / "kept")).installed
    assert {"flow-core", "flow-remote", "flow-store-local"} <= set(installed)
    assert installed.items() <= find_installed().items(), "the tests run where all of it is"


def test_the_parts(store: LocalStore, tmp_path: Path) -> None:
    parts = make(store, tmp_path)
    assert list(parts) == ["flow", "libraries", "compiled"]
    assert {"blake3", "zstandard"} <= set(parts["compiled"].provides)
    marks = {kind: getattr(parts["compiled"], kind) for kind in ("python", "platform", "libc")}
    assert marks == this_machine()
    assert parts["flow"].python is parts["libraries"].platform is None
    assert all(part.key == f"runtime/{part.sha256}" for part in parts.values())
    assert set(parts["compiled"].ranges) == set(parts["compiled"].provides)
    assert parts["libraries"].ranges["click"] == ">=8.1"
    libraries = names_in(store, parts["libraries"])
    assert {name.partition("/")[0] for name in libraries} == {*parts["libraries"].provides}
    assert {"click/click/__init__.py", "pluggy/pluggy/__init__.py"} <= {*libraries}
    flow = names_in(store, parts["flow"])
    assert {"flow_core/api.py", "flow_remote/supervisor.py", "flow_client/__init__.py"} <= {*flow}
    assert "flow_gc/__init__.py" not in flow, "nobody types commands there"
    tag = sys.implementation.cache_tag
    assert f"flow_core/__pycache__/session.{tag}.pyc" in flow
    assert not any("/testing/__pycache__" in name for name in flow)


def test_nothing_of_this_machine_goes_along(store: LocalStore, tmp_path: Path) -> None:
    for part in make(store, tmp_path).values():
        for name in names_in(store, part):
            assert not name.startswith(("/", "."))
            assert "/tests/" not in name
            assert not name.endswith((".pth", ".pyi", "direct_url.json", "_cffi.so"))
        (content,) = store.read([part.key])
        with zipfile.ZipFile(io.BytesIO(content or b"")) as archive:
            here = os.path.dirname(os.path.dirname(archives.__file__)).encode()
            assert not any(here in archive.read(name) for name in archive.namelist())


def test_the_same_files_give_the_same_bytes(store: LocalStore, tmp_path: Path) -> None:
    first = make(store, tmp_path / "a")
    assert make(store, tmp_path / "b") == first


def test_the_second_run_asks_one_question(tmp_path: Path) -> None:
    store = FaultyStore(LocalStore(str(tmp_path / "store")))
    make(store, tmp_path)  # type: ignore[arg-type]
    before = len(store.calls)
    make(store, tmp_path)  # type: ignore[arg-type]
    assert [name for name, *_ in store.calls[before:]] == ["describe"] * 3, "one for each part"


def test_what_the_store_has_lost_is_written_again(store: LocalStore, tmp_path: Path) -> None:
    parts = make(store, tmp_path)
    store.delete([parts["flow"].key])
    assert make(store, tmp_path) == parts
    assert store.exists([part.key for part in parts.values()]) == [True] * 3


def test_an_archive_that_is_damaged_here_is_not_sent(store: LocalStore, tmp_path: Path) -> None:
    parts = make(store, tmp_path)
    kept = tmp_path / "kept" / f"{parts['flow'].sha256}.zip"
    kept.write_bytes(kept.read_bytes()[:-100])
    store.delete([parts["flow"].key])
    with pytest.raises(StoreError, match="is damaged on this machine") as caught:
        make(store, tmp_path)
    assert caught.value.hint == "run it again: the archive is made anew"
    assert make(store, tmp_path) == parts


class TestArchives:
    def files(self, tmp_path: Path) -> dict[str, archives.File]:
        return archives.list_files({"package": str(tmp_path / "package")}, compiled=True)

    @pytest.fixture(autouse=True)
    def _package(self, tmp_path: Path) -> None:
        folder = tmp_path / "package"
        (folder / "tests").mkdir(parents=True)
        (folder / "__pycache__").mkdir()
        (folder / "package-1.dist-info").mkdir()
        for name in ("METADATA", "RECORD", "direct_url.json", "entry_points.txt"):
            (folder / "package-1.dist-info" / name).write_text("x")
        for name in ("__init__.py", "a.py", "a.pyi", "data.txt", "tests/b.py", "__pycache__/a.pyc"):
            (folder / name).write_text("")
        (folder / "old.py").write_text("print 'of Python 2'")

    def test_what_is_left_out(self, tmp_path: Path) -> None:
        assert list(self.files(tmp_path)) == [
            "package/__init__.py",
            "package/a.py",
            "package/data.txt",
            "package/old.py",
            "package/package-1.dist-info/METADATA",
            "package/package-1.dist-info/entry_points.txt",
        ]

    def test_a_change_changes_the_fingerprint(self, tmp_path: Path) -> None:
        before = archives.fingerprint(self.files(tmp_path))
        assert archives.fingerprint(self.files(tmp_path)) == before
        (tmp_path / "package" / "a.py").write_text("a = 1\n")
        assert archives.fingerprint(self.files(tmp_path)) != before

    def test_compiled_modules_are_taken_as_they_are(self, tmp_path: Path) -> None:
        (tmp_path / "package" / "a.py").write_text("value = 1\n")
        content, _ = archives.make_archive(self.files(tmp_path))
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(tmp_path / "there")
        assert not list((tmp_path / "there").rglob("old.*.pyc")), "it cannot be compiled"
        (tmp_path / "there" / "package" / "a.py").write_text("value = 2\n")
        program = "import json, package.a as a; print(json.dumps([a.value, a.__file__]))"
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=tmp_path / "there",
            capture_output=True,
            check=True,
        )
        assert json.loads(done.stdout) == [1, str(tmp_path / "there" / "package" / "a.py")]


class Small(FlowSpec):
    @step(start=True, end=True)
    def only(self):
        pass


def test_what_a_plugin_talks_to_a_cluster_with_stays_behind() -> None:
    """A fresh container would unpack it for each task: thousands of files, for some clients."""

    here = installed().choose(
        ["only:terminal", "only:tracing", "only:store-local", "only:metadata-local"]
    )
    (hooks,) = [e for e in here.entry_points if e.group == "flow.plugins" and e.name == "tracing"]
    cluster = hooks._replace(group="flow.computes", name="traced", value="flow_tracing:Cluster")
    for entries, along in ((here.entry_points, True), ((*here.entry_points, cluster), False)):
        with Session(Small, index=PluginIndex(entries)) as session:
            luggage = session.luggage(session.store.url)
        assert "flow-tracing" in luggage.own
        assert ("opentelemetry-sdk" in luggage.libraries) is along

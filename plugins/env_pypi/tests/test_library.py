"""Resolving and installing, with indexes made here: what is locked, from where it comes, and what fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from flow_core.api import EnvironmentLock, NoEnvironment, this_platform
from flow_core.testing import write_wheel
from flow_pypi.library import install_into, resolve_on
from flow_pypi.pylock import load, read

HERE = {"platform": this_platform(), "python": f"{sys.version_info[0]}.{sys.version_info[1]}"}


def packages(text: str) -> dict[str, str]:
    return {p.name: p.version for p in read(text)}


def run(ready: Any, code: str) -> str:
    done = subprocess.run(
        [ready.interpreter, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


class TestLock:
    def test_one_file_for_each_package_and_nothing_of_this_machine(
        self, work: Any, wheels: Path
    ) -> None:
        text = resolve_on(["clash"], **HERE, work=work)
        assert packages(text) == {"clash": "1.0", "tiny": "1.0"}
        assert str(wheels) not in text
        assert text == resolve_on(["clash", "clash"], **HERE, work=work)
        head = load(text)
        assert head["lock-version"] == "1.0"
        assert head["requires-python"] == f"=={HERE['python']}.*"
        assert [len(p["wheels"]) for p in head["packages"]] == [1, 1]

    def test_url_and_size_and_hash_of_an_index_are_in_it(
        self, builder: Any, ask: Any, serve: Any, wheels: Path
    ) -> None:
        with serve(wheels) as index:
            lock = builder(pypi_index=index.url).resolve(ask("tiny==1.0")).data
        (found,) = read(lock["pylock"])
        assert found.url == f"http://127.0.0.1:{index.port}/files/tiny-1.0-py3-none-any.whl"
        assert len(found.sha256) == 64
        assert (lock["format"], lock["platform"], lock["python"]) == (
            1,
            this_platform(),
            HERE["python"],
        )

    def test_of_several_wheels_the_best_is_chosen(
        self, work: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = write_wheel(tmp_path, "native", "1.0", {"native.py": ""})
        names = [
            "native-1.0-cp312-cp312-macosx_11_0_arm64.whl",
            "native-1.0-cp312-cp312-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
            "native-1.0-cp310-abi3-manylinux_2_17_x86_64.whl",
        ]
        for name in names:
            shutil.copy(made, tmp_path / name)
        monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
        for platform, python, file in (
            ("macos-arm64", "3.12", names[0]),
            ("linux-x86_64", "3.12", names[1]),
            ("linux-x86_64", "3.11", names[2]),
            ("windows-amd64", "3.12", made.name),
            ("linux-aarch64", "3.12", made.name),
        ):
            text = resolve_on(["native"], platform=platform, python=python, work=work)
            assert [p.file for p in read(text)] == [file]

    def test_a_platform_that_nobody_knows(self, work: Any) -> None:
        with pytest.raises(NoEnvironment, match="no packages for the platform 'plan9-mips'"):
            resolve_on(["tiny"], platform="plan9-mips", python="3.12", work=work)

    def test_what_is_there_already_counts_and_is_not_installed(self, work: Any) -> None:
        text = resolve_on(["clash"], **HERE, work=work, installed={"Tiny": "1.5"})
        assert packages(text) == {"clash": "1.0"}
        with pytest.raises(NoEnvironment) as caught:
            resolve_on(["clash"], **HERE, work=work, installed={"tiny": "2.5"})
        assert caught.value.what == "'clash' needs tiny<2, but tiny 2.5 is there already"
        assert packages(resolve_on([], **HERE, work=work, installed={"tiny": "1.5"})) == {}
        odd = {"tiny": "1.1.1w"}  # no version as PyPI has them
        assert packages(resolve_on(["clash"], **HERE, work=work, installed=odd)) == {"clash": "1.0"}

    def test_constraints_limit_and_ask_for_nothing(self, work: Any) -> None:
        assert packages(
            resolve_on(["tiny"], **HERE, work=work, constraints=["tiny<2", "needy==1.0"])
        ) == {"tiny": "1.0"}

    def test_hashes_that_are_asked_for_count(self, work: Any) -> None:
        (tiny,) = read(resolve_on(["tiny==1.0"], **HERE, work=work))
        allowed = {"tiny": frozenset({"0" * 64, tiny.sha256})}
        assert packages(resolve_on(["tiny==1.0"], **HERE, work=work, hashes=allowed)) == {
            "tiny": "1.0"
        }
        with pytest.raises(NoEnvironment, match=r"\'tiny 1\.0\' has another hash than"):
            resolve_on(["tiny==1.0"], **HERE, work=work, hashes={"tiny": frozenset({"0" * 64})})

    def test_a_wheel_of_this_machine_is_locked_by_its_hash(
        self, builder: Any, ask: Any, tmp_path: Path, mirror: Any
    ) -> None:
        wheel = write_wheel(tmp_path, "mine", "3.0", {"mine.py": "X = 3"})
        lock = builder(mirror=mirror).resolve(ask(f"mine @ file://{wheel}"))
        assert str(tmp_path) not in lock.text
        assert len(mirror.kept) == 1, "nobody else has it"
        wheel.unlink()
        ready = builder(place="elsewhere", mirror=mirror).prepare(lock)
        assert run(ready, "import mine; print(mine.X)") == "3"
        with pytest.raises(
            NoEnvironment, match=r"'mine-3\.0-py3-none-any\.whl' is not on this machine"
        ):
            builder(place="third").prepare(lock)

    def test_a_folder_is_refused(self, work: Any, tmp_path: Path) -> None:
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "1"\n')
        with pytest.raises(NoEnvironment, match="'mine' is a folder, which has no hash"):
            resolve_on([f"mine @ file://{tmp_path}"], **HERE, work=work)

    def test_of_indexes_of_pip_all_count_and_of_ours_the_first_that_knows_it(
        self,
        builder: Any,
        ask: Any,
        serve: Any,
        wheels: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        few = tmp_path / "few"
        few.mkdir()
        write_wheel(few, "tiny", "1.5", {"tiny.py": ""})
        monkeypatch.delenv("PIP_NO_INDEX")
        with serve(wheels) as index, serve(few) as first:
            monkeypatch.setenv("PIP_INDEX_URL", index.url)
            monkeypatch.setenv("PIP_EXTRA_INDEX_URL", first.url)
            assert "tiny-2.0" in builder().resolve(ask("tiny==2.*")).text
            ours = builder(pypi_index=index.url, pypi_extra_index=first.url)
            with pytest.raises(NoEnvironment) as caught:
                ours.resolve(ask("tiny==2.*"), anew=True)
        assert caught.value.what == "No package fits 'tiny==2.*'"
        assert "UV_INDEX_STRATEGY=unsafe-best-match" in str(caught.value.hint)

    def test_what_cannot_be_read_is_no_requirement(self, work: Any) -> None:
        with pytest.raises(NoEnvironment, match="A requirement cannot be read"):
            resolve_on(["tiny==="], **HERE, work=work)


BACKEND = """
import os, zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "sourced-1.0-py3-none-any.whl"
    info = "sourced-1.0.dist-info"
    with zipfile.ZipFile(os.path.join(folder, name), "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("sourced.py", open("value.txt").read() + SALT)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: sourced\\nVersion: 1.0\\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{info}/RECORD", "")
    return name
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a package that has two commits, `VALUE = 1` and `VALUE = 2`."""
    place = tmp_path / "repository"
    place.mkdir()
    (place / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "sourced"\nversion = "1.0"\n'
    )
    (place / "backend.py").write_text(BACKEND.replace("SALT", "''"))
    subprocess.run(["git", "init", "-q", "-b", "main", place], check=True)
    for value in (1, 2):
        (place / "value.txt").write_text(f"VALUE = {value}\n")
        commit(place, f"v{value}")
    return place


def commit(place: Path, tag: str) -> None:
    person = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    for words in (["add", "-A"], [*person, "commit", "-q", "-m", tag], ["tag", tag]):
        subprocess.run(["git", "-C", place, *words], check=True)


class TestSources:
    def test_a_repository_is_locked_to_its_commit_and_built_the_same_elsewhere(
        self, builder: Any, ask: Any, repository: Path
    ) -> None:
        lock = builder().resolve(ask(f"sourced @ git+file://{repository}@v1"))
        (package,) = read(lock.data["pylock"])
        assert len(package.source["vcs"]["commit-id"]) == 40
        for number, place in enumerate(("environments", "elsewhere")):
            ready = builder(place=place).prepare(lock)
            assert run(ready, "import sourced; print(sourced.VALUE)") == "1", number

    def test_what_builds_to_something_else_is_refused_and_the_mirror_has_the_first(
        self, builder: Any, ask: Any, tmp_path: Path, mirror: Any
    ) -> None:
        folder = tmp_path / "sourced-1.0"
        folder.mkdir()
        (folder / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: sourced\nVersion: 1.0\n")
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "sourced"\nversion = "1.0"\n'
        )
        (folder / "value.txt").write_text("VALUE = 1\n")
        (folder / "backend.py").write_text(BACKEND.replace("SALT", "f'# {os.urandom(8)}'"))
        links = tmp_path / "links"
        links.mkdir()
        shutil.make_archive(str(links / "sourced-1.0"), "gztar", tmp_path, "sourced-1.0")
        lock = builder(pypi_find_links=str(links), mirror=mirror).resolve(ask("sourced"))
        (package,) = read(lock.data["pylock"])
        assert set(package.source) == {"sdist"}
        assert list(mirror.kept) == [package.sha256]
        with pytest.raises(NoEnvironment) as caught:
            builder(pypi_find_links=str(links), place="elsewhere").prepare(lock)
        assert caught.value.what == "'sourced 1.0' was built anew, and is not the same"
        ready = builder(place="third", mirror=mirror).prepare(lock)
        assert run(ready, "import sourced; print(sourced.VALUE)") == "1"

    def test_a_branch_that_is_not_there(self, work: Any, repository: Path) -> None:
        with pytest.raises(NoEnvironment) as caught:
            resolve_on([f"sourced @ git+file://{repository}@none"], **HERE, work=work)
        assert "no such branch, tag or commit" in caught.value.what
        assert "refs/tags/none" in str(caught.value.why)

    def test_sources_that_do_not_build(self, work: Any, repository: Path) -> None:
        (repository / "backend.py").write_text("def build_wheel(*_): raise ValueError('broken')\n")
        commit(repository, "v3")
        with pytest.raises(NoEnvironment) as caught:
            resolve_on([f"sourced @ git+file://{repository}@v3"], **HERE, work=work)
        assert "cannot be built from its sources" in caught.value.what


class TestInstall:
    def test_with_every_index_gone_and_an_empty_cache_the_mirror_is_enough(
        self, builder: Any, ask: Any, serve: Any, wheels: Path, mirror: Any, tmp_path: Path
    ) -> None:
        with serve(wheels) as index:
            first = builder(pypi_index=index.url, mirror_packages=True, mirror=mirror)
            lock = first.resolve(ask("clash"))
            first.prepare(lock)
            asked = len(index.asked)
        assert len(mirror.kept) == 2
        shutil.rmtree(tmp_path / "environments")
        # No index, and the setting off: the mirror is asked when the index fails.
        again = builder(pypi_index=index.url, mirror=mirror)
        assert run(again.prepare(lock), "import clash, tiny; print(tiny.VERSION)") == "1.0"
        assert sorted(mirror.used) == sorted(mirror.kept)
        offline = builder(offline=True, mirror=mirror, place="offline")
        assert run(offline.prepare(lock), "import tiny; print(tiny.VERSION)") == "1.0"
        assert len(index.asked) == asked
        with pytest.raises(NoEnvironment, match="The package index cannot be reached"):
            builder(pypi_index=index.url, place="without").prepare(lock)

    def test_other_bytes_than_in_the_lock_are_refused(
        self, builder: Any, ask: Any, serve: Any, tmp_path: Path, mirror: Any
    ) -> None:
        links = tmp_path / "links"
        links.mkdir()
        write_wheel(links, "tiny", "1.0", {"tiny.py": "VERSION = 'true'"})
        with serve(links) as index:
            lock = builder(pypi_index=index.url).resolve(ask("tiny"))
            write_wheel(links, "tiny", "1.0", {"tiny.py": "VERSION = 'false'"})
            for more in ({}, {"mirror_packages": True, "mirror": mirror}):
                made = builder(pypi_index=index.url, place=f"{len(more)}", **more)
                with pytest.raises(NoEnvironment, match="is not what it was when") as caught:
                    made.prepare(lock)
                assert "FLOW_RELOCK=1" in str(caught.value.hint)
                assert made.find(lock) is None
        assert not mirror.kept

    def test_passwords_are_used_and_never_written(
        self,
        builder: Any,
        ask: Any,
        serve: Any,
        wheels: Path,
        mirror: Any,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with serve(wheels, "bob:s3cret") as index:
            url = index.url.replace("//", "//bob:s3cret@")
            made = builder(pypi_index=url, mirror_packages=True, mirror=mirror)
            lock = made.resolve(ask("tiny==1.0"))
            assert "s3cret" not in lock.text
            assert run(made.prepare(lock), "import tiny; print(tiny.VERSION)") == "1.0"
            with pytest.raises(NoEnvironment) as caught:
                builder(pypi_index=url.replace("s3cret", "s3crex"), place="wrong").resolve(
                    ask("tiny")
                )
            assert "s3cre" not in str(caught.value)
            netrc = tmp_path / "netrc"
            netrc.write_text("machine 127.0.0.1 login bob password s3cret\n")
            netrc.chmod(0o600)
            monkeypatch.setenv("NETRC", str(netrc))
            for number, more in enumerate(
                ({}, {"mirror_packages": True, "mirror": type(mirror)()})
            ):
                builder(pypi_index=index.url, place=f"netrc{number}", **more).prepare(lock)
        found = [
            p
            for p in (tmp_path / "environments").rglob("*")
            if p.is_file() and "archive-v" not in str(p)
        ]
        assert not [p for p in found if b"s3cret" in p.read_bytes()]

    def test_another_server_does_not_get_the_password_of_the_first(self, tmp_path: Path) -> None:
        import threading
        from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

        from flow_pypi.sources import Sources
        from flow_pypi.wheels import download

        seen: dict[int, str | None] = {}
        servers: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                here = int(self.server.server_address[1])
                seen[here] = self.headers.get("Authorization")
                first = here == servers[0].server_address[1]
                self.send_response(302 if first else 200)
                self.send_header("Location", f"http://127.0.0.1:{servers[1].server_address[1]}/x")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        servers += [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        threads = [threading.Thread(target=s.serve_forever, args=(0.01,)) for s in servers]
        for thread in threads:
            thread.start()
        try:
            one, two = (s.server_address[1] for s in servers)
            sources = Sources(index_url=f"http://bob:p%40ss@127.0.0.1:{one}/simple")
            url = f"http://127.0.0.1:{one}/x.whl"
            download(url, str(tmp_path / "x"), sources, threading.Event())
        finally:
            for server, thread in zip(servers, threads, strict=True):
                server.shutdown()
                thread.join()
                server.server_close()
        assert seen == {one: "Basic Ym9iOnBAc3M=", two: None}

    def test_what_is_there_stays(self, builder: Any, ask: Any, work: Any) -> None:
        ready = builder().prepare(builder().resolve(ask("clash")))
        text = resolve_on(["needy"], **HERE, work=work, installed={"tiny": "2.0"})
        install_into(ready.interpreter, text, work)
        assert run(ready, "import clash, needy, tiny; print(tiny.VERSION)") == "1.0"

    def test_no_lock(self, work: Any) -> None:
        with pytest.raises(NoEnvironment, match=r"no pylock\.toml of flow-pypi"):
            install_into(sys.executable, "[[packages]]\nname = 'x'\n", work)

    def test_it_is_exported_and_uv_takes_it(
        self, builder: Any, ask: Any, serve: Any, wheels: Path, tmp_path: Path
    ) -> None:
        from uv import find_uv_bin

        with serve(wheels) as index:
            made = builder(pypi_index=index.url)
            files = made.export(made.resolve(ask("clash")))
            (tmp_path / "pylock.toml").write_text(files["pylock.toml"])
            words = [
                find_uv_bin(),
                "pip",
                "sync",
                "-q",
                "--python",
                sys.executable,
                "--target",
                tmp_path / "out",
                tmp_path / "pylock.toml",
            ]
            cache = {"UV_CACHE_DIR": str(tmp_path / "cache")}
            subprocess.run(words, check=True, env={**os.environ, **cache}, timeout=60)
        assert {"clash.py", "tiny.py"} <= {p.name for p in (tmp_path / "out").iterdir()}


class TestProject:
    PROJECT = (
        '[project]\nname = "mine"\nversion = "1"\nrequires-python = ">=3.10"\n'
        'dependencies = ["clash", "absent; sys_platform == \'win32\'"]\n'
    )

    @pytest.fixture
    def files(self, tmp_path: Path, wheels: Path) -> dict[str, str]:
        from uv import find_uv_bin

        links = tmp_path / "links"
        shutil.copytree(wheels, links)
        write_wheel(links, "absent", "1.0", {"absent.py": ""})
        (tmp_path / "pyproject.toml").write_text(self.PROJECT)
        words = [
            find_uv_bin(),
            "lock",
            "-q",
            "--no-index",
            "--find-links",
            links,
            "--python",
            sys.executable,
        ]
        subprocess.run(words, check=True, cwd=tmp_path, timeout=60)
        names = ("pyproject.toml", "uv.lock")
        return {f"app/{name}": (tmp_path / name).read_text() for name in names}

    def test_a_lock_of_uv_is_taken_as_it_is(
        self, builder: Any, ask: Any, files: Any, tmp_path: Path
    ) -> None:
        made = builder(pypi_find_links=str(tmp_path / "links"))
        lock = made.resolve(ask(pyproject="app/pyproject.toml", files=files)).data
        assert packages(lock["pylock"]) == {"clash": "1.0", "tiny": "1.0"}
        both = made.resolve(
            ask(
                "needy<9",
                pyproject="app/pyproject.toml",
                files={"app/pyproject.toml": files["app/pyproject.toml"].replace("clash", "needy")},
            )
        ).data
        assert packages(both["pylock"]) == {"needy": "1.0", "tiny": "2.0"}
        with pytest.raises(
            NoEnvironment, match=r"'needy' needs tiny>=2, but tiny 1\.0 is there already"
        ):
            made.resolve(ask("needy", pyproject="app/pyproject.toml", files=files))

    @pytest.mark.parametrize("now", ['"clash", "needy"', '"clash", "needy[more]"'])
    def test_a_stale_lock_says_what_to_type(
        self, builder: Any, ask: Any, files: Any, now: str
    ) -> None:
        if "[" in now:  # the name was locked, and not its extra
            metadata = '{ name = "absent", marker'
            assert metadata in files["app/uv.lock"]
            files["app/uv.lock"] = files["app/uv.lock"].replace(
                metadata, '{ name = "needy" },\n    ' + metadata
            )
        files["app/pyproject.toml"] = files["app/pyproject.toml"].replace('"clash"', now)
        with pytest.raises(NoEnvironment) as caught:
            builder().resolve(ask(pyproject="app/pyproject.toml", files=files))
        assert str(caught.value) == (
            "'app/uv.lock' does not belong to its pyproject.toml any more\n"
            "  where: app/uv.lock\n"
            "  why:   changed after it was locked: needy\n"
            "  try:   uv lock --directory app"
        )

    def test_a_project_for_another_python(self, builder: Any, ask: Any) -> None:
        text = self.PROJECT.replace(">=3.10", ">=3.99")
        with pytest.raises(NoEnvironment, match="The project does not run in Python 3"):
            builder().resolve(ask(pyproject="pyproject.toml", files={"pyproject.toml": text}))


def test_a_wheel_that_is_packed_again_has_bytes_that_hang_on_its_content_only(
    tmp_path: Path,
) -> None:
    from flow_pypi.building import _pack

    made = []
    for number, names in enumerate((["a", "b"], ["b", "a"])):
        old, new = tmp_path / f"{number}.zip", tmp_path / f"{number}.whl"
        with zipfile.ZipFile(
            old, "w", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED][number]
        ) as archive:
            for name in names:
                entry = zipfile.ZipInfo(name, (2000 + number, 1, 1, 0, 0, 0))
                archive.writestr(entry, json.dumps(name))
        _pack(str(old), str(new))
        made.append(new.read_bytes())
    assert made[0] == made[1]


def test_lock_of_another_platform_is_not_built_here(builder: Any, ask: Any) -> None:
    made = builder()
    other = "macos-arm64" if this_platform() != "macos-arm64" else "linux-x86_64"
    lock = made.resolve(ask("tiny", platform=other))
    with pytest.raises(NoEnvironment, match=f"This environment is for {other}"):
        made.prepare(EnvironmentLock.of("pypi", lock.data))

"""Code snapshots: which files, the same bytes for the same code, and git's state."""

import io
import os
import subprocess
import tarfile

import pytest

from flow_core.errors import FlowError
from flow_core.hookspecs import hookimpl
from flow_core.package import build, collect, git_state
from flow_core.records import RunDocument, run_key


@pytest.fixture
def project(tmp_path):
    files = ["flow.py", "lib/a.py", "lib/data.csv", ".git/x.py", "__pycache__/y.py", "build/z.py"]
    files += ["env/pyvenv.cfg", "env/lib.py", ".hidden.py", "node_modules/n.py"]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# {name}\n")
    return tmp_path


class TestCollect:
    def test_sources_below_the_flow(self, project):
        assert list(collect(str(project / "flow.py"), [".py"])) == ["flow.py", "lib/a.py"]
        found = collect(str(project / "flow.py"), [".py", ".csv"])
        assert list(found) == ["flow.py", "lib/a.py", "lib/data.csv"]

    def test_the_flow_file_and_extra_files_always(self, project):
        found = collect(str(project / "flow.py"), [], [("/elsewhere/x", "sub/x")])
        assert found == {"flow.py": str(project / "flow.py"), "sub/x": "/elsewhere/x"}

    def test_links_to_nowhere_and_rings_of_links(self, project):
        (project / "dead.py").symlink_to(project / "none.py")
        (project / "lib" / "ring").symlink_to(project)
        assert list(collect(str(project / "flow.py"), [".py"])) == ["flow.py", "lib/a.py"]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_folders_and_files_of_others(self, project):
        (project / "private").mkdir(mode=0)
        (project / "secret.py").touch(mode=0)
        assert list(collect(str(project / "flow.py"), [".py"])) == ["flow.py", "lib/a.py"]

    def test_a_folder_of_others_is_left_out(self, project, monkeypatch):
        scan = os.scandir

        def refusing(path):
            if str(path).endswith("lib"):
                raise PermissionError(13, "Permission denied")
            return scan(path)

        monkeypatch.setattr(os, "scandir", refusing)
        assert list(collect(str(project / "flow.py"), [".py"])) == ["flow.py"]

    def test_a_home_folder_is_no_project(self, tmp_path):
        for number in range(2001):
            (tmp_path / f"f{number}.py").touch()
        with pytest.raises(FlowError) as caught:
            collect(str(tmp_path / "flow.py"), [".py"])
        assert caught.value.what == "The flow's folder holds more than 2,000 source files"
        assert caught.value.where == str(tmp_path)
        assert caught.value.hint == "put the flow into a folder of its own"


class TestBuild:
    def test_the_same_code_gives_the_same_bytes(self, project):
        files = collect(str(project / "flow.py"), [".py"])
        first = build(files, 1)
        os.utime(project / "flow.py", (1, 1))
        assert build(files, 1) == first
        with tarfile.open(fileobj=io.BytesIO(first)) as archive:
            assert archive.getnames() == ["flow.py", "lib/a.py"]
            assert archive.extractfile("lib/a.py").read() == b"# lib/a.py\n"

    def test_too_large(self, project):
        (project / "big.py").write_bytes(bytes(200_000))
        with pytest.raises(FlowError) as caught:
            build(collect(str(project / "flow.py"), [".py"]), 0.1)
        assert caught.value.what == "The code snapshot is larger than 0.1 MB"
        assert caught.value.where == str(project / "big.py")
        assert "FLOW_CODE_LIMIT" in caught.value.hint


class TestGit:
    def git(self, folder, *words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", *identity, *words]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def test_branch_commit_packed_and_detached(self, tmp_path):
        self.git(tmp_path, "init", "-q", "-b", "trunk")
        assert git_state(str(tmp_path)) == {"branch": "trunk"}
        self.git(tmp_path, "commit", "-q", "--allow-empty", "-m", "x")
        commit = self.git(tmp_path, "rev-parse", "HEAD")
        (tmp_path / "deep").mkdir()
        assert git_state(str(tmp_path / "deep")) == {"branch": "trunk", "commit": commit}
        self.git(tmp_path, "pack-refs", "--all")
        assert git_state(str(tmp_path)) == {"branch": "trunk", "commit": commit}
        self.git(tmp_path, "checkout", "-q", "--detach")
        assert git_state(str(tmp_path)) == {"commit": commit}


def test_every_run_keeps_a_snapshot_with_the_files_of_plugins(flowtester):
    flowtester.write("value = 1", "helper.py")
    flowtester.write("a,b", "table.csv")

    class Files:
        @hookimpl
        def flow_package_files(self, graph):
            return [(str(flowtester.path / "table.csv"), "extra/table.csv")]

    outcome = flowtester.run(
        "from flow_core import FlowSpec, step\nimport helper\nclass F(FlowSpec):\n    @step\n"
        "    def start(self): self.next(self.end)\n    @step\n    def end(self): pass\n",
        modules=[Files()],
    )
    key = run_key("F", outcome.run)
    (raw,) = outcome.store.read([key])
    document = RunDocument.decode(raw, key)
    (blob,) = outcome.store.read([f"blobs/{document.code[:2]}/{document.code}"])
    with tarfile.open(fileobj=io.BytesIO(blob)) as archive:
        assert archive.getnames() == ["extra/table.csv", "flow.py", "helper.py"]


def test_a_file_that_vanished(tmp_path):
    with pytest.raises(FlowError) as caught:
        build({"gone.py": str(tmp_path / "gone.py")}, 1.0)
    assert caught.value.what == "A file of the code snapshot cannot be read"
    assert caught.value.where == str(tmp_path / "gone.py")
    assert caught.value.why == "No such file or directory"

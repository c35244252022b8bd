"""Code snapshots: which files, the same bytes for the same code, and git's state."""

import io
import subprocess
import tarfile

from flow_core.hookspecs import hookimpl
from flow_core.package import git_state
from flow_core.records import RunDocument, run_key


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

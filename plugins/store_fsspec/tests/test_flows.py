"""Whole runs, each in a process of its own."""

from __future__ import annotations

import sys

import pytest

FLOW = """
    from flow_core import FlowSpec, step

    class F(FlowSpec):
        @step
        def start(self):
            self.numbers = [1, 2, 3]
            self.large = bytes(100_000)
            self.next(self.square, foreach="numbers")

        @step
        def square(self):
            self.result = self.input ** 2
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.result for i in inputs) + len(inputs[0].large)
            self.next(self.end)

        @step
        def end(self):
            print("total", self.total)

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def lab(flowtester):
    flowtester.more_plugins = ["fsspec"]
    flowtester.write(FLOW)
    return flowtester


def test_in_memory(lab):
    refused = lab.flow("--datastore", "memory://x", "run", "flow.py")
    assert refused.returncode != 0
    assert "Tasks would not see the store memory://x" in refused.stderr
    assert "--compute in-process" in refused.stderr
    done = lab.flow("--datastore", "memory://x", "--compute", "in-process", "run", "flow.py")
    assert "total 100014" in done.check().stdout
    assert not (lab.path / ".flow").exists()


def test_over_sftp(lab, sftp_place):
    variables = {**sftp_place.environment(), "FLOW_DATASTORE": f"{sftp_place.url}/flows"}
    done = lab.flow("run", "flow.py", variables=variables).check()
    assert "total 100014" in done.stdout
    assert "Done: F/1" in done.stdout
    logs = lab.flow("logs", "F/1/end", variables=variables).check()
    assert "total 100014" in logs.stdout
    assert "F/1" in lab.flow("runs", variables={**variables, "HOME": "/nonexistent"}).stdout


def test_a_folder(lab):
    url = f"file://{lab.path}/shared"
    assert "total 100014" in lab.flow("--datastore", url, "run", "flow.py").check().stdout
    assert "F/1" in lab.flow("--datastore", url, "runs").check().stdout
    assert not [p.name for p in (lab.path / "shared").iterdir() if p.name.startswith((".", "tmp"))]


@pytest.mark.parametrize("command", [["--version"], ["--datastore", "local", "run", "flow.py"]])
def test_nothing_of_it_is_imported_otherwise(lab, command):
    code = (
        "import sys; sys.argv[1:] = {!r}\n"
        "from flow_core.cli import main\n"
        "try: main()\n"
        "finally: print('HERE', 'fsspec' in sys.modules, 'flow_fsspec.store' in sys.modules)"
    )
    done = lab.command([sys.executable, "-c", code.format(command)])
    assert "HERE False False" in done.stdout

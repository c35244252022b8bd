"""Runs scripts under flow-metaflow, in a folder of their own."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flow_core.testing.flowtester import ProcessResult

FLOWS = Path(__file__).parent / "flows"


class Old:
    """A folder with scripts for the predecessor, and a Python that runs them.

    Attributes:
        folder: where they lie, and where their runs are kept.
        program: what starts a script.
    """

    def __init__(self, folder, program=None):
        self.folder = folder
        self.program = program or [sys.executable, "-m", "flow_metaflow"]
        self.variables = {"METAFLOW_USER": "ada", "HOME": str(folder)}

    def take(self, *names):
        """Copy scripts of ``flows/`` to the folder."""
        for name in names:
            shutil.copy(FLOWS / name, self.folder)

    def write(self, name, text):
        """Write a script."""
        (self.folder / name).write_text(text)
        return name

    def call(self, script, arguments="", **variables):
        """Run a script; return what it left."""
        inherited = {
            n: v for n, v in os.environ.items() if not n.startswith(("FLOW_", "METAFLOW_"))
        }
        done = subprocess.run(
            [*self.program, script, *shlex.split(arguments)],
            cwd=self.folder,
            env={**inherited, **self.variables, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return ProcessResult(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def old(tmp_path):
    return Old(tmp_path)

"""A store that real runs have filled, and what its runs can be read by."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flow_core.api import Session, Settings
from flow_core.testing import FlowTester
from flow_stores import copying

FLOW = """
    import os
    import random
    from flow_core import FlowSpec, Parameter, cache, step

    class F(FlowSpec):
        n = Parameter("n", default=3)

        @step
        def start(self):
            print("hello")
            self.items = list(range(self.n))
            self.text = "word " * 50_000
            self.noise = random.Random(1).randbytes(90_000)
            self.large = b"0123456789" * 10_000
            self.next(self.work, foreach="items")

        @cache
        @step
        def work(self):
            print("item", self.input)
            self.y = self.input * 2
            self.next(self.join)

        @step
        def join(self, inputs):
            self.total = sum(i.y for i in inputs)
            self.text = inputs[0].text
            self.next(self.end)

        @step
        def end(self):
            if os.path.exists("broken"):
                raise ValueError("a broken machine")
            self.more = [1, 2, 3] * 5_000

    if __name__ == "__main__":
        F()
"""


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which run 1 failed, run 2 resumed it, run 3 reused by the cache, with a tag."""
    folder = tmp_path_factory.mktemp("filled")
    tester = FlowTester(folder)
    file = tester.write(FLOW)
    (folder / "broken").touch()
    assert tester.python(file, "run").returncode == 1
    (folder / "broken").unlink()
    tester.python(file, "resume", "--origin-run-id", "1").check()
    tester.python(file, "run", "--tag", "third").check()
    tester.flow("tag", "add", "--run-id", "F/3", "good").check()
    return folder


@pytest.fixture
def team_folder(filled: Path, tmp_path: Path) -> Path:
    """A copy of `filled` that a test may change."""
    return Path(shutil.copytree(filled, tmp_path / "filled"))


@pytest.fixture
def opened(filled: Path) -> Callable[[str], Session]:
    """Return a function that opens a session of a store and the index that belongs to it."""

    def open_session(text: str) -> Session:
        settings = Settings(FlowTester(filled).environment(), str(filled))
        settings.override("datastore", text, "test")
        settings.override("metadata", "store", "test")
        return Session(settings=settings)

    return open_session


@pytest.fixture
def local(opened: Callable[[str], Session], filled: Path) -> Session:
    """A session of the store that is `filled`."""
    return opened(f"local://{filled}/.flow")


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what goes in pieces be small, so that it is tried with each of many faults."""
    monkeypatch.setattr(copying, "_BYTES", 50_000)

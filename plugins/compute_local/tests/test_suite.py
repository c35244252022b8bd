"""The conformance suite, in each of the ways in which the provider can run tasks."""

import pytest

from flow_compute_local.provider import LocalCompute
from flow_core.testing import ComputeSuite, MemoryStore
from flow_core.testing.compute_steps import StepsRuntime


class _Suite(ComputeSuite):
    @pytest.fixture
    def compute(self):
        return LocalCompute()


class TestForked(_Suite):
    """A server forked from this process, logs in files of the store."""

    @pytest.fixture
    def store(self, tmp_path):
        return FolderStore(tmp_path)


class TestForkedWithScratchLogs(_Suite):
    """A store that keeps no files: logs are brought there at the end."""


class TestSpawned(_Suite):
    """Each task an interpreter of its own."""

    @pytest.fixture
    def runtime(self):
        return StepsRuntime(settings={"fork": "never"})


class FolderStore(MemoryStore):
    """A store whose logs are files of a folder."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def local_path(self, key):
        return str(self.folder / key)

    def write(self, items, *, create_only=False):
        done = []
        for key, content in items:
            (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / key).write_bytes(content)
            done.append(True)
        return done

    def read(self, keys):
        for key in keys:
            path = self.folder / key
            yield path.read_bytes() if path.exists() else None

    def size(self, key):
        path = self.folder / key
        return path.stat().st_size if path.exists() else None

    def read_range(self, key, offset, length):
        (content,) = self.read([key])
        return None if content is None else content[offset : offset + length]

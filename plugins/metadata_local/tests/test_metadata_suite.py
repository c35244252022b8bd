"""The local metadata provider passes the suite for metadata providers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_core.testing import MetadataSuite
from flow_metadata_local.metadata import LocalMetadata


class TestLocalMetadata(MetadataSuite):
    @pytest.fixture
    def metadata(self, tmp_path: Path) -> Iterator[LocalMetadata]:
        metadata = LocalMetadata(str(tmp_path / "index"))
        yield metadata
        metadata.close()

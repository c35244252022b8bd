"""`S3Store` on a real S3 server."""

from __future__ import annotations

import os

import pytest

from flow_core.testing import StoreSuite
from flow_s3.store import S3Store


class TestS3Store(StoreSuite):
    """The suite, on SeaweedFS."""

    refresh_is_safe = False  # S3 deletes without a look at the time

    @pytest.fixture
    def store(self, monkeypatch) -> S3Store:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:6104")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testkey")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testsecret")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        return S3Store("flow-test/" + os.urandom(6).hex())

"""Buckets in which others keep keys that no store takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_s3.s3 import S3
from flow_s3.store import S3Store

KEYS = ("a/b", "a b/+%/ü", "a/c/d", "z")
FOREIGN = ("a//b", "./x", "../x", "/lead", "a/./b")


@pytest.fixture
def store(moto_url, monkeypatch) -> Iterator[S3Store]:
    """A store in a bucket of a server that takes any key: the real one puts them right."""
    import boto3

    variables = {
        "AWS_ENDPOINT_URL": moto_url,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=moto_url, region_name="us-east-1")
    client.create_bucket(Bucket="odd")
    for key in (*KEYS, *FOREIGN, "a/folder/"):
        client.put_object(Bucket="odd", Key=f"p/{key}", Body=b"" if key.endswith("/") else b"x")
    yield S3Store("odd/p")
    for key in (*KEYS, *FOREIGN, "a/folder/"):
        client.delete_object(Bucket="odd", Key=f"p/{key}")
    client.delete_bucket(Bucket="odd")


def test_they_are_left_out(store):
    assert [one.key for one in store.list()] == sorted(KEYS)
    assert [one.size for one in store.list()] == [1] * len(KEYS)
    assert store.folders() == ["a", "a b", "z"]
    assert store.folders("a/") == ["b", "c", "folder"]
    assert [one.key for one in store.list("a")] == ["a b/+%/ü", "a/b", "a/c/d"]


def test_folders_that_others_made_are_no_files(store):
    with S3(s3root="s3://odd/p") as s3:
        assert [found.key for found in s3.get_all()] == sorted(KEYS)


def test_pages(store, monkeypatch):
    monkeypatch.setattr("flow_s3.listing._MOST", "2")
    assert [one.key for one in store.list()] == sorted(KEYS)
    assert store.folders() == ["a", "a b", "z"]

"""A root of bucket and prefix."""

from __future__ import annotations

import pytest

from flow_core.api import UsageError
from flow_objectstore.roots import split_root


@pytest.mark.parametrize("root", ["gs://b/some/prefix", "gcs://b/some/prefix/", "b/some/prefix"])
def test_bucket_and_prefix(root):
    assert split_root(root, ("gs", "gcs"), "bucket") == ("b", "some/prefix/")
    assert split_root("gs://b", ("gs", "gcs"), "bucket") == ("b", "")


@pytest.mark.parametrize("root", ["", "gs://", "gs:///prefix"])
def test_no_bucket(root):
    with pytest.raises(UsageError) as caught:
        split_root(root, ("gs", "gcs"), "bucket")
    error = caught.value
    assert error.what == "The store 'gs' needs a bucket"
    assert error.where == "--datastore gs"
    assert error.why == "neither the URL nor the setting gs_root names one"
    assert error.hint == (
        "--datastore gs://bucket/prefix, or set it once: FLOW_GS_ROOT=gs://bucket/prefix"
    )


@pytest.mark.parametrize("secret", ["hush", "hu/sh", "hu@sh"])
def test_credentials_are_no_part_of_it(secret):
    with pytest.raises(UsageError) as caught:
        split_root(f"gs://key:{secret}@team/some/prefix", ("gs", "gcs"), "bucket")
    error = caught.value
    assert error.where == "gs://***@team/some/prefix"
    assert error.hint == "take it out: gs://team/some/prefix"
    assert not any(word in str(error) for word in ("key", "hu", "sh@"))
    assert split_root("gs://team/a@b", ("gs",), "bucket") == ("team", "a@b/")

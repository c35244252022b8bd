"""Runtimes that nobody uses go with gc; those in use stay."""

import os
import time

import pytest

from flow_core.testing.compute_steps import StepsRuntime
from flow_remote.bundle import make_runtime
from flow_remote.leftovers import PREFIX, UNUSED, leftovers
from flow_store_local.store import LocalStore


def _never(flow, run):
    pytest.fail("a runtime belongs to no run")


def test_what_nobody_has_used_for_a_month_is_left_over(tmp_path):
    store = LocalStore(str(tmp_path / "store"))
    bundle = make_runtime(StepsRuntime(), store, str(tmp_path / "cache"))
    keys = sorted(part.key for part in bundle.parts)
    assert sorted(found.key for found in store.list(PREFIX)) == keys
    assert list(leftovers(store, _never)) == []
    long_ago = time.time() - UNUSED - 60
    for key in keys:
        os.utime(store.local_path(key), (long_ago, long_ago))
    assert sorted(found.key for found in leftovers(store, _never)) == keys
    make_runtime(StepsRuntime(), store, str(tmp_path / "cache"))  # another run uses them
    assert list(leftovers(store, _never)) == []

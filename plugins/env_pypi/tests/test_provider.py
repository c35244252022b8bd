"""The provider by itself: the conformance suite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from flow_core.testing import EnvironmentSuite
from flow_pypi.provider import PypiEnvironment

from .conftest import SETTINGS


@pytest.mark.slow
class TestPypi(EnvironmentSuite):
    provider = PypiEnvironment
    options: Mapping[str, Any] = {"packages": ["tiny==1.0"]}
    proof = "import tiny; assert tiny.VERSION == '1.0'"
    other_options: Mapping[str, Any] = {"packages": ["tiny==2.0"]}
    impossible: Mapping[str, Any] = {"packages": ["tiny==3.0"]}
    settings = SETTINGS

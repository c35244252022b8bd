"""Flows that run as processes see this plugin, too."""

import pytest


@pytest.fixture
def flowtester(flowtester):
    flowtester.more_plugins = ["resources"]
    return flowtester

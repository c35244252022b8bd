"""Conformance suites and fakes for authors of plugins: ``pip install "flow-core[testing]"``.

An author subclasses the suite for the kind of provider and gives it the provider as a fixture:

    class TestMyStore(StoreSuite):
        @pytest.fixture
        def store(self, tmp_path): return MyStore(str(tmp_path))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_core.testing.bare_environment import BareEnvironment as BareEnvironment
    from flow_core.testing.command_suite import CommandSuite as CommandSuite
    from flow_core.testing.compute_suite import ComputeSuite as ComputeSuite
    from flow_core.testing.decorator_suite import DecoratorSuite as DecoratorSuite
    from flow_core.testing.detached import DetachedCompute as DetachedCompute
    from flow_core.testing.environment_suite import EnvironmentSuite as EnvironmentSuite
    from flow_core.testing.fakes import MemoryMetadata as MemoryMetadata
    from flow_core.testing.fakes import MemoryStore as MemoryStore
    from flow_core.testing.faulty import FaultyStore as FaultyStore
    from flow_core.testing.faulty_proxy import FaultyProxy as FaultyProxy
    from flow_core.testing.faulty_proxy import SeenRequest as SeenRequest
    from flow_core.testing.flowtester import FlowTester as FlowTester
    from flow_core.testing.flowtester import ProcessResult as ProcessResult
    from flow_core.testing.flowtester import RunOutcome as RunOutcome
    from flow_core.testing.golden import assert_same_run as assert_same_run
    from flow_core.testing.in_process import InProcessCompute as InProcessCompute
    from flow_core.testing.metadata_suite import MetadataSuite as MetadataSuite
    from flow_core.testing.network_suite import NetworkStoreSuite as NetworkStoreSuite
    from flow_core.testing.processes import in_child as in_child
    from flow_core.testing.processes import in_children as in_children
    from flow_core.testing.proving import failures as failures
    from flow_core.testing.secrets_suite import SecretsCase as SecretsCase
    from flow_core.testing.secrets_suite import SecretsSuite as SecretsSuite
    from flow_core.testing.serializer_suite import SerializerSuite as SerializerSuite
    from flow_core.testing.steps import StepOutcome as StepOutcome
    from flow_core.testing.steps import flow_step as flow_step
    from flow_core.testing.store_suite import StoreSuite as StoreSuite
    from flow_core.testing.wheels import core_wheels as core_wheels
    from flow_core.testing.wheels import installed_wheel as installed_wheel
    from flow_core.testing.wheels import write_wheel as write_wheel

_HOME = {
    "BareEnvironment": "bare_environment",
    "CommandSuite": "command_suite",
    "ComputeSuite": "compute_suite",
    "DecoratorSuite": "decorator_suite",
    "DetachedCompute": "detached",
    "EnvironmentSuite": "environment_suite",
    "FaultyProxy": "faulty_proxy",
    "FaultyStore": "faulty",
    "FlowTester": "flowtester",
    "InProcessCompute": "in_process",
    "MemoryMetadata": "fakes",
    "MemoryStore": "fakes",
    "MetadataSuite": "metadata_suite",
    "NetworkStoreSuite": "network_suite",
    "SecretsCase": "secrets_suite",
    "SecretsSuite": "secrets_suite",
    "SeenRequest": "faulty_proxy",
    "SerializerSuite": "serializer_suite",
    "ProcessResult": "flowtester",
    "RunOutcome": "flowtester",
    "StepOutcome": "steps",
    "StoreSuite": "store_suite",
    "assert_same_run": "golden",
    "core_wheels": "wheels",
    "failures": "proving",
    "flow_step": "steps",
    "in_child": "processes",
    "in_children": "processes",
    "installed_wheel": "wheels",
    "write_wheel": "wheels",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - computed, so that each name is written once


if not TYPE_CHECKING:  # which knows the names from above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name not in _HOME:
            raise AttributeError(f"module 'flow_core.testing' has no attribute '{name}'")
        module = f"flow_core.testing.{_HOME[name]}"
        if module.endswith("_suite"):
            import pytest

            # So that a failed assertion of a suite shows both sides, as it does in a test file.
            pytest.register_assert_rewrite(module)
        value = getattr(importlib.import_module(module), name)
        globals()[name] = value
        return value

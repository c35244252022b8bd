"""flow-secrets: secrets as variables of a step (``@secrets``), never stored, masked in its output.

Providers are entry points of the group ``flow.secrets``: classes with the methods of
`SecretsProvider`, made as ``Provider(settings)``. Nothing is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_core.api import SecretSource as SecretSource
    from flow_core.api import SecretsProvider as SecretsProvider
    from flow_secrets.decorator import SecretsOptions as SecretsOptions
    from flow_secrets.decorator import secrets as secrets
    from flow_secrets.fetching import SecretsError as SecretsError
    from flow_secrets.fetching import get_secret as get_secret

_HOME = {
    "SecretSource": "flow_core.api",
    "SecretsError": "flow_secrets.fetching",
    "SecretsOptions": "flow_secrets.decorator",
    "SecretsProvider": "flow_core.api",
    "get_secret": "flow_secrets.fetching",
    "secrets": "flow_secrets.decorator",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'flow_secrets' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_HOME[name]), name)

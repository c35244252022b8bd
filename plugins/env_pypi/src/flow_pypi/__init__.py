"""flow-pypi: steps with packages of their own from PyPI, locked and installed by uv (``@pypi``).

Beside the decorators it is a library for other plugins that install packages from PyPI:
`flow_pypi.library.resolve_on` and `flow_pypi.library.install_into`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_pypi.decorators import PypiBaseOptions as PypiBaseOptions
    from flow_pypi.decorators import PypiOptions as PypiOptions
    from flow_pypi.decorators import pypi as pypi
    from flow_pypi.decorators import pypi_base as pypi_base


def __getattr__(name: str) -> Any:
    if name in ("PypiBaseOptions", "PypiOptions", "pypi", "pypi_base"):
        from flow_pypi import decorators  # not needed by flows without them

        return getattr(decorators, name)
    raise AttributeError(f"module 'flow_pypi' has no attribute '{name}'")

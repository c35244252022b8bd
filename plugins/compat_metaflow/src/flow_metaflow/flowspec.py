"""`FlowSpec` as the predecessor's flows know it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import flow_core.api as core
from flow_metaflow.exceptions import translated


class FlowSpec(core.FlowSpec):
    """flow-core's `FlowSpec` with the predecessor's exceptions and command line.

    Args:
        use_cli: whether to start the command line.
    """

    __flow_language__ = True

    def __init__(self, use_cli: bool = True) -> None:
        if use_cli:
            super().__init__()

    @classmethod
    def __flow_start__(cls) -> None:
        """Start the predecessor's command line."""
        from flow_metaflow.program import start

        start(cls)

    def next(self, *targets: Any, **options: Any) -> None:
        """As flow-core's, with `InvalidNextException`."""
        try:
            super().next(*targets, **options)
        except core.FlowError as error:
            raise translated(error) from None

    def merge_artifacts(
        self,
        inputs: Any,
        exclude: Sequence[str] | None = None,
        include: Sequence[str] | None = None,
    ) -> None:
        """As flow-core's, with `UnhandledInMergeArtifactsException` and its like."""
        try:
            super().merge_artifacts(inputs, exclude or (), include or ())
        except core.FlowError as error:
            raise translated(error) from None

    def __iter__(self) -> Iterator[Any]:
        """Yield the functions of the steps."""
        for name in dir(type(self)):
            if hasattr(getattr(type(self), name, None), "__flow_step__"):
                yield getattr(self, name)

"""flow-arrow: data frames and tables as Arrow or Parquet, without pickle (``@arrow``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from flow_core.api import Options, StepDecorator, option


@dataclass(frozen=True)
class ArrowOptions(Options):
    """Choose how a step stores data frames and tables.

    Without it, and without the setting ``serializers``, they are stored as Arrow. Since 0.1.
    """

    format: Literal["arrow", "parquet", "pickle"] = option(
        "arrow",
        "arrow: as in memory, read back without a copy where the store is a disk; parquet: "
        "compressed, smaller and slower; pickle: as without this plugin.",
    )


arrow = StepDecorator("arrow", ArrowOptions)

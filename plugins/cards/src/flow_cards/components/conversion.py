"""Any value as a component."""

from __future__ import annotations

from typing import Any

from flow_cards.components.base import Component
from flow_cards.components.charts import VegaChart, is_altair
from flow_cards.components.image import Image
from flow_cards.components.table import Table, is_frame
from flow_cards.components.text import Artifact, Error, Markdown


def as_component(value: Any) -> Component:
    """Return what shows ``value``: a component itself, text as Markdown, a DataFrame as a table,
    a figure as a picture, a chart of altair as one, anything else as Python writes it."""
    if isinstance(value, Component):
        return value
    if isinstance(value, str):
        return Markdown(value)
    try:
        if is_frame(value):
            return Table.from_dataframe(value)
        if hasattr(value, "savefig"):
            return Image.from_matplotlib(value)
        if is_altair(value):
            return VegaChart(value)
    except Exception as error:  # whatever the code of others may raise
        return Error(error, f"A {type(value).__name__} cannot be shown")
    return Artifact(value)

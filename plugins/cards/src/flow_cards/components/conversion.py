"""Any value as a component."""

from __future__ import annotations

from typing import Any

from flow_cards.components.base import Component
from flow_cards.components.charts import VegaChart, is_altair
from flow_cards.components.image import Image
from flow_cards.components.table import Table, is_frame
from flow_cards.components.text import Artifact, Error, Markdown


def as_component(value: Any) -> Component:
    """Return what shows ``value``: a component itself, text as Markdown, an exception with its
    traceback, a DataFrame as a table, a figure or an image as a picture, a chart of altair as one,
    an array as what it holds, anything else as Python writes it."""
    if isinstance(value, Component):
        return value
    if isinstance(value, str):
        return Markdown(value)
    if isinstance(value, BaseException):
        return Error(value)
    try:
        if is_frame(value):
            return Table.from_dataframe(value)
        if hasattr(value, "savefig"):
            return Image.from_matplotlib(value)
        if is_altair(value):
            return VegaChart(value)
    except Exception as error:  # whatever the code of others may raise
        return Error(error, f"A {type(value).__name__} cannot be shown")
    return _seen(value) or Artifact(value)


def _seen(value: Any) -> Component | None:
    """Return the picture or the summary of what is no plain data; None = it has none."""
    from flow_cards.artifact_previews import show

    return None if type(value).__module__ == "builtins" else show(value).block

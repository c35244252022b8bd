"""flow-cards: HTML reports that tasks leave behind (``@card``).

    from flow_core import FlowSpec, card, current, step
    from flow_cards import Markdown, Table

Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_cards.client import Card as Card
    from flow_cards.client import CardContainer as CardContainer
    from flow_cards.client import get_cards as get_cards
    from flow_cards.components import Artifact as Artifact
    from flow_cards.components import Bar as Bar
    from flow_cards.components import Columns as Columns
    from flow_cards.components import Component as Component
    from flow_cards.components import Error as Error
    from flow_cards.components import EventsTimeline as EventsTimeline
    from flow_cards.components import Facts as Facts
    from flow_cards.components import Graph as Graph
    from flow_cards.components import Image as Image
    from flow_cards.components import JSONViewer as JSONViewer
    from flow_cards.components import Log as Log
    from flow_cards.components import Markdown as Markdown
    from flow_cards.components import Preview as Preview
    from flow_cards.components import ProgressBar as ProgressBar
    from flow_cards.components import PythonCode as PythonCode
    from flow_cards.components import Section as Section
    from flow_cards.components import Sparkline as Sparkline
    from flow_cards.components import Table as Table
    from flow_cards.components import Tabs as Tabs
    from flow_cards.components import Template as Template
    from flow_cards.components import Timeline as Timeline
    from flow_cards.components import ValueBox as ValueBox
    from flow_cards.components import VegaChart as VegaChart
    from flow_cards.components import YAMLViewer as YAMLViewer
    from flow_cards.contract import ArtifactMissing as ArtifactMissing
    from flow_cards.contract import CardLink as CardLink
    from flow_cards.contract import CardRun as CardRun
    from flow_cards.contract import CardTask as CardTask
    from flow_cards.contract import CardType as CardType
    from flow_cards.contract import HtmlPage as HtmlPage
    from flow_cards.contract import RunCardType as RunCardType
    from flow_cards.contract import Value as Value
    from flow_cards.decorator import CardOptions as CardOptions
    from flow_cards.decorator import card as card
    from flow_cards.drawing import render as render

_HOME = {
    "client": "Card CardContainer get_cards",
    "components": "Artifact Bar Columns Component Error EventsTimeline Facts Graph Image JSONViewer Log"
    " Markdown Preview ProgressBar PythonCode Section Sparkline Table Tabs Template Timeline ValueBox VegaChart"
    " YAMLViewer",
    "contract": "ArtifactMissing CardLink CardRun CardTask CardType HtmlPage RunCardType Value",
    "decorator": "CardOptions card",
    "drawing": "render",
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)  # noqa: PLE0605 - computed, so that each name is written once


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'flow_cards' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"flow_cards.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE_OF})

"""All that flows and card types take from this package, under one name: ``from flow_cards.cards import Table``."""

from flow_cards.client import Card, CardContainer, get_cards
from flow_cards.components import (
    Artifact,
    Component,
    Error,
    Facts,
    Image,
    Log,
    Markdown,
    ProgressBar,
    PythonCode,
    Section,
    Table,
    ValueBox,
)
from flow_cards.contract import CardTask, CardType, HtmlPage, Value

__all__ = [
    "Artifact",
    "Card",
    "CardContainer",
    "CardTask",
    "CardType",
    "Component",
    "Error",
    "Facts",
    "HtmlPage",
    "Image",
    "Log",
    "Markdown",
    "ProgressBar",
    "PythonCode",
    "Section",
    "Table",
    "Value",
    "ValueBox",
    "get_cards",
]

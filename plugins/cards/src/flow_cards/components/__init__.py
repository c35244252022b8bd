"""Components: what cards are made of. Each is pure data; `flow_cards.drawing` draws all of them.

    Markdown("# Result"), Table([["a", 1]], headers=["name", "count"]), ProgressBar(max=10, value=3)

A component of your own is made of others:

    @dataclass(frozen=True)
    class Score(Component):
        name: str
        value: float

        def parts(self):
            return [Markdown(f"**{self.name}**"), ProgressBar(max=1, value=self.value)]
"""

from __future__ import annotations

from collections.abc import Mapping

from flow_cards.components.base import Component as Component
from flow_cards.components.charts import Sparkline as Sparkline
from flow_cards.components.charts import VegaChart as VegaChart
from flow_cards.components.conversion import as_component as as_component
from flow_cards.components.events import EVENT_THEMES as EVENT_THEMES
from flow_cards.components.events import PRIORITIES as PRIORITIES
from flow_cards.components.events import Event as Event
from flow_cards.components.events import EventsTimeline as EventsTimeline
from flow_cards.components.graph import Graph as Graph
from flow_cards.components.image import Image as Image
from flow_cards.components.layout import Columns as Columns
from flow_cards.components.layout import Section as Section
from flow_cards.components.layout import Tabs as Tabs
from flow_cards.components.measures import THEMES as THEMES
from flow_cards.components.measures import Facts as Facts
from flow_cards.components.measures import ProgressBar as ProgressBar
from flow_cards.components.measures import ValueBox as ValueBox
from flow_cards.components.preview import Preview as Preview
from flow_cards.components.table import Table as Table
from flow_cards.components.template import Template as Template
from flow_cards.components.text import Artifact as Artifact
from flow_cards.components.text import Error as Error
from flow_cards.components.text import Log as Log
from flow_cards.components.text import Markdown as Markdown
from flow_cards.components.text import PythonCode as PythonCode
from flow_cards.components.timeline import Bar as Bar
from flow_cards.components.timeline import Timeline as Timeline
from flow_cards.components.viewers import JSONViewer as JSONViewer
from flow_cards.components.viewers import YAMLViewer as YAMLViewer

BUILT_IN: Mapping[str, type[Component]] = {
    kind.__name__: kind
    for kind in (
        Artifact,
        Columns,
        Error,
        EventsTimeline,
        Facts,
        Graph,
        Image,
        JSONViewer,
        Log,
        Markdown,
        Preview,
        ProgressBar,
        PythonCode,
        Section,
        Sparkline,
        Table,
        Tabs,
        Template,
        Timeline,
        ValueBox,
        VegaChart,
        YAMLViewer,
    )
}
"""The components that are drawn as they are, by name."""


def kind_of(component: Component) -> str | None:
    """Return the name of the built-in component that this one is; None = it is made of others."""
    for cls in type(component).__mro__:
        if BUILT_IN.get(cls.__name__) is cls:
            return cls.__name__
    return None

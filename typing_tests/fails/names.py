"""Names that nothing offers. Needs the stubs."""

from __future__ import annotations

from flow_core import FlowSpec, step
from flow_core import retri  # E: retri
from flow_core import kubernets  # E: kubernets
from flow_core import Parametre  # E: Parametre
from flow_core import current
import flow_core

flow_core.tiemout  # E: tiemout
print(current.run_idd)  # E: run_idd
print(current.projekt_name)  # E: projekt_name
print(current.trigger.event)  # E: event
number: int = current.project_name  # E: int
print(FlowSpec, step)

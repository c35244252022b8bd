"""flow-core: data-science workflows as plain Python, with everything else a plugin.

What users write with is here: ``from flow_core import FlowSpec, step, Parameter, current``, and the
names that installed plugins offer (``retry``, ``catch``, ``Flow``, ``Run``, …). Nothing is imported
before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_core.config import Config as Config
    from flow_core.config import ConfigValue as ConfigValue
    from flow_core.config import config_expr as config_expr
    from flow_core.context import current as current
    from flow_core.errors import FlowError as FlowError
    from flow_core.errors import RunFailed as RunFailed
    from flow_core.flowspec import FlowSpec as FlowSpec
    from flow_core.flowspec import step as step
    from flow_core.library import resume_flow as resume_flow
    from flow_core.library import run_flow as run_flow
    from flow_core.mutators import FlowMutator as FlowMutator
    from flow_core.mutators import StepMutator as StepMutator
    from flow_core.parameters import IncludeFile as IncludeFile
    from flow_core.parameters import JSONType as JSONType
    from flow_core.parameters import Parameter as Parameter
    from flow_core.parameters import ParameterContext as ParameterContext
    from flow_core.user_decorators import USER_SKIP_STEP as USER_SKIP_STEP
    from flow_core.user_decorators import UserStepDecorator as UserStepDecorator
    from flow_core.user_decorators import user_step_decorator as user_step_decorator

__version__ = "0.1.0"

_OWN = {
    "FlowSpec": "flow_core.flowspec",
    "step": "flow_core.flowspec",
    "Parameter": "flow_core.parameters",
    "ParameterContext": "flow_core.parameters",
    "IncludeFile": "flow_core.parameters",
    "JSONType": "flow_core.parameters",
    "Config": "flow_core.config",
    "ConfigValue": "flow_core.config",
    "config_expr": "flow_core.config",
    "FlowMutator": "flow_core.mutators",
    "StepMutator": "flow_core.mutators",
    "USER_SKIP_STEP": "flow_core.user_decorators",
    "UserStepDecorator": "flow_core.user_decorators",
    "user_step_decorator": "flow_core.user_decorators",
    "current": "flow_core.context",
    "FlowError": "flow_core.errors",
    "RunFailed": "flow_core.errors",
    "run_flow": "flow_core.library",
    "resume_flow": "flow_core.library",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name in _OWN:
        value = getattr(importlib.import_module(_OWN[name]), name)
    elif name.startswith("_") or _is_module(name):
        raise AttributeError(name)  # for a module, the import system goes on to import it
    else:
        value = importlib.import_module("flow_core.exports").load_export(name)
    globals()[name] = value
    return value


def _is_module(name: str) -> bool:
    import os.path

    path = os.path.join(os.path.dirname(__file__), name)
    return os.path.isdir(path) or os.path.exists(path + ".py")


def __dir__() -> list[str]:
    import importlib

    exports = importlib.import_module("flow_core.exports")
    return sorted({*globals(), *_OWN, *exports.export_names()})

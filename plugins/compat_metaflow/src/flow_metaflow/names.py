"""Which name of ``metaflow`` means what here, and what is not offered, each by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from flow_core.api import FlowError, UsageError

_CARDS = "old flows cannot leave cards yet (flow-cards makes them for flows of flow-core)"
_ARGO = "flow-argo, which does not exist yet, will deploy flows"
_AIRFLOW = "nothing deploys flows to Airflow"
_INTERNAL = "it is part of the inside of Metaflow, which flow-core does not have"
_EXTENSION = "extensions of Metaflow are not loaded; plugins of flow-core take their place"
_NO_PACKAGES = "its plugin is not installed: flow-conda or flow-pypi makes environments for steps"
_KUBERNETES = "it is a decorator of flow-kubernetes, which flows of flow-core import"
_BATCH = "nothing runs steps on AWS Batch; flow-kubernetes runs them elsewhere"

_HINTS = {
    _CARDS: "leave cards out: store what they show as artifacts, and read it with the client",
    _ARGO: "run the flow from your scheduler: python -m flow_metaflow FLOW.py run",
    _AIRFLOW: "run the flow from your scheduler: python -m flow_metaflow FLOW.py run",
    _KUBERNETES: "leave it out: the steps run on this machine",
    _BATCH: "leave it out: the steps run on this machine",
}
"""What to do instead, by the reason."""


_NEEDED = {"flow_metaflow.datatools": "S3"}
"""Module of ours → the name of flow_core without which it is not there."""
_CONFIG = "metaflow.metaflow_config"
_SHOWN = 20


class NotOffered(FlowError):
    """Something of the predecessor's is not offered here."""


class ModuleNotOffered(NotOffered, ImportError):
    """It was to be imported."""


class NameNotOffered(NotOffered, AttributeError):
    """It was asked for as an attribute."""


def _core(names: str) -> dict[str, str]:
    return {name: f"flow_core:{name}" for name in names.split()}


def _own(module: str, names: str) -> dict[str, str]:
    return {name: f"flow_metaflow.{module}:{name}" for name in names.split()}


def _not(why: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), f"!{why}")


_EXCEPTIONS = _own(
    "exceptions",
    "MetaflowException ParameterFieldFailed ParameterFieldTypeMismatch ExternalCommandFailed"
    " MetaflowNotFound MetaflowNamespaceMismatch MetaflowInvalidPathspec MetaflowInternalError"
    " MetaflowTaggingError MetaflowUnknownUser InvalidDecoratorAttribute CommandException"
    " MetaflowDataMissing UnhandledInMergeArtifactsException MissingInMergeArtifactsException"
    " MetaflowExceptionWrapper",
)
_CLIENT = _own(
    "client",
    "Metaflow Flow Run Step Task DataArtifact namespace get_namespace default_namespace metadata"
    " get_metadata default_metadata inspect_spin",
)
_LANGUAGE = {
    **_own("flowspec", "FlowSpec"),
    **_core("step current Parameter JSONType"),
    **_own("parameters", "IncludeFile JSONTypeClass"),
}
_CONFIGURATION = _core(
    "Config ConfigValue config_expr FlowMutator StepMutator UserStepDecorator user_step_decorator"
    " USER_SKIP_STEP"
)
_MUTABLE = _core("MutableFlow MutableStep")
_DECORATORS = {
    **_core("retry catch timeout resources environment secrets parallel"),
    **_core("project schedule trigger trigger_on_finish exit_hook"),
    **{
        name: f"flow_core:{name}|flow_metaflow.packages:{name}"
        for name in ("conda", "conda_base", "pypi", "pypi_base")
    },
    **_not(_CARDS, "card"),
    **_not(_KUBERNETES, "kubernetes"),
    **_not(_BATCH, "batch"),
    **_not(
        "use @parallel, and set the variables of torch from current.parallel", "pytorch_parallel"
    ),
    **_not(_AIRFLOW, "airflow_external_task_sensor airflow_s3_key_sensor airflow_internal"),
    **_not(_ARGO, "argo_workflows_internal step_functions_internal"),
    **_not("it is for Metaflow's own tests", "unbounded_test_foreach_internal"),
}
_PARSERS = {
    **_core("yaml_parser"),
    **_not(
        "it feeds @conda and @pypi, which read such files themselves: environment=, requirements=",
        "requirements_txt_parser pyproject_toml_parser conda_environment_yml_parser",
    ),
}
_RUNNER = _own("runner", "Runner NBRunner")
_DEPLOYER = _not(_ARGO, "Deployer NBDeployer DeployedFlow TriggeredRun ArgoEvent")
_UTILITIES = _own("utilities", "parallel_map parallel_imap_unordered profile")
_S3 = _own(
    "datatools",
    "S3 S3GetObject S3PutObject S3Object MetaflowS3Exception MetaflowS3URLException"
    " MetaflowS3NotFound MetaflowS3AccessDenied MetaflowS3InvalidRange MetaflowS3InvalidObject"
    " MetaflowS3InsufficientDiskSpace",
)
_TRIGGER = {**_core("Trigger"), **_not(_INTERNAL, "MetaflowEvent")}
_DECORATOR_ERRORS = dict.fromkeys(
    (
        "BadStepDecoratorException",
        "BadFlowDecoratorException",
        "DuplicateStepDecoratorException",
        "DuplicateFlowDecoratorException",
        "UnknownStepDecoratorException",
        "UnknownFlowDecoratorException",
    ),
    "flow_core.api:DefinitionError",
)
_COMPONENTS = _not(
    _CARDS,
    "Markdown Artifact Table Image Error VegaChart ProgressBar ValueBox PythonCode EventsTimeline"
    " JSONViewer YAMLViewer MetaflowCard MetaflowCardComponent get_cards",
)

MODULES: Mapping[str, Mapping[str, str]] = {
    "metaflow": {
        **_LANGUAGE,
        **_CONFIGURATION,
        **_DECORATORS,
        **_CLIENT,
        **_PARSERS,
        **_RUNNER,
        **_DEPLOYER,
        **_UTILITIES,
        **_core("namespaced_event_name Trigger"),
        **_own("datatools", "S3"),
        **_not("the package metaflow-checkpoint extends Metaflow itself", "checkpoint model"),
        **_not("it extends Metaflow itself", "huggingface_hub torchrun deepspeed metaflow_ray mpi"),
        **_not("it extends Metaflow itself", "tensorflow_parallel slurm nvidia snowpark"),
        **_not("flows in R are not run", "R"),
        **_not(_EXTENSION, "EXT_PKG"),
        "get_secret": "flow_core:get_secret",
    },
    "metaflow.exception": _EXCEPTIONS,
    "metaflow.client": _CLIENT,
    "metaflow.client.core": {
        **_CLIENT,
        **_own("client", "MetaflowObject MetaflowData MetaflowCode Metadata"),
        **_core("Trigger"),
    },
    "metaflow.flowspec": {
        **_own("flowspec", "FlowSpec"),
        **_own("exceptions", "InvalidNextException"),
    },
    "metaflow.parameters": {
        **_core("Parameter JSONType ParameterContext"),
        **_own("parameters", "JSONTypeClass"),
        **_own("exceptions", "ParameterFieldFailed ParameterFieldTypeMismatch MetaflowException"),
    },
    "metaflow.includefile": _own("parameters", "IncludeFile"),
    "metaflow.decorators": {
        **_core("step"),
        **_DECORATOR_ERRORS,
        **_not(_EXTENSION, "Decorator StepDecorator FlowDecorator"),
        **_own("exceptions", "InvalidDecoratorAttribute MetaflowException"),
    },
    "metaflow.user_configs": {**_CONFIGURATION},
    "metaflow.user_configs.config_parameters": _core("Config ConfigValue config_expr"),
    "metaflow.user_decorators": {**_CONFIGURATION, **_MUTABLE},
    "metaflow.user_decorators.mutable_flow": _core("MutableFlow"),
    "metaflow.user_decorators.mutable_step": _core("MutableStep"),
    "metaflow.user_decorators.user_flow_decorator": _core("FlowMutator"),
    "metaflow.user_decorators.user_step_decorator": _core(
        "StepMutator UserStepDecorator user_step_decorator USER_SKIP_STEP"
    ),
    "metaflow.metaflow_current": _core("current"),
    "metaflow.metaflow_version": _own("utilities", "get_version"),
    "metaflow.events": _TRIGGER,
    "metaflow.multicore_utils": _own("utilities", "parallel_map parallel_imap_unordered"),
    "metaflow.metaflow_profile": _own("utilities", "profile"),
    "metaflow.util": _own("utilities", "get_username"),
    "metaflow.tagging_util": _own("exceptions", "MetaflowTaggingError"),
    "metaflow.runner": _RUNNER,
    "metaflow.runner.metaflow_runner": _own("runner", "Runner"),
    "metaflow.runner.nbrun": _own("runner", "NBRunner"),
    "metaflow.metaflow_config": {},
    "metaflow.plugins": {**_DECORATORS, **_PARSERS},
    "metaflow.plugins.catch_decorator": _own("exceptions", "FailureHandledByCatch"),
    "metaflow.plugins.timeout_decorator": _not(
        "@timeout of flow-core raises an exception of its own, flow_timeout.TimeoutException",
        "TimeoutException",
    ),
    "metaflow.plugins.parsers": _PARSERS,
    "metaflow.plugins.secrets": _core("get_secret"),
    "metaflow.plugins.datatools": _S3,
    "metaflow.plugins.datatools.s3": _S3,
    "metaflow.plugins.datatools.s3.s3": _S3,
    "metaflow.datatools": _S3,
    "metaflow.datatools.s3": _S3,
}
"""Module → name → where it is: ``module:name``, alternatives behind ``|``, or ``!why not``."""

_MISSING_MODULES = {
    "metaflow.cards": _CARDS,
    "metaflow.plugins.cards": _CARDS,
    "metaflow.integrations": _ARGO,
    "metaflow.runner.deployer": _ARGO,
    "metaflow.plugins.argo": _ARGO,
    "metaflow.plugins.airflow": _AIRFLOW,
    "metaflow.plugins.kubernetes": _KUBERNETES,
    "metaflow.plugins.aws": "nothing runs steps on AWS Batch or Step Functions",
    "metaflow.plugins.azure": "stores on Azure do not exist yet",
    "metaflow.plugins.gcp": "stores on Google Cloud do not exist yet",
    "metaflow.plugins.pypi": "flow-conda and flow-pypi make environments",
    "metaflow.extension_support": _EXTENSION,
    "metaflow_extensions": _EXTENSION,
}


def offered(module: str) -> list[str]:
    """Return the names of a module that can be used with what is installed."""
    there: frozenset[str | None] = frozenset([None, *_names_of_core()])
    usable = (
        name
        for name, text in MODULES[module].items()
        if not text.startswith("!") and not there.isdisjoint(map(_needed, text.split("|")))
    )
    return sorted(usable)


def find_name(module: str, name: str) -> Any:
    """Return what ``module.name`` means here.

    Raises:
        AttributeError: it is not offered; says why.
    """
    if f"{module}.{name}" in MODULES:
        return importlib.import_module(f"{module}.{name}")
    if module == _CONFIG:
        from flow_metaflow.environment import config_value

        return config_value(name)
    text = MODULES[module].get(name, "!")
    targets = [] if text.startswith("!") else text.split("|")
    for target in filter(_exists, targets):
        return _load(target)
    raise _not_offered(NameNotOffered, f"{module}.{name}")


def _exists(target: str) -> bool:
    """Whether a target is there: of flow-core's names only those of installed plugins are."""
    needed = _needed(target)
    return needed is None or needed in _names_of_core()


def _needed(target: str) -> str | None:
    """Return the name of flow-core without which a target is not there; None = it always is."""
    home, _, name = target.partition(":")
    return name if home == "flow_core" else _NEEDED.get(home)


def _names_of_core() -> list[str]:
    """Return the names of flow-core; it looks at all plugins for them: ask once for many."""
    return dir(importlib.import_module("flow_core"))


def _load(target: str) -> Any:
    home, _, name = target.partition(":")
    return getattr(importlib.import_module(home), name)


def missing_module(fullname: str) -> ImportError:
    """Return the error for a module, or for a name in ``from metaflow import NAME``."""
    error = _not_offered(ModuleNotOffered, fullname)
    error.name = fullname
    return error


def missing_in_current(name: str) -> AttributeError:
    """Return the error for ``current.NAME``, of what the decorator ``NAME`` would provide."""
    return _not_offered(NameNotOffered, f"metaflow.{name}", f"current.{name}")


def refuse_decorators(specs: Iterable[str], where: str) -> None:
    """Raise `UsageError` when a text of ``--with`` names a decorator that is not offered.

    Args:
        specs: ``name`` or ``name:option=value,…``.
        where: the option or the variable that has them.
    """
    for spec in specs:
        name = spec.partition(":")[0]
        targets = _DECORATORS.get(name, "").split("|")
        marks_only = len(targets) > 1 and not _exists(targets[0])
        if marks_only or targets[0].startswith("!"):
            why, hint = why_missing(f"metaflow.{name}")
            if marks_only:
                why, hint = _NO_PACKAGES, f"pip install flow-{name.partition('_')[0]}"
            raise UsageError(
                f"The decorator '{name}' is not offered by flow-metaflow",
                where=where,
                why=why,
                hint=hint,
            )


E = TypeVar("E", bound=NotOffered)


def _not_offered(kind: type[E], fullname: str, shown: str | None = None) -> E:
    why, hint = why_missing(fullname)
    what = f"{shown or fullname} is not offered by flow-metaflow"
    return kind(what, where=_asking(), why=why, hint=hint)


def _asking() -> str | None:
    """Return the place in the file that asks for a name: neither ours nor the import system's."""
    ours = __file__.rpartition("names.py")[0]
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith((ours, "<")) and "importlib" not in file:
            return f"{file}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return None


def why_missing(fullname: str) -> tuple[str, str]:
    """Return why ``metaflow.x`` is not offered, and what to do, or what was meant."""
    from flow_core.api import did_you_mean, near_misses

    module, _, name = fullname.rpartition(".")
    text = MODULES.get(module, {}).get(name, "")
    reason = text[1:] if text.startswith("!") else _of_module(fullname)
    if text.partition(":")[0] in _NEEDED:
        return "no installed plugin of flow-core offers S3", "pip install flow-s3"
    if text.startswith("flow_core:"):
        return f"no installed plugin of flow-core offers {name}", "flow plugins"
    known = {*_known(module)}
    if reason:
        return reason, _HINTS.get(reason, "leave it out")
    if near_misses(name, known):
        return f"there is no {name} in {module}", did_you_mean(name, known)
    few = len(known) <= _SHOWN
    return _INTERNAL, (did_you_mean(name, known) if few else "") or "leave it out"


def _of_module(fullname: str) -> str:
    for name, reason in _MISSING_MODULES.items():
        if fullname == name or fullname.startswith(name + "."):
            return reason
    return ""


def _known(module: str) -> Iterable[str]:
    if module == _CONFIG:
        from flow_metaflow.environment import config_names

        return config_names()
    below = (name.rpartition(".") for name in MODULES)
    offered_here = (n for n, text in MODULES.get(module, {}).items() if not text.startswith("!"))
    return {*offered_here, *(n for parent, _, n in below if parent == module)}

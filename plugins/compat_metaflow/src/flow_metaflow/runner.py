"""`Runner` and `NBRunner` with the predecessor's arguments and client objects."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import flow_core
from flow_core.api import UsageError
from flow_metaflow import client
from flow_metaflow.environment import (
    OWN,
    PREFIX,
    datastore,
    makes_environments,
    suffixes,
    variables,
)
from flow_metaflow.names import refuse_decorators

if TYPE_CHECKING:
    from flow_runner import NBRunner as _NBRunner
    from flow_runner import Runner as _Runner
else:  # a plugin's, whichever it is
    _Runner, _NBRunner = flow_core.Runner, flow_core.NBRunner

_WITHOUT_EFFECT = ("pylint", "event_logger", "monitor", "quiet", "force_rebuild_environments")
_OF_RUNS = ("branch", "production", "trigger")
_RUNS = ("run", "resume")
_VARIABLES = {
    "max_num_splits": OWN + "MAX_NUM_SPLITS",
    "namespace": OWN + "NAMESPACE",
    "runner_attribute_file": OWN + "RUNNER_ATTRIBUTE_FILE",
}


class _Old(_Runner):
    """What both have: options that stand elsewhere here, and the predecessor's client objects."""

    _of_runs: Mapping[str, Any] = {}

    def prepare(
        self, command: str, given: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """Return the options for a command, and the variables that stand for others."""
        options = dict(given)
        refuse_decorators(_several(options.get("decospecs")), "decospecs")
        if command not in _RUNS:
            return options, {}
        found = {_VARIABLES[n]: options.pop(n) for n in _VARIABLES if n in options}
        options = {**self._of_runs, **options}
        return options, {name: str(value or "") for name, value in found.items()}

    def read_run(self, run_id: str, datastore: str | None = None) -> Any:
        """Return the client's `Run`."""
        return client.wrap(super().read_run(run_id, datastore))

    def _begin(self, file: str, top_level: Mapping[str, Any]) -> None:
        self.program = (sys.executable, "-m", "flow_metaflow.started", file)
        self._of_runs = {name: top_level[name] for name in _OF_RUNS if name in top_level}


class Runner(_Old):
    """flow-core's `Runner`, with the predecessor's options.

    Args:
        flow_file, show_output, env, cwd: as there.
        profile: name of Metaflow's profile.
        file_read_timeout: taken, and without effect: nothing waits for a file.
        top_level: options that Metaflow has in front of the command.

    Raises:
        UsageError: one of them is not offered.
    """

    def __init__(
        self,
        flow_file: str | os.PathLike[str],
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        file_read_timeout: float = 3600,
        **top_level: Any,
    ) -> None:
        kept, added = _translated(top_level, profile)
        super().__init__(flow_file, show_output, None, {**(env or {}), **added}, cwd, **kept)
        self._begin(os.fspath(flow_file), top_level)


class NBRunner(_NBRunner, _Old):
    """flow-core's `NBRunner`, with the predecessor's options; see `Runner`."""

    def __init__(
        self,
        flow: Any = None,
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        base_dir: str | os.PathLike[str] | None = None,
        file_read_timeout: float = 3600,
        **top_level: Any,
    ) -> None:
        kept, added = _translated(top_level, profile)
        super().__init__(flow, show_output, None, {**(env or {}), **added}, base_dir, **kept)
        self._begin(self.flow_file, top_level)


def _translated(
    top_level: Mapping[str, Any], profile: str | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return flow-core's options before the command, and variables, for the predecessor's."""
    left_out = (*_WITHOUT_EFFECT, *_OF_RUNS)
    kept = {n: v for n, v in top_level.items() if n not in left_out and v is not None}
    refuse_decorators(_several(kept.get("decospecs")), "decospecs")
    added = {PREFIX + "PROFILE": profile} if profile is not None else {}
    _take_environment(kept, added)
    if kept.get("metadata") == "local":
        del kept["metadata"]
    elif "metadata" in kept and "://" not in kept["metadata"]:
        raise _refusal("metadata", kept["metadata"], "there is no metadata service")
    if "package_suffixes" in kept:
        added["FLOW_CODE_SUFFIXES"] = suffixes(",".join(_several(kept.pop("package_suffixes"))))
    if "datastore" in kept or "datastore_root" in kept:
        root = kept.pop("datastore_root", None)
        given = variables()
        name = kept.pop("datastore", None) or given.get("DEFAULT_DATASTORE")
        kept["datastore"] = datastore(name, given, root) or "local"
    return kept, added


def _take_environment(kept: dict[str, Any], added: dict[str, str]) -> None:
    kind = kept.pop("environment", "local")
    if makes_environments(kind):
        added["FLOW_ENVIRONMENT"] = kind
    elif kind in ("conda", "pypi"):
        added[OWN + "ENVIRONMENT"] = kind  # steps that switch it off may run
    elif kind != "local":
        raise _refusal("environment", kind, "flow-conda and flow-pypi make environments")


def _refusal(option: str, value: Any, why: str) -> UsageError:
    return UsageError(
        f"{option}={value!r} is not offered by flow-metaflow",
        where="Runner",
        why=why,
        hint=f"leave {option} out",
    )


def _several(value: Any) -> Iterable[str]:
    return [value] if isinstance(value, str) else value or ()

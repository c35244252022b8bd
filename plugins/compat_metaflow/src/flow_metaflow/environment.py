"""Settings of Metaflow as settings of flow-core: variables, and the files that they are taken from.

What has no counterpart is named, so that nobody waits for an effect.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from flow_core.api import SettingsError, did_you_mean

PREFIX = "METAFLOW_"
OWN = "FLOW_METAFLOW_"
TAKEN = OWN + "TAKEN"
HOOKS = "flow_metaflow.hooks"
SUFFIXES = ".py,.R,.RDS"

_SAME = {
    "USER": "FLOW_USER",
    "DEFAULT_DECOSPECS": "FLOW_WITH",
    "WITH": "FLOW_WITH",
    "RUN_WITH": "FLOW_WITH",
    "RUN_MAX_WORKERS": "FLOW_MAX_WORKERS",
    "RUN_MAX_LOG_SIZE": "FLOW_MAX_LOG_SIZE",
    "RUN_MAX_NUM_SPLITS": OWN + "MAX_NUM_SPLITS",
    "RUN_NAMESPACE": OWN + "NAMESPACE",
    "QUIET": OWN + "QUIET",
    "S3_ENDPOINT_URL": "FLOW_S3_ENDPOINT_URL",
    "S3_SERVER_SIDE_ENCRYPTION": "FLOW_S3_ENCRYPTION",
    "S3_VERIFY_CERTIFICATE": "FLOW_S3_VERIFY",
    "DATATOOLS_S3ROOT": "FLOW_S3_ROOT",
    "FLOW_CONFIG": "FLOW_CONFIG",
    "FLOW_CONFIG_VALUE": "FLOW_CONFIG_VALUE",
}
"""Variables that mean the same under another name."""

_OPTIONS_OF_RUN = ("RUN_ID", "RUN_TAG", "RUN_RUN_ID_FILE")
"""Variables of options of ``run``, which are no parameters: see `flow_metaflow.rewriting`."""

_IGNORED = {
    "SERVICE_URL": "there is no metadata service; runs are indexed beside the store",
    "SERVICE_INTERNAL_URL": "there is no metadata service; runs are indexed beside the store",
    "UI_URL": "there is no web page of runs yet",
    "DEFAULT_EVENT_LOGGER": "events go to plugins of flow-core",
    "DEFAULT_MONITOR": "metrics go to plugins of flow-core",
}
"""Variables without a counterpart whose absence somebody would notice."""

_DEFAULTS: dict[str, Any] = {
    "DEFAULT_DATASTORE": "local",
    "DEFAULT_METADATA": "local",
    "DEFAULT_ENVIRONMENT": "local",
    "DEFAULT_EVENT_LOGGER": "nullSidecarLogger",
    "DEFAULT_MONITOR": "nullSidecarMonitor",
    "DEFAULT_PACKAGE_SUFFIXES": SUFFIXES,
    "DEFAULT_DECOSPECS": "",
    "DEFAULT_RUNTIME_LIMIT": 5 * 24 * 60 * 60,
    "DEFAULT_SECRETS_BACKEND_TYPE": None,
    "DEFAULT_SECRETS_ROLE": None,
    "DEFAULT_CONTAINER_IMAGE": None,
    "DEFAULT_CONTAINER_REGISTRY": None,
    "DATASTORE_SYSROOT_LOCAL": None,
    "DATASTORE_SYSROOT_S3": None,
    "DATASTORE_SYSROOT_AZURE": None,
    "DATASTORE_SYSROOT_GS": None,
    "DATASTORE_LOCAL_DIR": ".flow",
    "DATATOOLS_S3ROOT": None,
    "S3_ENDPOINT_URL": None,
    "S3_SERVER_SIDE_ENCRYPTION": None,
    "S3_VERIFY_CERTIFICATE": None,
    "S3_RETRY_COUNT": 7,
    "S3_WORKER_COUNT": 64,
    "TEMPDIR": ".",
    "MAX_ATTEMPTS": 6,
    "INCLUDE_FOREACH_STACK": True,
    "MAXIMUM_FOREACH_VALUE_CHARS": 30,
    "SERVICE_URL": None,
    "SERVICE_HEADERS": {},
    "KUBERNETES_NAMESPACE": "default",
    "KUBERNETES_CONTAINER_IMAGE": None,
    "BATCH_JOB_QUEUE": None,
    "BATCH_CONTAINER_IMAGE": None,
    "UI_URL": None,
    "CONTACT_INFO": {},
    "USER": None,
    "PRODUCTION_TOKEN": None,
    "OWNER": None,
}
"""Values that users read from ``metaflow.metaflow_config``."""


def take_over() -> None:
    """Set flow-core's variables from Metaflow's. What is set for flow-core already stands."""
    given = variables()
    # What a process above has taken over is not the person's own: METAFLOW_* may have changed since.
    for name in filter(None, os.environ.pop(TAKEN, "").split(",")):
        os.environ.pop(name, None)
    found = counterparts(given, os.environ)
    taken = [name for name in found if name not in os.environ]
    os.environ.update((name, found[name]) for name in taken)
    os.environ[TAKEN] = ",".join(taken)
    hooks = os.environ.get("FLOW_PLUGINS", "").split(",")
    if HOOKS not in hooks:
        os.environ["FLOW_PLUGINS"] = ",".join(filter(None, [*hooks, HOOKS]))


def variables() -> dict[str, str]:
    """Return the ``METAFLOW_*`` settings in force, without the prefix: variables, then files."""
    found: dict[str, str] = {}
    for path in _files():
        for name, value in _read(path).items():
            if name.startswith(PREFIX):
                text = value if isinstance(value, str) else json.dumps(value)
                found.setdefault(name.removeprefix(PREFIX), text)
    own = {n.removeprefix(PREFIX): v for n, v in os.environ.items() if n.startswith(PREFIX)}
    return {**found, **own}


def counterparts(given: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of flow-core that say what ``given`` says.

    Args:
        given: as `variables`.
        environment: variables of the process.
    """
    result = {_SAME[name]: value for name, value in given.items() if name in _SAME and value}
    for name, value in given.items():
        for prefix in ("RUN_", "FLOW_"):  # parameters, and options of flow decorators
            if name.startswith(prefix) and name not in (*_SAME, *_OPTIONS_OF_RUN):
                result["FLOW_RUN_" + name.removeprefix(prefix)] = value
    store = datastore(given.get("DATASTORE") or given.get("DEFAULT_DATASTORE"), given)
    if store is not None:
        result["FLOW_DATASTORE"] = store
    extra = given.get("PACKAGE_SUFFIXES") or given.get("DEFAULT_PACKAGE_SUFFIXES") or ""
    result["FLOW_CODE_SUFFIXES"] = suffixes(extra)
    kind = given.get("DEFAULT_ENVIRONMENT", "")
    if makes_environments(kind):
        result["FLOW_ENVIRONMENT"] = kind
    return result


def makes_environments(kind: str) -> bool:
    """Whether a plugin is installed that provides the environments ``conda`` or ``pypi``."""
    if kind not in ("conda", "pypi"):
        return False
    from flow_core.api import installed

    return kind in installed().names("flow.environments")


def datastore(name: str | None, given: Mapping[str, str], root: str | None = None) -> str | None:
    """Return flow-core's text for a datastore of Metaflow's; None = flow-core's own default.

    Args:
        name: ``local``, ``s3``, …, or what flow-core knows; None = not chosen.
        given: as `variables`: they hold the roots.
        root: ``--datastore-root``.
    """
    kind = name or "local"
    if "://" in kind:
        return kind
    place = root or given.get(f"DATASTORE_SYSROOT_{kind.upper()}")
    if kind == "local":
        return f"local://{os.path.abspath(os.path.join(place, '.flow'))}" if place else name
    if place is None:
        return kind
    return place if "://" in place else f"{kind}://{place}"


def suffixes(extra: str) -> str:
    """Return the endings of files in the code snapshot: Metaflow's defaults and ``extra``."""
    words = [w.strip() for w in f"{SUFFIXES},{extra}".split(",")]
    return ",".join(dict.fromkeys(filter(None, words)))


def warnings(given: Mapping[str, str]) -> list[str]:
    """Return what must be said of settings that have no effect here."""
    said = [
        f"{PREFIX}{name} has no effect: {why}" for name, why in _IGNORED.items() if given.get(name)
    ]
    if given.get("DEFAULT_METADATA", "local") not in ("local", ""):
        said.append(f"{PREFIX}DEFAULT_METADATA has no effect: {_IGNORED['SERVICE_URL']}")
    kind = given.get("DEFAULT_ENVIRONMENT", "local")
    if kind not in ("local", "") and not makes_environments(kind):
        said.append(
            f"{PREFIX}DEFAULT_ENVIRONMENT has no effect: nothing here makes environments '{kind}'"
        )
    return said


def config_names() -> list[str]:
    """Return the names that `config_value` knows."""
    return sorted({*_DEFAULTS, *variables()})


def config_value(name: str) -> Any:
    """Return ``metaflow.metaflow_config.NAME``: the setting in force, else Metaflow's default."""
    given = variables()
    if name not in _DEFAULTS and name not in given:
        raise AttributeError(
            f"metaflow.metaflow_config.{name} is not offered by flow-metaflow: "
            + did_you_mean(name, _DEFAULTS)
        )
    default = _DEFAULTS.get(name)
    if name not in given:
        return default
    if isinstance(default, bool):
        return given[name] not in ("0", "false", "")
    return json.loads(given[name]) if isinstance(default, (int, dict)) else given[name]


# --- files --------------------------------------------------------------------------------------


def _files() -> list[str]:
    """Return the configuration files that are there, the one that counts first."""
    return list(filter(None, (_project_file(), _user_file())))


def _project_file() -> str | None:
    folder = os.getcwd()
    while True:
        path = os.path.join(folder, ".metaflow", "config.json")
        if os.path.isfile(path):
            return path
        folder, last = os.path.dirname(folder), folder
        if folder == last:
            return None


def _user_file() -> str | None:
    profile = os.environ.get("METAFLOW_PROFILE")
    home = os.environ.get("METAFLOW_HOME") or os.path.expanduser("~/.metaflowconfig")
    path = os.path.join(home, f"config_{profile}.json" if profile else "config.json")
    if os.path.isfile(path):
        return path
    if profile:
        raise SettingsError(
            f"There is no profile '{profile}'",
            where="METAFLOW_PROFILE",
            why=f"there is no file {path}",
            hint="unset METAFLOW_PROFILE, or METAFLOW_HOME=FOLDER",
        )
    return None


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
    except (OSError, ValueError) as error:
        raise SettingsError(
            "A configuration file of Metaflow cannot be read", where=path, why=str(error)
        ) from None
    return found

"""What Kubernetes accepts as a name, a label or a quantity, in its own words; options in both forms.

An option of several parts may be given as Python data, or as text for ``--with`` and settings:
``k=v,k=v``, ``a,b``, or JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from flow_core.api import DefinitionError, near_misses

OWN_PREFIX = "flow-core"
"""Labels and annotations below it say which attempt a pod is; nobody else may set them."""

_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?([numkMGTPE]|[KMGTPE]i)?")
_LABEL_RULE = (
    "Kubernetes: a valid label must be an empty string or consist of at most 63 alphanumeric "
    "characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_KEY_RULE = (
    "Kubernetes: a key is a name of at most 63 alphanumeric characters, '-', '_' or '.', which starts "
    "and ends with an alphanumeric one, with an optional DNS subdomain and '/' before it"
)
_SUBDOMAIN_RULE = (
    "Kubernetes: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, "
    "'-' or '.', and must start and end with an alphanumeric character"
)

TOLERATION_KEYS = ("key", "operator", "value", "effect", "tolerationSeconds")
SPREAD_KEYS = (
    "topologyKey",
    "maxSkew",
    "whenUnsatisfiable",
    "minDomains",
    "labelSelector",
    "matchLabelKeys",
    "nodeAffinityPolicy",
    "nodeTaintsPolicy",
)
CONTAINER_SECURITY_KEYS = (
    "allowPrivilegeEscalation",
    "appArmorProfile",
    "capabilities",
    "privileged",
    "procMount",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seLinuxOptions",
    "seccompProfile",
    "windowsOptions",
)
POD_SECURITY_KEYS = (
    "fsGroup",
    "fsGroupChangePolicy",
    "seLinuxChangePolicy",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "sysctls",
)
VOLUME_KEYS = (
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "projected",
    "secret",
)


# --- forms --------------------------------------------------------------------------------------


def words(value: Sequence[str] | str | None) -> tuple[str, ...]:
    """Return a list that may be given as ``a,b``."""
    if value is None:
        return ()
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            return tuple(map(str, _json("list", value)))
        value = value.split(",")
    return tuple(word.strip() for word in value if word.strip())


def pairs(name: str, value: Mapping[str, Any] | str | None) -> dict[str, str]:
    """Return names and values that may be given as ``k=v,k=v``.

    Args:
        name: of the option, for the error.

    Raises:
        DefinitionError: it has not this form.
    """
    if value is None:
        return {}
    if isinstance(value, str):
        if value.lstrip().startswith("{"):
            return {str(k): _text(v) for k, v in dict(_json(name, value)).items()}
        found = {}
        for part in filter(None, map(str.strip, value.split(","))):
            key, equals, text = part.partition("=")
            if not equals:
                raise DefinitionError(
                    f"Option '{name}' has a part without '=': '{part}'",
                    why="as text it is name=value, several of them with commas",
                    hint=f'{name}="name=value,name=value"',
                )
            found[key.strip()] = text.strip()
        return found
    return {str(key): _text(text) for key, text in value.items()}


def tables(name: str, value: Sequence[Mapping[str, Any]] | str | None) -> list[dict[str, Any]]:
    """Return a list of tables, which may be given as JSON; keys as Kubernetes writes them.

    Raises:
        DefinitionError: it has not this form.
    """
    found: Any = _json(name, value) if isinstance(value, str) and value.strip() else value or ()
    if isinstance(found, Mapping):
        found = [found]
    if not isinstance(found, Sequence) or not all(isinstance(one, Mapping) for one in found):
        raise DefinitionError(
            f"Option '{name}' must be a list of tables, not {value!r}",
            hint=f'{name}=[{{"key": "…"}}]',
        )
    return [camel(one) for one in found]


def table(name: str, value: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return a table that may be given as JSON; keys as Kubernetes writes them.

    Raises:
        DefinitionError: it has not this form.
    """
    found: Any = _json(name, value) if isinstance(value, str) and value.strip() else value or {}
    if not isinstance(found, Mapping):
        raise DefinitionError(
            f"Option '{name}' must be a table, not {value!r}", hint=f'{name}={{"…": …}}'
        )
    return camel(found)


def camel(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a table with its keys, and those of tables in it, as Kubernetes writes them:
    ``run_as_user`` → ``runAsUser``. Keys with a dot or slash, such as labels, stay."""
    return {_camel(str(key)): _camel_value(value) for key, value in table.items()}


def _camel_value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return camel(value)
    if isinstance(value, (list, tuple)):
        return [_camel_value(part) for part in value]
    return value


def _camel(key: str) -> str:
    if not re.fullmatch(r"[a-z]+(_[a-z0-9]+)+", key):
        return key
    first, *rest = key.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _text(value: Any) -> str:
    """A label is text: ``true`` rather than Python's ``True``."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DefinitionError(
            f"Option '{name}' is not valid JSON: {text}",
            why=str(error),
            hint="as text it is JSON, with double quotes",
        ) from None


# --- rules --------------------------------------------------------------------------------------


def choice(name: str, value: str | None, choices: Sequence[str]) -> None:
    """Raise `DefinitionError` unless ``value`` is None or one of ``choices``."""
    if value is not None and value not in choices:
        close = near_misses(value, choices)
        raise DefinitionError(
            f"Option '{name}' cannot be '{value}'",
            why="it is one of: " + ", ".join(choices),
            hint=f'@kubernetes({name}="{close[0] if close else choices[0]}")',
        )


def key_of_label(option: str, key: str) -> None:
    """Raise `DefinitionError` unless ``key`` may be that of a label, annotation or resource."""
    prefix, slash, name = key.rpartition("/")
    fits = _NAME.fullmatch(name) and len(name) <= 63
    if slash:
        fits = fits and _SUBDOMAIN.fullmatch(prefix) and len(prefix) <= 253
    if not fits:
        raise DefinitionError(
            f"Option '{option}' has a key that Kubernetes does not accept: '{key}'",
            why=_KEY_RULE,
            hint=f'{option}={{"team": "…"}} or {option}={{"example.com/team": "…"}}',
        )


def labels(option: str, found: Mapping[str, str]) -> None:
    """Raise `DefinitionError` unless these are labels, or a selector of such."""
    for key, value in found.items():
        key_of_label(option, key)
        if value and (len(value) > 63 or not _NAME.fullmatch(value)):
            raise DefinitionError(
                f"Option '{option}' has a value that Kubernetes does not accept: {key}={value!r}",
                why=_LABEL_RULE,
                hint="longer texts belong into annotations" if option == "labels" else None,
            )


def not_ours(option: str, found: Collection[str]) -> None:
    """Raise `DefinitionError` where somebody sets what flow-core sets itself."""
    for key in found:
        if key.partition("/")[0] == OWN_PREFIX:
            raise DefinitionError(
                f"Option '{option}' cannot set '{key}'",
                why=f"what begins with '{OWN_PREFIX}/' says which attempt a pod is",
                hint="take another prefix: example.com/" + key.partition("/")[2],
            )


def subdomain(option: str, value: str | None) -> None:
    """Raise `DefinitionError` unless ``value`` is None or may be the name of an object."""
    if value is not None and not (_SUBDOMAIN.fullmatch(value) and len(value) <= 253):
        raise DefinitionError(
            f"Option '{option}' is no name that Kubernetes accepts: {value!r}",
            why=_SUBDOMAIN_RULE,
            hint=f'{option}="{_near_subdomain(value)}"',
        )


def quantity(option: str, key: str, value: str) -> None:
    """Raise `DefinitionError` unless ``value`` is an amount."""
    if not _QUANTITY.fullmatch(value):
        raise DefinitionError(
            f"Option '{option}' has an amount that Kubernetes does not accept: {key}={value!r}",
            why="Kubernetes: a quantity is a number, with m, k, M, G, Ki, Mi or Gi behind it",
            hint=f'{option}={{"{key}": 1}}',
        )


def absolute(option: str, path: str) -> None:
    """Raise `DefinitionError` unless ``path`` is an absolute path without ``:``."""
    if not path.startswith("/") or ":" in path or path == "/":
        raise DefinitionError(
            f"Option '{option}' must have absolute paths in the container, not '{path}'",
            hint=f'{option}: "/data"',
        )


def known_keys(option: str, found: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise `DefinitionError` for a key that is none of Kubernetes'."""
    for key in found:
        if key not in known:
            close = near_misses(key, known)
            raise DefinitionError(
                f"Option '{option}' has a key that Kubernetes does not know: '{key}'",
                why="known keys: " + ", ".join(known),
                hint=f"did you mean '{close[0]}'?" if close else None,
            )


def _near_subdomain(value: str) -> str:
    near = re.sub(r"[^a-z0-9.]+", "-", value.lower()).strip("-.")
    return near or "name"

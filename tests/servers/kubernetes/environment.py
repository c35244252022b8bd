"""The variables and words of a container, with all that they refer to."""

from __future__ import annotations

import base64
import re
from typing import Any

from servers.kubernetes.kinds import CONFIG_MAP, SECRET, Kind
from servers.kubernetes.nodes import HOST
from servers.kubernetes.quantities import amount
from servers.kubernetes.store import Entry, Object, Store

_REFERENCE = re.compile(r"\$(\$|\(([-._a-zA-Z0-9]+)\))")


class ConfigError(Exception):
    """A container cannot be made, since something that it refers to is not there."""


def variables(store: Store, pod: Entry, container: Object) -> dict[str, str]:
    """Return the variables of a container.

    Args:
        store: with the secrets and configurations.
        pod: whose container it is.
        container: its specification.

    Raises:
        ConfigError: something that is not optional is missing.
    """
    found: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        found.update(_all_of(store, pod.namespace, source))
    for variable in container.get("env", ()):
        if "valueFrom" in variable:
            value = _value_from(store, pod, container, variable["valueFrom"])
            if value is not None:
                found[variable["name"]] = value
        else:
            found[variable["name"]] = expanded(variable.get("value", ""), found)
    return found


def expanded(text: str, known: dict[str, str]) -> str:
    """Return a text with ``$(NAME)`` replaced where the variable is known; ``$$`` is a ``$``."""

    def value(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        return known.get(match[2], match[0])

    return _REFERENCE.sub(value, text)


def data_of(store: Store, kind: Kind, namespace: str, name: str) -> dict[str, bytes] | None:
    """Return the content of a secret or config map, or None."""
    entry = store.find(kind, namespace, name)
    if entry is None:
        return None
    if kind is SECRET:
        return {key: base64.b64decode(text) for key, text in entry.object.get("data", {}).items()}
    plain = {key: text.encode() for key, text in entry.object.get("data", {}).items()}
    binary = entry.object.get("binaryData", {})
    return plain | {key: base64.b64decode(text) for key, text in binary.items()}


def field_of(pod: Entry, path: str) -> str:
    """Return what a field reference means: ``metadata.name``, ``metadata.labels['a']``, …"""
    status: dict[str, Any] = pod.object["status"]
    special = {"status.hostIP": HOST, "status.podIP": status.get("podIP", "")}
    if path in special:
        return str(special[path])
    if found := re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path):
        return str((pod.object["metadata"].get(found[1]) or {}).get(found[2], ""))
    if path in ("metadata.labels", "metadata.annotations"):
        values = pod.object["metadata"].get(path.partition(".")[2]) or {}
        return "\n".join(f'{key}="{value}"' for key, value in sorted(values.items()))
    value: Any = pod.object
    for name in path.split("."):
        value = value.get(name, "") if isinstance(value, dict) else ""
    return str(value)


def _all_of(store: Store, namespace: str, source: Object) -> dict[str, str]:
    for kind, field in _SOURCES:
        reference = source.get(f"{field}Ref")
        if reference:
            data = data_of(store, kind, namespace, reference["name"])
            if data is None:
                if reference.get("optional"):
                    return {}
                raise ConfigError(f'{kind.name.lower()} "{reference["name"]}" not found')
            prefix = source.get("prefix", "")
            return {prefix + key: value.decode() for key, value in data.items()}
    return {}


def _value_from(store: Store, pod: Entry, container: Object, source: Object) -> str | None:
    for kind, field in _SOURCES:
        reference = source.get(f"{field}KeyRef")
        if not reference:
            continue
        name, key = reference["name"], reference["key"]
        data = data_of(store, kind, pod.namespace, name)
        if data is not None and key in data:
            return data[key].decode()
        if reference.get("optional"):
            return None
        if data is None:
            raise ConfigError(f'{kind.name.lower()} "{name}" not found')
        raise ConfigError(f"couldn't find key {key} in {kind.name} {pod.namespace}/{name}")
    if "fieldRef" in source:
        return field_of(pod, source["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in source:
        return _resource(container, source["resourceFieldRef"])
    return None


def _resource(container: Object, reference: Object) -> str:
    field, _, name = reference["resource"].partition(".")
    text = container.get("resources", {}).get(field, {}).get(name, "0")
    divisor = amount(reference.get("divisor", "1")) or 1
    return str(-(-amount(text) // divisor))


_SOURCES = ((SECRET, "secret"), (CONFIG_MAP, "configMap"))

"""The ways to change a part of an object: merge, strategic merge, JSON patch."""

from __future__ import annotations

from typing import Any

from servers.kubernetes.errors import Refusal, bad_request

_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "ephemeralContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "volumeDevices": "devicePath",
    "imagePullSecrets": "name",
    "ownerReferences": "uid",
    "conditions": "type",
    "addresses": "type",
    "hostAliases": "ip",
    "topologySpreadConstraints": "topologyKey",
    "schedulingGates": "name",
    "secrets": "name",
}
"""Lists whose items a strategic merge finds by a key; it replaces all others, as the OpenAPI says."""

_SETS = {"finalizers"}
"""Lists that a strategic merge unites."""


def merge(content: Any, patch: Any) -> Any:
    """Return an object changed by a JSON merge patch: null removes, lists are replaced."""
    if not isinstance(patch, dict):
        return patch
    result = dict(content) if isinstance(content, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def strategic_merge(content: Any, patch: Any) -> Any:
    """Return an object changed by a strategic merge patch: some lists are merged by a key."""
    if not isinstance(patch, dict):
        return patch
    if patch.get("$patch") == "replace":
        return {key: value for key, value in patch.items() if key != "$patch"}
    if patch.get("$patch") == "delete":
        return None
    result = dict(content) if isinstance(content, dict) else {}
    for key, value in patch.items():
        if key.startswith(("$setElementOrder/", "$retainKeys")):
            continue
        if key.startswith("$deleteFromPrimitiveList/"):
            name = key.partition("/")[2]
            result[name] = [each for each in result.get(name, ()) if each not in value]
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, list) and key in _SETS:
            old = result.get(key) or []
            result[key] = [*old, *(each for each in value if each not in old)]
        elif isinstance(value, list) and key in _KEYS:
            result[key] = _merged_list(result.get(key) or [], value, _KEYS[key])
        else:
            merged = strategic_merge(result.get(key), value)
            if merged is None:
                result.pop(key, None)
            else:
                result[key] = merged
    return result


def _merged_list(items: list[Any], patch: list[Any], key: str) -> list[Any]:
    if any(each.get("$patch") == "replace" for each in patch if len(each) == 1):
        return [each for each in patch if "$patch" not in each]
    result = list(items)
    for each in patch:
        if key not in each:
            raise bad_request(f"map: {each} does not contain declared merge key: {key}")
        place = next((i for i, old in enumerate(result) if old.get(key) == each[key]), None)
        if each.get("$patch") == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(each)
        else:
            result[place] = strategic_merge(result[place], each)
    return result


def json_patch(content: Any, operations: list[dict[str, Any]]) -> Any:
    """Return an object changed by the operations of a JSON patch (RFC 6902)."""
    for operation in operations:
        path = [_unescaped(part) for part in operation["path"].split("/")[1:]]
        name = operation["op"]
        if name == "test":
            if _at(content, path) != operation.get("value"):
                raise _failed(operation["path"])
        elif name == "remove":
            content = _changed(content, path, "remove", None)
        elif name in ("add", "replace"):
            content = _changed(content, path, name, operation.get("value"))
        elif name in ("move", "copy"):
            source = [_unescaped(part) for part in operation["from"].split("/")[1:]]
            value = _at(content, source)
            if name == "move":
                content = _changed(content, source, "remove", None)
            content = _changed(content, path, "add", value)
        else:
            raise bad_request(f"Unexpected kind: {name}")
    return content


def _at(content: Any, path: list[str]) -> Any:
    for part in path:
        try:
            content = content[int(part)] if isinstance(content, list) else content[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise _failed("/" + "/".join(path)) from None
    return content


def _changed(content: Any, path: list[str], how: str, value: Any) -> Any:
    if not path:
        return value
    first, rest = path[0], path[1:]
    copy: Any = list(content) if isinstance(content, list) else dict(content or {})
    if rest:
        inner = _at(copy, [first])
        copy[int(first) if isinstance(copy, list) else first] = _changed(inner, rest, how, value)
        return copy
    if isinstance(copy, list):
        _change_item(copy, first, how, value)
    elif how != "add" and first not in copy:
        raise _failed(f"/{first}")
    elif how == "remove":
        del copy[first]
    else:
        copy[first] = value
    return copy


def _change_item(items: list[Any], place: str, how: str, value: Any) -> None:
    if how == "add":
        items.insert(len(items) if place == "-" else int(place), value)
    elif not place.isdigit() or int(place) >= len(items):
        raise _failed(f"/{place}")
    elif how == "remove":
        del items[int(place)]
    else:
        items[int(place)] = value


def _unescaped(part: str) -> str:
    return part.replace("~1", "/").replace("~0", "~")


def _failed(path: str) -> Refusal:
    message = f"the server rejected our request due to an error in our request: {path}"
    return Refusal(422, "Invalid", message)

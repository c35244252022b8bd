"""Which objects a list or watch is about: labels and fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from servers.kubernetes.errors import bad_request
from servers.kubernetes.kinds import EVENT, NAMESPACE, POD, SECRET, Kind

Test = Callable[[dict[str, Any]], bool]

_SET = re.compile(r"\s*([^\s!=,()]+)\s+(in|notin)\s*\(([^()]*)\)\s*")
_EQUAL = re.compile(r"\s*([^\s!=,()]+)\s*(==|=|!=)\s*([^\s!=,()]*)\s*")
_THERE = re.compile(r"\s*(!?)\s*([^\s!=,()]+)\s*")

_FIELDS = {
    POD: (
        *("spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName"),
        *("status.phase", "status.podIP", "status.nominatedNodeName"),
    ),
    NAMESPACE: ("status.phase",),
    SECRET: ("type",),
    EVENT: (
        *("involvedObject.kind", "involvedObject.namespace", "involvedObject.name"),
        *("involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion"),
        *("involvedObject.fieldPath", "reason", "reportingComponent", "type"),
    ),
}
"""Fields by which the objects of a kind can be chosen, beside their names."""


def selector(kind: Kind, labels: str, fields: str) -> Test | None:
    """Return what tells whether an object is chosen; None = all are.

    Raises:
        Refusal: 400, when a selector cannot be read.
    """
    tests = [*_label_tests(labels), *_field_tests(kind, fields)]
    if not tests:
        return None
    return lambda content: all(test(content) for test in tests)


def _label_tests(text: str) -> list[Test]:
    """Return the tests that a label selector makes: ``a=b,c!=d,e in (f,g),h,!i``."""
    tests = []
    while text.strip():
        if found := _SET.match(text):
            key, how, values = found.groups()
            chosen = {value.strip() for value in values.split(",")}
            tests.append(_among(key, chosen, how == "in"))
        elif found := _EQUAL.match(text):
            key, how, value = found.groups()
            tests.append(_among(key, {value}, how != "!="))
        elif found := _THERE.match(text):
            tests.append(_there(found[2], not found[1]))
        else:
            raise bad_request(f"unable to parse requirement: found {text!r}")
        text = text[found.end() :]
        if text and not text.startswith(","):
            raise bad_request(f"unable to parse requirement: found '{text}', expected: ',' or EOF")
        text = text[1:]
    return tests


def matches(term: dict[str, Any], labels: dict[str, str]) -> bool:
    """Say whether labels of a node are those that a term of a ``NodeSelector`` asks for."""
    return all(_expression(each, labels) for each in term.get("matchExpressions", ()))


def _expression(wanted: dict[str, Any], labels: dict[str, str]) -> bool:
    key, how = wanted["key"], wanted["operator"]
    if how in ("Exists", "DoesNotExist"):
        return bool((key in labels) == (how == "Exists"))
    if how in ("Gt", "Lt"):
        if not labels.get(key, "").lstrip("-").isdigit():
            return False
        mine, bound = int(labels[key]), int(wanted["values"][0])
        return mine > bound if how == "Gt" else mine < bound
    return bool((labels.get(key) in wanted.get("values", ())) == (how == "In"))


def _among(key: str, values: set[str], positive: bool) -> Test:
    def test(content: dict[str, Any]) -> bool:
        found = (content["metadata"].get("labels") or {}).get(key)
        return (found is not None and found in values) == positive

    return test


def _there(key: str, positive: bool) -> Test:
    return lambda content: (key in (content["metadata"].get("labels") or {})) == positive


def _field_tests(kind: Kind, text: str) -> list[Test]:
    tests = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, how, value = re.split(r"(!=|==|=)", part, maxsplit=1) if "=" in part else ("", "", "")
        if not how:
            raise bad_request(f'invalid selector: "{text}"; can\'t understand "{part}"')
        if name not in ("metadata.name", "metadata.namespace", *_FIELDS.get(kind, ())):
            raise bad_request(f"field label not supported: {name}")
        tests.append(_field(name.split("."), value, how != "!="))
    return tests


def _field(path: list[str], value: str, positive: bool) -> Test:
    def test(content: dict[str, Any]) -> bool:
        found: Any = content
        for name in path:
            found = found.get(name, "") if isinstance(found, dict) else ""
        return (str(found) == value) == positive

    return test

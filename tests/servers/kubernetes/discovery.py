"""What the server offers, in the form that clients ask for before they do anything."""

from __future__ import annotations

import functools
from typing import Any

from servers.kubernetes.http import Answer
from servers.kubernetes.kinds import KINDS, VERBS_OF_SUBRESOURCES, Kind

VERSION = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.0+flow-tests",
    "platform": "linux/amd64",
}
_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_AUTHORIZATION = "authorization.k8s.io"
_REVIEW = {
    "name": "selfsubjectaccessreviews",
    "singularName": "selfsubjectaccessreview",
    "namespaced": False,
    "kind": "SelfSubjectAccessReview",
    "verbs": ["create"],
}


@functools.cache
def answer(path: str) -> Answer | None:
    """Return what there is at a path; None = nothing."""
    found = _documents().get(path)
    return None if found is None else Answer.of(found)


@functools.cache
def _documents() -> dict[str, Any]:
    versions = sorted({(kind.group, kind.version) for kind in KINDS} | {(_AUTHORIZATION, "v1")})
    groups = [_group(group, version) for group, version in versions if group]
    documents: dict[str, Any] = {
        "/version": VERSION,
        "/api": {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
        "/openapi/v3": {"paths": {}},
    }
    for each in groups:
        documents[f"/apis/{each['name']}"] = {"kind": "APIGroup", "apiVersion": "v1", **each}
    for group, version in versions:
        kinds = [kind for kind in KINDS if (kind.group, kind.version) == (group, version)]
        path = f"apis/{group}/{version}" if group else f"api/{version}"
        resources = [each for kind in kinds for each in _resources(kind)]
        if group == _AUTHORIZATION:
            resources = [_REVIEW]
        documents[f"/{path}"] = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": resources,
        }
        documents["/openapi/v3"]["paths"][path] = {"serverRelativeURL": f"/openapi/v3/{path}"}
        documents[f"/openapi/v3/{path}"] = _openapi(kinds)
    return documents


def _group(name: str, version: str) -> dict[str, Any]:
    told = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [told], "preferredVersion": told}


def _resources(kind: Kind) -> list[dict[str, Any]]:
    main = {
        "name": kind.plural,
        "singularName": kind.name.lower(),
        "namespaced": kind.namespaced,
        "kind": kind.name,
        "verbs": list(_VERBS),
        **({"shortNames": list(kind.short)} if kind.short else {}),
        **({"categories": list(kind.categories)} if kind.categories else {}),
    }
    return [main, *(_subresource(kind, sub) for sub in kind.sub)]


def _subresource(kind: Kind, sub: str) -> dict[str, Any]:
    return {
        "name": f"{kind.plural}/{sub}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": "Eviction" if sub == "eviction" else kind.name,
        "verbs": list(VERBS_OF_SUBRESOURCES[sub]),
        **({"group": "policy", "version": "v1"} if sub == "eviction" else {}),
    }


def _openapi(kinds: list[Kind]) -> dict[str, Any]:
    """Return what kubectl reads: that the server itself checks fields."""
    parameters = [
        {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}},
        {"name": "dryRun", "in": "query", "schema": {"type": "string"}},
    ]
    paths = {}
    for kind in kinds:
        place = "/namespaces/{namespace}" if kind.namespaced else ""
        mark = {"group": kind.group, "kind": kind.name, "version": kind.version}
        operation = {
            "parameters": parameters,
            "responses": {},
            "x-kubernetes-group-version-kind": mark,
        }
        paths[f"{kind.prefix}{place}/{kind.plural}/{{name}}"] = {"patch": operation}
    info = {"title": "Kubernetes", "version": VERSION["gitVersion"]}
    return {"openapi": "3.0.0", "info": info, "paths": paths}

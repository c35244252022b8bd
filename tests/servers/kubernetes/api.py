"""From paths to verbs: what the API server does with each request."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from servers.kubernetes import discovery, patches, tables
from servers.kubernetes.access import ACCESS_REVIEWS, Access
from servers.kubernetes.errors import (
    Refusal,
    bad_request,
    expired,
    method_not_allowed,
    no_such_path,
    too_large_version,
    unsupported_media,
)
from servers.kubernetes.faults import Faults
from servers.kubernetes.http import Answer, Reply, Request
from servers.kubernetes.kinds import BY_PATH, NAMESPACE, POD, VERBS_OF_SUBRESOURCES, Kind
from servers.kubernetes.podrequests import PodRequests
from servers.kubernetes.registry import Registry
from servers.kubernetes.schema import check, refuse_unknown
from servers.kubernetes.selectors import selector
from servers.kubernetes.settings import Settings
from servers.kubernetes.store import Entry, Object
from servers.kubernetes.watches import Watch

_PATCHES = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)


class Target(NamedTuple):
    """What a path names.

    Attributes:
        kind: of the objects.
        namespace: ``""`` = all, or of none.
        name: of one object; ``""`` = all.
        sub: subresource, such as ``log``.
    """

    kind: Kind
    namespace: str
    name: str
    sub: str


class Api:
    """The API server.

    Args:
        registry: the way to the objects.
        settings: of the server.
        faults: what goes wrong on purpose; it also counts the requests.
        access: who may do what.
        pod_requests: answers what is asked of pods that run.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Settings,
        faults: Faults,
        access: Access,
        pod_requests: PodRequests,
    ) -> None:
        self._registry, self._settings = registry, settings
        self._faults, self._access, self._pod_requests = faults, access, pod_requests
        self._store = registry.store
        self._pages: dict[str, tuple[int, list[Entry]]] = {}
        self._verbs: dict[str, Callable[[Request, Target], Reply]] = {
            "get": self._get,
            "list": self._list,
            "watch": self._watch,
            "create": self._create,
            "update": self._update,
            "patch": self._patch,
            "delete": self._delete,
            "deletecollection": self._delete_all,
        }
        self.watches: set[Watch] = set()

    def handle(self, request: Request) -> Reply | Awaitable[Reply]:
        """Answer a request, late or wrongly if a test wants that."""
        try:
            target = _target(request.path)
            verb = _verb(request, target) if target else "get"
            resource = _resource(target) if target else request.path
            namespace = target.namespace if target else ""
            fault = self._faults.meets(verb, resource, namespace)
            if fault is None:
                return self._answer(request, target, verb)
            return self._faults.apply(fault, lambda: self._answer(request, target, verb))
        except Refusal as refusal:
            return refusal.answer()

    def _answer(self, request: Request, target: Target | None, verb: str) -> Reply:
        try:
            if "protobuf" in request.headers.get("content-type", ""):
                raise unsupported_media("application/json, application/yaml")
            if target is None:
                return self._other(request)
            self._access.check(verb, target.kind, target.namespace, target.name, target.sub)
            return self._verbs[verb](request, target)
        except Refusal as refusal:
            return refusal.answer()

    def _other(self, request: Request) -> Reply:
        """Answer what is about no objects."""
        path = request.path.rstrip("/")
        if path in ("/healthz", "/livez", "/readyz"):
            return Answer(200, b"ok", "text/plain")
        if request.method == "POST" and path == ACCESS_REVIEWS:
            return Answer.of(self._access.review(_body(request)), 201)
        found = discovery.answer(path)
        if found is None:
            raise no_such_path()
        if request.method != "GET":
            raise method_not_allowed()
        return found

    def _get(self, request: Request, target: Target) -> Reply:
        entry = self._registry.get(target.kind, target.namespace, target.name)
        if target.sub == "log":
            return self._pod_requests.log(entry, request.query)
        self._not_from_the_future(request)
        return self._object(request, entry)

    def _list(self, request: Request, target: Target) -> Reply:
        self._not_from_the_future(request)
        version, entries = self._page(request, target)
        metadata: Object = {"resourceVersion": str(version)}
        limit = _number(request.query.get("limit") or "0")
        if limit and len(entries) > limit:
            metadata["continue"] = self._keep(version, entries[limit:])
            if self._chosen(request, target) is None:  # else no server would know
                metadata["remainingItemCount"] = len(entries) - limit
            entries = entries[:limit]
        if _wants_table(request):
            return Answer.of(tables.table(target.kind, entries, request.query, metadata))
        head = {"kind": f"{target.kind.name}List", "apiVersion": target.kind.api_version}
        start = json.dumps({**head, "metadata": metadata}, separators=(",", ":")).encode()[:-1]
        items = b",".join(entry.text for entry in entries)
        return Answer(200, b'%b,"items":[%b]}' % (start, items))

    def _page(self, request: Request, target: Target) -> tuple[int, list[Entry]]:
        """Return the objects of a list, and its version: what follows on a page is of the same."""
        token = request.query.get("continue")
        if token:
            kept = self._pages.get(token)
            if kept is None or self._store.has_forgotten(target.kind, kept[0], target.namespace):
                raise expired(
                    "The provided continue parameter is too old to display a consistent list result. "
                    "You can start a new list without the continue parameter, or use the continue "
                    "token in this response to retrieve the remainder of the results."
                )
            return kept
        chosen = self._chosen(request, target)
        entries = self._store.entries(target.kind, target.namespace)
        if chosen is not None:
            entries = [entry for entry in entries if chosen(entry.object)]
        return self._store.version, entries

    def _keep(self, version: int, entries: list[Entry]) -> str:
        token = base64.urlsafe_b64encode(random.randbytes(18)).decode()
        self._pages[token] = (version, entries)
        while len(self._pages) > 100:
            del self._pages[next(iter(self._pages))]
        return token

    def _watch(self, request: Request, target: Target) -> Reply:
        query = request.query
        initial = request.flag("sendInitialEvents")
        version = query.get("resourceVersion", "")
        if version and not version.isdigit():
            raise bad_request(f'Invalid value: "{version}": strconv.ParseUint: invalid syntax')
        since = None if initial or version in ("", "0") else int(version)
        refusal = self._faults.refuses_watch(target.namespace)
        if refusal is not None:
            raise refusal
        shape: Callable[[Entry], bytes] = lambda entry: entry.whole  # noqa: E731
        if _wants_table(request):
            shape = tables.shape_of_watch(target.kind, query)
        return Watch(
            self._store,
            target.kind,
            target.namespace,
            self._chosen(request, target),
            since,
            float(query.get("timeoutSeconds", 0)) or random.uniform(1800, 3600),
            self._settings.bookmarks if request.flag("allowWatchBookmarks") else None,
            known=self.watches,
            initial_end=initial,
            shape=shape,
        )

    def _create(self, request: Request, target: Target) -> Reply:
        body = _body(request)
        if target.sub == "eviction":
            entry = self._registry.get(POD, target.namespace, target.name)
            return Answer.of(self._pod_requests.evict(entry, body), 201)
        if target.name:
            raise method_not_allowed()
        warnings = self._known_fields(request, target.kind, body)
        dry = _is_dry(request)
        entry = self._registry.create(target.kind, target.namespace, body, dry_run=dry)
        return self._object(request, entry, 201, warnings)

    def _update(self, request: Request, target: Target) -> Reply:
        body = _body(request)
        warnings = self._known_fields(request, target.kind, body)
        before = self._registry.get(target.kind, target.namespace, target.name)
        if target.kind is NAMESPACE and target.sub == "finalize":
            return self._finalize(request, before, body)
        entry = self._registry.replace(before, body, sub=target.sub, dry_run=_is_dry(request))
        return self._object(request, entry, headers=warnings)

    def _finalize(self, request: Request, before: Entry, body: Object) -> Reply:
        spec = {"finalizers": body.get("spec", {}).get("finalizers", [])}
        entry = self._registry.put(before, {**before.object, "spec": spec})
        return self._object(request, entry)

    def _patch(self, request: Request, target: Target) -> Reply:
        how = request.headers.get("content-type", "").partition(";")[0].strip()
        if how not in _PATCHES:
            raise unsupported_media(", ".join(_PATCHES))
        patch = _body(request, is_list=how == "application/json-patch+json")
        before = self._registry.get(target.kind, target.namespace, target.name)
        if how == "application/json-patch+json":
            after = patches.json_patch(before.object, patch)
        elif how == "application/merge-patch+json":
            after = patches.merge(before.object, patch)
        else:
            after = patches.strategic_merge(before.object, patch)
        after = {key: value for key, value in after.items() if key not in ("kind", "apiVersion")}
        warnings = self._known_fields(request, target.kind, after)
        entry = self._registry.replace(before, after, sub=target.sub, dry_run=_is_dry(request))
        return self._object(request, entry, headers=warnings)

    def _delete(self, request: Request, target: Target) -> Reply:
        entry = self._registry.get(target.kind, target.namespace, target.name)
        options = _options(request)
        self._meets_preconditions(entry, options)
        if options.get("dryRun"):
            return self._object(request, entry)
        last, is_gone = self._registry.delete(entry, *_how_to_delete(options))
        if not is_gone or target.kind is POD:
            return self._object(request, last)
        details = {
            "name": last.name,
            **({"group": last.kind.group} if last.kind.group else {}),
            "kind": last.kind.plural,
            "uid": last.uid,
        }
        done = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
        return Answer.of({**done, "details": details})

    def _delete_all(self, request: Request, target: Target) -> Reply:
        options = _options(request)
        _, entries = self._page(request, target)
        for entry in entries if not options.get("dryRun") else ():
            self._registry.delete(entry, *_how_to_delete(options))
        head = {"kind": f"{target.kind.name}List", "apiVersion": target.kind.api_version}
        metadata = {"resourceVersion": str(self._store.version)}
        return Answer.of({**head, "metadata": metadata, "items": [each.object for each in entries]})

    def _chosen(self, request: Request, target: Target) -> Callable[[Object], bool] | None:
        labels = request.query.get("labelSelector", "")
        fields = request.query.get("fieldSelector", "")
        return selector(target.kind, labels, fields) if labels or fields else None

    def _known_fields(self, request: Request, kind: Kind, body: Object) -> dict[str, str]:
        """Refuse fields that nobody knows, or warn of them, as the client wants it."""
        how = request.query.get("fieldValidation", "Warn")
        if how == "Ignore":
            return {}
        unknown = check(kind, body).unknown
        if unknown and how == "Strict":
            raise refuse_unknown(kind, unknown)
        told = [f'299 - "unknown field \\"{path}\\""' for path in unknown]
        return {"Warning": ", ".join(told)} if told else {}

    def _meets_preconditions(self, entry: Entry, options: Object) -> None:
        wanted = options.get("preconditions") or {}
        same = {"uid": wanted.get("uid"), "resourceVersion": wanted.get("resourceVersion")}
        self._registry.check_identity(entry, {key: each for key, each in same.items() if each})

    def _not_from_the_future(self, request: Request) -> None:
        version = request.query.get("resourceVersion", "")
        if version.isdigit() and int(version) > self._store.version:
            raise too_large_version(int(version), self._store.version)

    def _object(
        self,
        request: Request,
        entry: Entry,
        code: int = 200,
        headers: dict[str, str] | None = None,
    ) -> Reply:
        if _wants_table(request):
            version = {"resourceVersion": str(entry.version)}
            table = tables.table(entry.kind, [entry], request.query, version)
            return Answer.of(table, code, headers)
        return Answer(code, entry.whole, headers=headers or {})


def _target(path: str) -> Target | None:
    """Return what a path names; None = it is about no objects."""
    parts = path.strip("/").split("/")
    if parts[0] == "api" and len(parts) > 2:
        group, version, rest = "", parts[1], parts[2:]
    elif parts[0] == "apis" and len(parts) > 3:
        group, version, rest = parts[1], parts[2], parts[3:]
    else:
        return None
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in ("status", "finalize"):
        namespace, rest = rest[1], rest[2:]
    kind = BY_PATH.get((group, version, rest[0]))
    if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
        return None
    name, sub = (*rest[1:], "", "")[:2]
    if sub and sub not in kind.sub:
        return None
    return Target(kind, namespace, name, sub)


def _verb(request: Request, target: Target) -> str:
    of_one = {"GET": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
    of_all = {
        "GET": "watch" if request.flag("watch") else "list",
        "POST": "create",
        "DELETE": "deletecollection",
    }
    verb = (of_one if target.name else of_all).get(request.method)
    if verb is None or (target.sub and verb not in VERBS_OF_SUBRESOURCES[target.sub]):
        raise method_not_allowed()
    if verb == "create" and target.kind.namespaced and not target.namespace:
        raise method_not_allowed()
    return verb


def _resource(target: Target) -> str:
    return f"{target.kind.plural}/{target.sub}" if target.sub else target.kind.plural


def _body(request: Request, *, is_list: bool = False) -> Any:
    """Return the body of a request, from JSON or YAML."""
    try:
        body = json.loads(request.body or b"null")
    except ValueError:
        body = _yaml(request.body)
    if not isinstance(body, list if is_list else dict):
        raise bad_request("the object provided is unrecognized (must be of type object)")
    return body


def _yaml(text: bytes) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise bad_request(f"error decoding the body: {error}") from None


def _options(request: Request) -> Object:
    """Return ``DeleteOptions``, from the body or the query."""
    body: Object = _body(request) if request.body.strip() else {}
    query = request.query
    for name in ("propagationPolicy", "gracePeriodSeconds", "dryRun"):
        if name in query:
            body = {name: query[name], **body}
    return body


def _how_to_delete(options: Object) -> tuple[float | None, str]:
    grace = options.get("gracePeriodSeconds")
    policy = options.get("propagationPolicy") or ""
    if policy not in ("", "Orphan", "Background", "Foreground"):
        raise bad_request(f'invalid deletion propagation policy "{policy}"')
    return (None if grace is None else float(grace)), policy


def _number(text: str) -> int:
    if not text.isdigit():
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def _is_dry(request: Request) -> bool:
    return "dryRun" in request.query


def _wants_table(request: Request) -> bool:
    return "as=Table" in request.headers.get("accept", "")

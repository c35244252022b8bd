"""Who may do what: everybody may everything, but what a test denies."""

from __future__ import annotations

from typing import Any

from servers.kubernetes.errors import forbidden
from servers.kubernetes.kinds import Kind

USER = "flow-tests"
"""The one that all requests come from."""

ACCESS_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
"""Where clients ask what they may do."""


class Access:
    """The rules of all namespaces."""

    def __init__(self) -> None:
        self._denied: dict[str, set[tuple[str, str]]] = {}

    def deny(self, namespace: str, verb: str, resource: str) -> None:
        """Deny a verb on a resource, as in ``create``, ``pods`` or ``get``, ``pods/log``."""
        self._denied.setdefault(namespace, set()).add((verb, resource))

    def allow_all(self, namespace: str) -> None:
        """Allow everything again."""
        self._denied.pop(namespace, None)

    def may(self, verb: str, resource: str, namespace: str) -> bool:
        """Say whether something is allowed."""
        denied = self._denied.get(namespace, ())
        return not {(verb, resource), (verb, "*"), ("*", resource), ("*", "*")} & set(denied)

    def check(self, verb: str, kind: Kind, namespace: str, name: str, sub: str) -> None:
        """Refuse what is not allowed.

        Raises:
            Refusal: 403.
        """
        resource = f"{kind.plural}/{sub}" if sub else kind.plural
        if not self.may(verb, resource, namespace):
            where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
            raise forbidden(
                kind,
                name,
                f'User "{USER}" cannot {verb} resource "{resource}" in API group '
                f'"{kind.group}"{where}',
            )

    def review(self, body: dict[str, Any]) -> dict[str, Any]:
        """Answer a ``SelfSubjectAccessReview``."""
        asked = body.get("spec", {}).get("resourceAttributes", {})
        resource = asked.get("resource", "")
        if asked.get("subresource"):
            resource += f"/{asked['subresource']}"
        allowed = self.may(asked.get("verb", ""), resource, asked.get("namespace", ""))
        return {**body, "status": {"allowed": allowed}}

"""``kubernetes rbac``: what a launcher may do in its namespace, as YAML: no more than it needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import FlowError, UsageError
from flow_kubernetes import checks

if TYPE_CHECKING:
    from flow_core.api import CommandContext

RULES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("batch", "jobs", ("create", "deletecollection", "get", "list")),
    ("", "pods", ("deletecollection", "list", "watch")),
    ("", "pods/log", ("get",)),
    ("", "events", ("list",)),
    ("", "services", ("create", "delete")),
)
"""API group, resource, verbs: all that flow-core asks of a cluster."""

_NAME = "flow-core-launcher"
_HELP = """Print a Role and a RoleBinding with the least rights that whoever starts runs must have in a namespace.

jobs are the tasks; pods are watched, and deleted with their jobs; events are read when a job hangs; services are for gangs; logs are for flow kubernetes logs. Tasks themselves need no right at all."""


def rbac_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def rbac(
        namespace: str,
        user: str | None,
        group: str | None,
        service_account: str | None,
        as_json: bool,
    ) -> None:
        given = {"User": user, "Group": group, "ServiceAccount": service_account}
        chosen = [(kind, name) for kind, name in given.items() if name]
        if len(chosen) > 1:
            raise UsageError(
                "The rights can be given to one only",
                hint="--user NAME, --group NAME, or --service-account NAME",
            )
        try:
            checks.subdomain("--namespace", namespace)
        except FlowError as error:
            raise UsageError(
                f"'{namespace}' is no namespace", why=error.why, hint="--namespace default"
            ) from None
        kind, name = chosen[0] if chosen else ("ServiceAccount", _NAME)
        found = manifests(namespace, kind, name, create=not chosen)
        if as_json:
            context.echo(json.dumps(found, indent=2))
            return
        from flow_kubernetes.manifest_command import as_yaml

        context.echo(as_yaml(found).rstrip())

    return click.Command(
        "rbac",
        short_help="Print the least rights with which runs can be started.",
        callback=rbac,
        params=[
            click.Option(
                ["--namespace"], default="default", show_default=True, help="Where jobs run."
            ),
            click.Option(["--user"], metavar="NAME", help="Who gets the rights."),
            click.Option(["--group"], metavar="NAME", help="Who gets the rights."),
            click.Option(
                ["--service-account"],
                metavar="NAME",
                help=f"Who gets the rights; without any of the three, one is made: {_NAME}.",
            ),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON: a list."),
        ],
        help=_HELP,
    )


def manifests(namespace: str, kind: str, name: str, *, create: bool) -> list[dict[str, Any]]:
    """Return a Role and what binds it.

    Args:
        namespace: where jobs run.
        kind: ``User``, ``Group`` or ``ServiceAccount``.
        name: of the one that gets the rights.
        create: whether the service account is made, too.
    """
    meta = {"name": _NAME, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": [api], "resources": [resource], "verbs": list(verbs)}
        for api, resource, verbs in RULES
    ]
    subject = {"kind": kind, "name": name}
    subject |= {"namespace": namespace} if kind == "ServiceAccount" else {"apiGroup": group}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace},
    }
    return [
        *([account] if create else []),
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": meta, "rules": rules},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": _NAME},
            "subjects": [subject],
        },
    ]

"""The command ``kubernetes`` and its parts: list, kill, logs, manifest, rbac."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flow_core.api import Command, CommandContext

if TYPE_CHECKING:
    import click

_HELP = """Look at and end the jobs of runs in a Kubernetes cluster; print what flow-core asks of one.

Which cluster: FLOW_KUBERNETES_CONTEXT and FLOW_KUBERNETES_CONFIG, else as kubectl finds it. manifest and
rbac ask none."""


def build(context: CommandContext) -> click.Command:
    """Make the click group."""
    import click

    from flow_kubernetes.cluster_commands import kill_command, list_command, logs_command
    from flow_kubernetes.manifest_command import manifest_command
    from flow_kubernetes.rbac_command import rbac_command

    parts = {
        "list": list_command,
        "kill": kill_command,
        "logs": logs_command,
        "manifest": manifest_command,
        "rbac": rbac_command,
    }
    return click.Group(
        "kubernetes",
        commands={name: make(context) for name, make in parts.items()},
        help=_HELP,
        no_args_is_help=True,
    )


command = Command("Look at and end jobs of runs in a Kubernetes cluster.", False, build)

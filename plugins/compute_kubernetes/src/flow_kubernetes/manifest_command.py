"""``kubernetes manifest``: what a step asks of the cluster, as YAML."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import UsageError
from flow_kubernetes.choices import Defaults, choose
from flow_kubernetes.manifests import (
    Manifest,
    Origin,
    job_manifest,
    pod_manifest,
    service_manifest,
)
from flow_kubernetes.settings import declare
from flow_remote.flows import named_step, open_flow

if TYPE_CHECKING:
    from flow_core.api import CommandContext, Session
    from flow_remote.backend import Job

_HELP = """Print the Job of a step as YAML, without asking a cluster. STEP is one of today's flow.

It has all that a job of the step has: image, resources, node, secrets, how it is confined. Only what it
runs is a trial: its container tells whether it has a Python, and ends. So the cluster itself says what is
wrong: flow kubernetes manifest my_flow.py train | kubectl apply -f -"""

_RUN = "trial"
_TRIAL = """\
set -- python3 python
[ -z "$FLOW_PYTHON" ] || set -- "$FLOW_PYTHON"
for python in "$@"; do
  if command -v "$python" >/dev/null 2>&1; then
    exec "$python" -c 'import os, platform, sys
print("Python", platform.python_version(), platform.machine(), "as user", os.getuid(), "in", os.getcwd())
for folder in (os.getcwd(), "/tmp"):
    open(os.path.join(folder, ".trial"), "w").close()
print("a task could run here")'
  fi
done
echo "this image has no ${FLOW_PYTHON:-Python}: a task could not run here" >&2; exit 127
"""


def manifest_command(context: CommandContext) -> click.Command:
    """Make the click command."""

    def manifest(words: tuple[str, ...], pod: bool, as_json: bool) -> None:
        with open_flow(context, words) as (session, names):
            found = manifests_of(session, _step(session, names), pod)
        if as_json:
            context.echo(json.dumps(found, indent=2))
        else:
            context.echo(as_yaml(found).rstrip())

    return click.Command(
        "manifest",
        callback=manifest,
        params=[
            click.Argument(["words"], nargs=-1, metavar="[FILE] STEP"),
            click.Option(["--pod"], is_flag=True, help="Its pod only: for podman play kube."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON: a list."),
        ],
        help=_HELP,
    )


def as_yaml(manifests: Sequence[Manifest]) -> str:
    """Return manifests as one text."""
    import yaml

    class Plain(yaml.SafeDumper):
        """Writes what occurs twice twice, such as the labels of a Job and its pod, and scripts as
        lines."""

        def ignore_aliases(self, data: Any) -> bool:
            return True

        def represent_str(self, data: str) -> Any:
            style = "|" if "\n" in data else None
            return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Plain.add_representer(str, Plain.represent_str)
    texts = [yaml.dump(one, Dumper=Plain, sort_keys=False, width=100) for one in manifests]
    return "---\n".join(texts)


def manifests_of(session: Session, step: str, pod: bool = False) -> list[Manifest]:
    """Return what a step asks of the cluster: its Job, and of a gang the service as well.

    Args:
        session: of the flow.
        step: its name.
        pod: its pod instead, as one of its own.
    """
    plan = session.plans[step]
    settings = session.settings
    declare(settings)  # also where only this command was asked for, not the plugin's hooks
    choices = choose(
        Defaults.read(settings.__getitem__), plan.options.get("kubernetes", {}), plan.resources
    )
    job = _trial(session.flow_name, step, plan.timeout, plan.gang)
    made = job_manifest(job, choices, Origin(settings.user(), settings.shown("datastore")))
    if choices.namespace:
        made["metadata"]["namespace"] = choices.namespace
    if pod:
        return [pod_manifest(made)]
    if not job.is_gang:
        return [made]
    service = service_manifest(made)
    if choices.namespace:
        service["metadata"]["namespace"] = choices.namespace
    return [service, made]


def _trial(flow: str, step: str, timeout: float | None, gang: bool) -> Job:
    """Return a job that looks whether a task could run; of a gang, with two members."""
    from flow_core.api import GangMember, TaskSpec
    from flow_kubernetes.names import trial_name
    from flow_remote.backend import Job

    members = [GangMember(2, number, 0) for number in range(2)] if gang else [None]
    tasks = tuple(TaskSpec(flow, _RUN, step, number, gang=m) for number, m in enumerate(members))
    return Job(
        name=trial_name(flow, step),
        tasks=tasks,
        commands=(("/bin/sh", "-c", _TRIAL, "flow-trial"),) * len(tasks),
        variables=({},) * len(tasks),
        timeout=timeout,
    )


def _step(session: Session, words: Sequence[str]) -> str:
    missing = UsageError(
        "Which step?" if session.flow is not None else "Of which flow?",
        why="a manifest is that of one step of today's flow",
        hint="flow kubernetes manifest my_flow.py train",
    )
    return named_step(session, words, missing)

"""The command ``spin``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import (
    ArtifactRef,
    Command,
    CommandContext,
    FlowError,
    duration,
    harmless,
    log_size_option,
    run_id_file_option,
    take_log_size,
)

if TYPE_CHECKING:
    from flow_core.api import Session
    from flow_spin.spin import Change, Spun


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def spin(pathspec: str, artifacts_module: str | None, as_json: bool, **given: Any) -> None:
        from flow_spin import overrides
        from flow_spin.spin import Options
        from flow_spin.spin import spin as run

        session = context.session()
        take_log_size(session, given["max_log_size"])
        artifacts = overrides.load(artifacts_module) if artifacts_module is not None else {}
        options = Options(
            artifacts, given["skip_decorators"], given["persist"], given["run_id_file"]
        )
        spun = run(session, pathspec, options, _pass_on(as_json))
        if as_json:
            context.echo(json.dumps(_data(session, spun), indent=2))
        else:
            for line in _text(session, spun):
                context.echo(line)
        if not spun.manifest.ok:
            raise _failed(spun)

    return click.Command(
        "spin",
        callback=spin,
        params=[
            click.Argument(["pathspec"]),
            click.Option(
                ["--artifacts-module"],
                metavar="FILE",
                help="A Python file whose dict ARTIFACTS has values to be read instead of inputs "
                "or parameters: {name: value}; for one branch of a join {'run/step/task': {…}}.",
            ),
            click.Option(
                ["--skip-decorators"], is_flag=True, help="Run the step without its decorators."
            ),
            click.Option(
                ["--persist"],
                is_flag=True,
                envvar="FLOW_SPIN_PERSIST",
                help="Keep the result; else it is kept until the flow is spun again.",
            ),
            log_size_option(),
            run_id_file_option("number of the spin"),
            click.Option(
                ["--json", "as_json"],
                is_flag=True,
                help="Print JSON; what the step writes goes to standard error.",
            ),
        ],
        help="Run one step again with today's code, on the inputs and parameters of an earlier "
        "task: STEP (of the newest run that has it), RUN/STEP or RUN/STEP/TASK; of a foreach "
        "without TASK one that failed, else the first. What has changed in its artifacts is shown. "
        "The result is no run of the flow: 'flow --datastore spin dump FLOW/N' reads it.",
    )


def _pass_on(as_json: bool) -> Any:
    """Return what writes the output of the task where it belongs."""

    def output(stream: str, data: bytes) -> None:
        file = sys.stderr if as_json or stream == "stderr" else sys.stdout
        # Through the text layer, which tests and notebooks replace.
        file.write(data.decode(errors="replace"))
        file.flush()

    return output


# --- what is shown ------------------------------------------------------------------------------


def _text(session: Session, spun: Spun) -> Iterator[str]:
    from flow_spin.spin import changes

    earlier, manifest = spun.earlier.manifest, spun.manifest
    seconds = manifest.finished - manifest.started
    state = click.style(manifest.state.value, fg="green" if manifest.ok else "red", bold=True)
    head = f"{click.style(manifest.step, bold=True)} again on the inputs of {earlier.pathspec}"
    before = "" if earlier.ok is manifest.ok else f" (it was {earlier.state.value})"
    yield f"{head}: {state} in {duration(seconds)}{before}"
    if spun.earlier.others:
        others = spun.earlier.others
        yield f"  {others:,} other task{'s' if others > 1 else ''} of the step: name one by RUN/STEP/TASK"
    found = changes(earlier, manifest)
    yield from _changes(session, found, spun)
    same = len({*earlier.artifacts, *manifest.artifacts}) - len(found)
    yield f"  {same} artifact{'s' if same != 1 else ''} unchanged"
    yield click.style(
        f"  kept apart: flow --datastore {spun.place} dump {manifest.pathspec}", dim=True
    )


def _changes(session: Session, found: list[Change], spun: Spun) -> Iterator[str]:
    width = max((len(c.name) for c in found), default=0)
    colours = {"new": "green", "gone": "red", "changed": "yellow"}
    for change in found:
        kind = click.style(f"{change.kind:7}", fg=colours[change.kind])
        old = _shown(session, change.name, change.old, spun.earlier.manifest.pathspec)
        new = _shown(session, change.name, change.new, spun.manifest.pathspec)
        text = {"new": new, "gone": old, "changed": f"{old} → {new}"}[change.kind]
        yield harmless(f"  {kind}  {change.name:{width}}  {text}", colours=True)


def _shown(session: Session, name: str, ref: ArtifactRef | None, owner: str) -> str:
    if ref is None:
        return ""
    return session.artifacts.summary(ref, f"artifact '{name}' of {owner}")


def _data(session: Session, spun: Spun) -> dict[str, Any]:
    from flow_spin.spin import changes

    earlier, manifest = spun.earlier.manifest, spun.manifest
    failure = manifest.failure
    return {
        "pathspec": manifest.pathspec,
        "earlier": earlier.pathspec,
        "earlier_state": earlier.state.value,
        "state": manifest.state.value,
        "seconds": round(manifest.finished - manifest.started, 3),
        "next": list(manifest.transition.targets) if manifest.transition else [],
        "failure": failure._asdict() if failure else None,
        "store": session.store.url,
        "artifacts": [
            {
                "name": c.name,
                "change": c.kind,
                "old": _ref(session, c.name, c.old, earlier.pathspec),
                "new": _ref(session, c.name, c.new, manifest.pathspec),
            }
            for c in changes(earlier, manifest)
        ],
    }


def _ref(session: Session, name: str, ref: ArtifactRef | None, owner: str) -> dict[str, Any] | None:
    if ref is None:
        return None
    shown = _shown(session, name, ref, owner)
    return {"type": ref.type, "size": ref.size, "hash": ref.hash, "summary": shown}


def _failed(spun: Spun) -> FlowError:
    manifest = spun.manifest
    failure = manifest.failure
    return FlowError(
        f"Step '{manifest.step}' failed",
        where=manifest.pathspec,
        why=failure.summary if failure else None,
        hint=f"change the code and spin again, or stop where it fails: "
        f"flow debug --today {spun.earlier.manifest.pathspec}",
    )


command = Command("Run one step again on the inputs of an earlier task.", True, build)

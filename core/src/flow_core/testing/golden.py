"""Golden runs: what a run left is compared with what a file says that it should: `assert_same_run`.

The file is JSON, made to be read and reviewed:

    {
      "format": "flow-golden 1",
      "flow": "TrainFlow",
      "parameters": {"rate": 0.5},
      "tasks": {
        "start": {"rows": [1.0, 2.0]},
        "fit[0]": {"loss": 0.25, "weights": {"!array": "float64", "shape": [2], "values": [0.5, 1.5]}}
      }
    }

A task is named by its step, its indices in the surrounding foreaches, and ``#n`` where the step chose
itself n times before. It has the artifacts that it set or changed. See `golden_values` for values.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from flow_core.artifacts import ArtifactStore
from flow_core.errors import FormatError, NotFound, UsageError, did_you_mean
from flow_core.index import installed
from flow_core.interfaces import Store
from flow_core.manifests import list_manifests
from flow_core.records import ArtifactRef, Manifest, RunDocument, run_key, unpack_inputs
from flow_core.testing.golden_values import Difference, differences, encode, shown

FORMAT = "flow-golden 1"
OPTION = "--update-golden"
_MOST = 20
_OF_ONE = 3
_WIDTH = 100


class Update:
    """Whether golden files are written, which the pytest plugin decides, and which were.

    Attributes:
        wanted: whether they are.
        written: paths of those that were.
    """

    wanted = False
    written: tuple[str, ...] = ()


def assert_same_run(
    run: Any,
    golden: str | os.PathLike[str],
    *,
    tolerance: float | Mapping[str, float] = 0.0,
    ignore: Sequence[str] = (),
) -> None:
    """Fail unless a run has left what a golden file says.

        assert_same_run(TrainFlow.run(), "golden", tolerance={"loss": 1e-6}, ignore=["*_seconds"])

    ``pytest --update-golden`` writes the file: for the first time, and when the change is right. A
    file with which the run agrees is left as it is.

    Args:
        run: the `Run` that ``MyFlow.run()`` returns or the client finds, a `RunOutcome` of
            `FlowTester`, or a `StepOutcome` of `flow_step`.
        golden: a ``.json`` file, or a folder with one named after the flow; relative to the file
            of the test that calls this.
        tolerance: by how much numbers may differ, relative to them or absolutely: for all, or by
            name of the artifact. 0 = not at all. Numbers within arrays, tables and other artifacts
            count as well.
        ignore: artifacts that do not count and are not written. Names, here and in ``tolerance``,
            may be patterns, and may be ``step.name``: ``"fit.loss"``, ``"*_seconds"``.

    Raises:
        AssertionError: it differs; the text says where and by how much. Or it has failed.
        NotFound: there is no such file yet.
        FormatError: the file is none of these, or a newer one.
        UsageError: a name in ``tolerance`` or ``ignore`` fits nothing.

    Since 0.1.
    """
    __tracebackhide__ = True
    contents = _contents(run)
    file = _place(Path(golden), contents.name, sys._getframe(1).f_globals.get("__file__"))
    found = _without(contents.encoded(), ignore)
    wanted = _read(file) if file.exists() else None
    _check_names(found, wanted, [*ignore, *(tolerance if isinstance(tolerance, Mapping) else ())])
    told = None if wanted is None else _compare(_without(wanted, ignore), found, tolerance)
    if Update.wanted:
        if told is None or told:
            _write(file, found)
        return
    if told is None:
        raise NotFound(
            f"There is no golden run of {contents.name} yet",
            where=str(file),
            hint=f"look at what it leaves, and write it down: pytest {OPTION}",
        )
    if told:
        raise AssertionError(_text(contents.title, file, told))


# --- what the run left ----------------------------------------------------------------------


class _Contents(NamedTuple):
    """What counts of a run: ``tasks`` are (label, references of its own artifacts)."""

    name: str
    title: str
    flow: str
    store: Store
    parameters: Mapping[str, ArtifactRef]
    tasks: Sequence[tuple[str, Mapping[str, ArtifactRef]]]

    def encoded(self) -> dict[str, Any]:
        """Return the content of a golden file."""
        artifacts = ArtifactStore(self.store, installed())

        def values(table: Mapping[str, ArtifactRef], owner: str) -> dict[str, Any]:
            return {
                name: encode(artifacts.load(table[name], f"'{name}' of {owner}"))
                for name in sorted(table)
            }

        return {
            "format": FORMAT,
            "flow": self.flow,
            "parameters": values(self.parameters, self.title),
            "tasks": {label: values(table, label) for label, table in self.tasks},
        }


def _contents(run: Any) -> _Contents:
    store, pathspec = getattr(run, "store", None), getattr(run, "pathspec", None)
    if store is None or not isinstance(pathspec, str):
        raise UsageError(
            f"{run!r:.80} is no run",
            where="assert_same_run",
            hint="give what MyFlow.run(), flowtester.run(…) or flow_step(…) returned",
        )
    flow, number, *task = pathspec.split("/")
    if task:
        manifest, names = run.manifest, run.changed_names
        table = {n: ref for n, ref in manifest.artifacts.items() if n in names}
        name = f"{flow}.{manifest.step}"
        return _Contents(name, f"Step {name}", flow, store, {}, [(manifest.step, table)])
    raw = next(iter(store.read([run_key(flow, number)])))
    if raw is None:
        raise NotFound(f"Run {pathspec} has left no record", where=store.url)
    document = RunDocument.decode(raw, run_key(flow, number))
    tasks = list(_tasks(store, document))
    return _Contents(flow, f"Run {pathspec}", flow, store, document.parameters, tasks)


def _tasks(store: Store, document: RunDocument) -> Iterator[tuple[str, Mapping[str, ArtifactRef]]]:
    """Yield the label and the own artifacts of each task, in the order of the flow's steps."""
    last: dict[tuple[str, int], Manifest] = {}
    for key, raw in list_manifests(store, document.flow, document.run):
        manifest = Manifest.decode(raw, key)
        known = last.get((manifest.step, manifest.task))
        if known is None or known.attempt < manifest.attempt:
            last[manifest.step, manifest.task] = manifest
    failed = [m for m in last.values() if not m.ok]
    if failed:
        why = failed[0].failure.summary if failed[0].failure else failed[0].state.value
        raise AssertionError(
            f"Run {document.flow}/{document.run} failed in {failed[0].step}: {why}"
        )
    order = {step: number for number, step in enumerate(document.graph["steps"])}
    for manifest in sorted(last.values(), key=lambda m: (order.get(m.step, 0), _where(m))):
        before = [last[r.step, r.task].artifacts for r in unpack_inputs(manifest.inputs)]
        own = {
            name: ref
            for name, ref in manifest.artifacts.items()
            # What a join has of one branch only, it chose: that is a result.
            if not (before and all(table.get(name) == ref for table in before))
        }
        yield _label(manifest), own


def _where(manifest: Manifest) -> tuple[tuple[int, ...], int]:
    return tuple(frame.index for frame in manifest.foreach), manifest.iteration


def _label(manifest: Manifest) -> str:
    indices, iteration = _where(manifest)
    place = f"[{','.join(map(str, indices))}]" if indices else ""
    return f"{manifest.step}{place}" + (f"#{iteration}" if iteration else "")


# --- names ----------------------------------------------------------------------------------


def _step_of(label: str) -> str:
    return label.partition("[")[0].partition("#")[0]


def _names(label: str, name: str) -> tuple[str, str]:
    return name, f"{_step_of(label)}.{name}"


def _fits(patterns: Iterable[str], label: str, name: str) -> str | None:
    """Return the first pattern that an artifact fits."""
    own = _names(label, name)
    return next((p for p in patterns if any(fnmatchcase(n, p) for n in own)), None)


def _without(content: Mapping[str, Any], ignore: Sequence[str]) -> dict[str, Any]:
    kept = dict(content)
    parts = {"parameters": {"": content["parameters"]}, "tasks": content["tasks"]}
    for part, tables in parts.items():
        chosen = {
            label: {n: v for n, v in table.items() if _fits(ignore, label or part, n) is None}
            for label, table in tables.items()
        }
        kept[part] = chosen[""] if part == "parameters" else chosen
    kept["all"] = sorted(
        {n for t in content["tasks"].items() for a in t[1] for n in _names(t[0], a)}
    )
    kept["all"] += content["parameters"]
    return kept


def _check_names(
    found: Mapping[str, Any], wanted: Mapping[str, Any] | None, patterns: Sequence[str]
) -> None:
    """Refuse names that fit nothing: a mistyped one would be without effect."""
    known = {*found["all"]}
    if wanted is not None:
        known.update(_without(wanted, ())["all"])
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise UsageError(
                f"There is no artifact '{pattern}' in the run, nor in the golden one",
                where="assert_same_run, tolerance= or ignore=",
                hint=did_you_mean(pattern, known) or "leave it out",
            )


# --- comparing ------------------------------------------------------------------------------


def _compare(
    wanted: Mapping[str, Any], found: Mapping[str, Any], tolerance: float | Mapping[str, float]
) -> list[str]:
    """Return what differs, a line each."""
    lines: list[str] = []
    if wanted["flow"] != found["flow"]:
        lines.append(f"flow: {wanted['flow']} → {found['flow']}")
    lines += _of_tables("parameter ", "parameters", wanted, found, tolerance)
    old, new = wanted["tasks"], found["tasks"]
    lines += _of_steps(old, new)
    for label in new:
        if label in old:
            lines += _of_artifacts(f"{label}.", label, old[label], new[label], tolerance)
    return lines


def _of_steps(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    steps = (dict.fromkeys(map(_step_of, old)), dict.fromkeys(map(_step_of, new)))
    for step in {**steps[0], **steps[1]}:
        if step not in steps[1]:
            yield f"step {step} did not run"
        elif step not in steps[0]:
            yield f"step {step} is new: it is not in the golden run"
        else:
            gone = [label for label in old if _step_of(label) == step and label not in new]
            more = [label for label in new if _step_of(label) == step and label not in old]
            if gone:
                yield f"{_listed(gone)} did not run"
            if more:
                yield f"{_listed(more)} {'is' if len(more) == 1 else 'are'} new"


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 3} more tasks" if len(labels) > 3 else ""
    return ", ".join(labels[:3]) + more


def _of_tables(
    prefix: str,
    part: str,
    wanted: Mapping[str, Any],
    found: Mapping[str, Any],
    tolerance: float | Mapping[str, float],
) -> Iterator[str]:
    return _of_artifacts(prefix, part, wanted[part], found[part], tolerance)


def _of_artifacts(
    prefix: str,
    label: str,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    tolerance: float | Mapping[str, float],
) -> Iterator[str]:
    for name in sorted({*old, *new}):
        if name not in new:
            yield f"{prefix}{name}: missing, it was {shown(old[name])}"
        elif name not in old:
            yield f"{prefix}{name}: new, {shown(new[name])}"
        else:
            allowed = _tolerance(tolerance, label, name)
            found = list(differences(old[name], new[name], allowed))
            yield from _told(prefix + name, found, allowed)


def _tolerance(tolerance: float | Mapping[str, float], label: str, name: str) -> float:
    if not isinstance(tolerance, Mapping):
        return tolerance
    pattern = _fits(tolerance, label, name)
    return tolerance[pattern] if pattern is not None else 0.0


def _told(name: str, found: Sequence[Difference], allowed: float) -> Iterator[str]:
    limit = f", tolerance {allowed:g}" if allowed else ""
    for one in found[:_OF_ONE]:
        text = one.text
        if limit and text.endswith(")") and one.size:
            text = f"{text[:-1]}{limit})"
        yield f"{name}{one.place}: {text}"
    if len(found) > _OF_ONE:
        largest = max(one.size for one in found)
        by = f", the largest by {largest:.3g}" if largest else ""
        yield f"{name}: and {len(found) - _OF_ONE} more differences in it{by}"


def _text(title: str, file: Path, lines: Sequence[str]) -> str:
    count = f"{len(lines)} difference{'' if len(lines) == 1 else 's'}"
    shown_lines = [f"  {line}" for line in lines[:_MOST]]
    if len(lines) > _MOST:
        shown_lines.append(f"  … and {len(lines) - _MOST} more")
    return "\n".join(
        [
            f"{title} is not as {_short(file)} says: {count}",
            *shown_lines,
            f"If the change is right: pytest {OPTION}",
        ]
    )


def _short(file: Path) -> str:
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)


# --- the file -------------------------------------------------------------------------------


def _place(golden: Path, name: str, caller: str | None) -> Path:
    folder = Path(caller).resolve().parent if caller else Path.cwd()
    path = folder / golden.expanduser()
    return path if path.suffix == ".json" else path / f"{name}.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _no_golden(file, f"it is no JSON: {error}") from None
    if not isinstance(content, dict) or not str(content.get("format", "")).startswith(
        "flow-golden"
    ):
        raise _no_golden(file, "it does not begin as one")
    if content["format"] != FORMAT:
        raise FormatError(
            f"The golden file is of the format '{content['format']}'",
            where=str(file),
            why=f"this version of flow-core reads '{FORMAT}'",
            hint=f"upgrade flow-core, or write it anew: pytest {OPTION}",
        )
    return content


def _no_golden(file: Path, why: str) -> FormatError:
    return FormatError(
        "The file is no golden run",
        where=str(file),
        why=why,
        hint=f"remove it, and write it anew: pytest {OPTION}",
    )


def _write(file: Path, content: Mapping[str, Any]) -> None:
    """Write a file whole, or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = {key: content[key] for key in ("format", "flow", "parameters", "tasks")}
    with tempfile.NamedTemporaryFile(
        "w", dir=file.parent, prefix=f".{file.name}-", delete=False, encoding="utf-8"
    ) as temporary:
        temporary.write(_dump(kept, 0) + "\n")
    os.chmod(temporary.name, 0o644)
    os.replace(temporary.name, file)
    Update.written += (_short(file),)


def _dump(value: Any, indent: int, before: int = 0) -> str:
    """Return JSON text in which what fits on a line, behind what is there before, is on one."""
    line = json.dumps(value, ensure_ascii=False)
    if indent + before + len(line) < _WIDTH or not isinstance(value, (dict, list)) or not value:
        return line
    below = indent + 2
    if isinstance(value, dict):
        keys = [json.dumps(key, ensure_ascii=False) + ": " for key in value]
        parts = [k + _dump(v, below, len(k)) for k, v in zip(keys, value.values(), strict=True)]
    else:
        parts = [_dump(v, below) for v in value]
    opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
    joined = f",\n{' ' * below}".join(parts)
    return f"{opening}\n{' ' * below}{joined}\n{' ' * indent}{closing}"

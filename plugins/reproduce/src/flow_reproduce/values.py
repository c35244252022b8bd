"""Compares the values of artifacts whose bytes differ: equal values may be stored in other bytes.

Strings in a set, for example, have another order in each process. A value is read in the Python that
made it: ``python -m flow_reproduce.values`` is what runs in the environment of a step.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from flow_core.api import (
    ArtifactRef,
    FlowError,
    RunDocument,
    Session,
    Settings,
    python_command,
)
from flow_reproduce.compare import BY_VALUE, DIFFERENT, UNKNOWN, Difference, Pair

_MOST = 500_000_000
"""Bytes that are read for all comparisons together."""
_DEEPEST = 100

Verdict = tuple[str, str]
"""What was found, and why nothing was."""


def judge(
    session: Session, old: RunDocument, new: RunDocument, found: Iterable[Difference]
) -> None:
    """Set the verdicts of differences, as far as both values can be read.

    Args:
        session: reads the store of both runs.
        old, new: the runs.
        found: what differs.
    """
    left, differences = _MOST, [*found]
    known: dict[tuple[str, str], Verdict] = {}
    by_step: dict[str, list[Pair]] = {}
    for difference in differences:
        for hashes, pair in difference.pairs.items():
            if hashes in known:  # it was read where it was made
                continue
            size = sum(ref.size for ref in (pair.old, pair.new) if ref is not None)
            if None in pair[:2]:
                known[hashes] = (DIFFERENT, "")
            elif size > left:
                known[hashes] = (UNKNOWN, f"too large to be read: {size / 1e6:,.0f} MB")
            else:
                left -= size
                known[hashes] = (UNKNOWN, "")
                by_step.setdefault(difference.step, []).append(pair)
    for step, pairs in by_step.items():
        verdicts = _of_step(session, old, new, step, pairs)
        known.update(zip((pair.hashes for pair in pairs), verdicts, strict=True))
    for difference in differences:
        difference.verdict, difference.reason = _worst(known[h] for h in difference.pairs)


def _worst(verdicts: Iterable[Verdict]) -> Verdict:
    order = (BY_VALUE, UNKNOWN, DIFFERENT)
    return max(verdicts, key=lambda verdict: order.index(verdict[0]))


def _of_step(
    session: Session, old: RunDocument, new: RunDocument, step: str, pairs: Sequence[Pair]
) -> Sequence[Verdict]:
    locks = [document.environments.get(step, {}).get("lock") for document in (old, new)]
    if locks[0] != locks[1]:
        names = " and ".join(document.environment_name(step) for document in (old, new))
        unread = (UNKNOWN, f"it was made in two environments: {names}")
        return [(DIFFERENT, "") if _plainly_differs(pair) else unread for pair in pairs]
    if locks[0] is None:
        return [_compare(session, pair.old, pair.new) for pair in pairs]
    try:
        return _in_environment(session, new, step, pairs)
    except FlowError as error:
        why = f"{error.what}: {error.why}" if error.why else error.what
        return [(UNKNOWN, why)] * len(pairs)


def _plainly_differs(pair: Pair) -> bool:
    """Whether nothing needs to be read: the types differ, or plain values lie beside each other."""
    old, new = pair.old, pair.new
    if old is None or new is None or old.type != new.type:
        return True
    plain = all(ref.inline and ref.serializer == "json" for ref in (old, new))
    return plain and old.value != new.value


def _in_environment(
    session: Session, document: RunDocument, step: str, pairs: Sequence[Pair]
) -> list[Verdict]:
    python = session.environments.of_run(document, step)
    command = python_command(
        python.interpreter or sys.executable, "flow_reproduce.values", python.runtime
    )
    order = {"datastore": session.store_text(), "pairs": [(p.old, p.new) for p in pairs]}
    done = subprocess.run(
        command,
        input=json.dumps(order),
        env={**session.settings.script_environment(), **python.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = done.stderr.strip().rpartition("\n")[2]
        raise FlowError(
            f"the values of step '{step}' cannot be read in {document.environment_name(step)}",
            why=last or f"exit status {done.returncode}",
        )
    answers = json.loads(done.stdout.rpartition("\n")[2])
    return [(verdict, reason) for verdict, reason in answers]


def main() -> int:
    """Compare the pairs of the order on standard input; write the verdicts as the last line."""
    order = json.load(sys.stdin)
    settings = Settings()
    settings.override("datastore", order["datastore"], "launcher")
    with Session(settings=settings) as session:
        verdicts = [
            _compare(session, ArtifactRef(*old), ArtifactRef(*new)) for old, new in order["pairs"]
        ]
    sys.stdout.write("\n" + json.dumps(verdicts))
    return 0


def _compare(session: Session, old: ArtifactRef | None, new: ArtifactRef | None) -> Verdict:
    if old is None or new is None:
        return DIFFERENT, ""
    try:
        one, two = (session.artifacts.load(ref, "the value") for ref in (old, new))
        return (BY_VALUE if same(one, two) else DIFFERENT), ""
    except Exception as error:  # of classes that are not here, or whose comparison fails
        why = error.why or error.what if isinstance(error, FlowError) else str(error)
        return UNKNOWN, f"{type(error).__name__}: {why}" if why else type(error).__name__


# --- values -------------------------------------------------------------------------------------


def same(one: Any, two: Any, depth: int = 0) -> bool:
    """Whether two values mean the same: of equal types, with equal content.

    Raises:
        TypeError: their class does not say what is equal.
    """
    if type(one) is not type(two):
        if _name(one) == _name(two):
            raise TypeError(f"the code of its class {_name(one)} differs")
        return False
    if depth > _DEEPEST:
        raise TypeError("it is nested too deeply")
    if one is two:
        return True
    if isinstance(one, float):
        return one == two or (math.isnan(one) and math.isnan(two))
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[k], two[k], depth + 1) for k in one)
    if isinstance(one, (list, tuple)):
        pairs = zip(one, two, strict=False)
        return len(one) == len(two) and all(same(a, b, depth + 1) for a, b in pairs)
    kind = type(one).__module__.partition(".")[0]
    if kind == "numpy" and hasattr(one, "dtype"):
        return _same_arrays(one, two)
    if callable(getattr(one, "equals", None)):  # frames and tables
        return bool(one.equals(two)) and _same_types(one, two)
    if not _says_what_is_equal(type(one)):
        return _same_objects(one, two, depth)
    answer = one == two
    if isinstance(answer, bool):
        return answer
    raise TypeError(f"whether two {type(one).__qualname__} are equal is no yes or no")


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _says_what_is_equal(kind: Any) -> bool:
    return kind.__eq__ is not object.__eq__


def _same_arrays(one: Any, two: Any) -> bool:
    import numpy as np

    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    if one.dtype == object:
        return all(same(a, b) for a, b in zip(one.flat, two.flat, strict=True))
    return bool(np.array_equal(one, two, equal_nan=one.dtype.kind in "fcmM"))


def _same_types(one: Any, two: Any) -> bool:
    """Frames that are equal may have other types of columns, or other names of rows."""
    facts = [
        tuple(str(getattr(frame, name, "")) for name in ("dtypes", "columns", "index", "schema"))
        for frame in (one, two)
    ]
    return facts[0] == facts[1]


def _same_objects(one: Any, two: Any, depth: int) -> bool:
    """Compare objects of a class that does not say what is equal, by what pickle keeps of them."""
    parts = [value.__reduce_ex__(4) for value in (one, two)]
    if not all(isinstance(part, tuple) for part in parts):
        return bool(parts[0] == parts[1])
    old, new = ([*_flat(part)] for part in parts)
    return len(old) == len(new) and all(
        a is b if callable(a) else same(a, b, depth + 1) for a, b in zip(old, new, strict=True)
    )


def _flat(reduced: Sequence[Any]) -> Iterator[Any]:
    for part in reduced:
        # The items of lists and dicts come as iterators.
        yield [*part] if hasattr(part, "__next__") else part


if __name__ == "__main__":
    sys.exit(main())

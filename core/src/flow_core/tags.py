"""The user's tags of a run, changed after its start: numbered revisions in the store, then the index.

The store is the truth: a change has happened when its `TagRevision` lies there. It is created, never
overwritten, so of two who change at the same time one comes second, sees the other's change and
adds its own to it. The index follows, and can be made anew from the revisions.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from flow_core.errors import NotFound, UsageError
from flow_core.records import TagRevision, tags_prefix

if TYPE_CHECKING:
    from flow_core.interfaces import Metadata, Store

MOST_TAGS = 50
"""How many tags of the user a run may carry."""
LONGEST_TAG = 500
"""How many characters a tag may have."""


def change_tags(
    metadata: Metadata,
    store: Store,
    flow: str,
    run: str,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> tuple[str, ...]:
    """Change the user's tags of a run, in the store and in the index; return them, sorted.

    Changes of others at the same time are kept. A tag in both ``add`` and ``remove`` is there
    afterwards. Tags that flow-core gave are left as they are: adding one changes nothing.

    Args:
        metadata: the index, which knows the run.
        store: where the run lies.
        flow, run: the run.
        add, remove: the changes.

    Raises:
        UsageError: a tag is empty or too long, there would be too many, or one is to be removed
            that flow-core gave. Nothing is changed.
        NotFound: the index knows no such run.

    Since 0.1.
    """
    found = metadata.run(flow, run)
    if found is None:
        raise NotFound(f"There is no run '{flow}/{run}'", where=metadata.url)
    _check_removable(remove, found.system_tags, found.pathspec)
    add = [tag for tag in add if tag not in found.system_tags]
    check_tags(add)
    latest = _write(metadata, store, flow, run, set(add), set(remove))
    while True:
        _bring_to_index(metadata, latest)
        newest = _latest(store, flow, run)
        if newest is None or newest.number <= latest.number:
            return latest.tags
        latest = newest  # another one's change reached the store, and maybe the index before ours


def stored_tags(store: Store, flow: str, run: str) -> tuple[str, ...] | None:
    """Return the user's tags of a run after the last change; None when there was no change.

    For providers of metadata, that rebuild an index.

    Raises:
        IntegrityError: the last revision is damaged.

    Since 0.1.
    """
    latest = _latest(store, flow, run)
    return latest.tags if latest is not None else None


def check_tags(new: Iterable[str], all_tags: Iterable[str] | None = None) -> None:
    """Raise `UsageError` when a tag, or the number of tags, is beyond the limits.

    Args:
        new: the tags to check one by one.
        all_tags: those that there will be; None = ``new``.

    Since 0.1.
    """
    new = list(new)
    for tag in new:
        if not 1 <= len(tag) <= LONGEST_TAG:
            raise UsageError(
                f"A tag has 1 to {LONGEST_TAG} characters, not {len(tag)}",
                where=f"tag {tag[:40]!r}",
                why="tags are for finding runs, not for keeping data",
                hint="shorten it, or keep the text as an artifact",
            )
    count = len(set(new if all_tags is None else all_tags))
    if count > MOST_TAGS:
        raise UsageError(
            f"A run carries at most {MOST_TAGS} tags, not {count}",
            why="each further tag makes finding runs slower for everybody",
            hint="remove tags that nobody looks for",
        )


def _check_removable(remove: Iterable[str], system_tags: Sequence[str], pathspec: str) -> None:
    for tag in remove:
        if tag in system_tags:
            raise UsageError(
                f"The tag '{tag}' cannot be removed",
                where=f"run {pathspec}",
                why="flow-core gave it: it says how the run came to be",
                hint="tags that can be changed: run.user_tags",
            )


def _write(
    metadata: Metadata, store: Store, flow: str, run: str, add: set[str], remove: set[str]
) -> TagRevision:
    """Write the next revision, on top of whatever others have written until then."""
    while True:
        latest = _latest(store, flow, run)
        if latest is None:
            found = metadata.run(flow, run)
            latest = TagRevision(flow, run, 0, found.tags if found else (), 0.0)
        new = (set(latest.tags) - remove) | add
        check_tags((), new)
        if new == set(latest.tags):
            return latest
        number = latest.number + 1
        if not store.capabilities.create_only:
            number = max(number, time.time_ns() // 1000)  # unlikely to clash with another's
        revision = TagRevision(flow, run, number, tuple(sorted(new)), time.time())
        if store.write([(revision.key, revision.encode())], create_only=True)[0]:
            store.write([(revision.mark, b"")])
            if latest.number:
                store.delete([latest.mark])
            return revision


def _latest(store: Store, flow: str, run: str) -> TagRevision | None:
    prefix = tags_prefix(flow, run)
    numbers = [int(name) for name in store.folders(prefix) if name.isdigit()]
    if not numbers:
        return None
    key = f"{prefix}{max(numbers)}"
    raw = next(iter(store.read([key])))
    return TagRevision.decode(raw, key) if raw is not None else None


def _bring_to_index(metadata: Metadata, revision: TagRevision) -> None:
    found = metadata.run(revision.flow, revision.run)
    had = set(found.tags) if found is not None else set()
    wanted = set(revision.tags)
    if had != wanted:
        metadata.change_tags(
            revision.flow, revision.run, add=sorted(wanted - had), remove=sorted(had - wanted)
        )

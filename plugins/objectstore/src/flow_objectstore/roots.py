"""What a store of any service is made of: settings of its own, a root of bucket and prefix, and the
program that reads it where there is nothing but Python."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from flow_core.api import Settings, UsageError, check_key


def own_settings(
    declare: Callable[[Settings], object],
    prefix: str,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the values of a plugin's settings, by name.

    Args:
        declare: declares them.
        prefix: how their names begin: ``s3_``.
        environment: variables; None = those of this process.
    """
    found = Settings(environment)
    declare(found)
    names = (one.name for one in found.declared())
    return {name: found[name] for name in names if name.startswith(prefix)}


_OF_OURS = re.compile(
    r"^from (?:__future__|flow_objectstore\.fetching) import (?:\([^)]*\)|.*)\n", re.MULTILINE
)


def fetch_source(package: str) -> str:
    """Return the program that reads objects with nothing but Python: `Bootstrap.source`.

    Args:
        package: whose module ``fetch`` it is; what that imports from `flow_objectstore.fetching`
            stands in front of it.
    """
    from importlib.resources import files

    shared = files("flow_objectstore").joinpath("fetching.py").read_text(encoding="utf-8")
    own = files(package).joinpath("fetch.py").read_text(encoding="utf-8")
    return f"{shared}\n\n{_OF_OURS.sub('', own)}"


def split_root(root: str, schemes: tuple[str, ...], bucket: str) -> tuple[str, str]:
    """``gs://bucket/some/prefix/`` → ``("bucket", "some/prefix/")``.

    Args:
        root: with or without a scheme.
        schemes: names of the store; settings are called by the first one.
        bucket: what the service calls a bucket.

    Raises:
        UsageError: no bucket is named, credentials are, or the prefix can be none.
    """
    bare = root
    for scheme in schemes:
        bare = bare.removeprefix(f"{scheme}://")
    name, _, prefix = bare.rstrip("/").partition("/")
    if not name:
        store = schemes[0]
        url = f"{store}://{bucket}/prefix"
        raise UsageError(
            f"The store '{store}' needs a {bucket}",
            where=f"--datastore {store}",
            why=f"neither the URL nor the setting {store}_root names one",
            hint=f"--datastore {url}, or set it once: FLOW_{store.upper()}_ROOT={url}",
        )
    if "@" in name or (":" in name and "@" in prefix):
        # Not repeated here: it may be a secret, which may have a '/' in it.
        rest = bare.rpartition("@")[2]
        raise UsageError(
            "The URL of a store has a name or a password in it",
            where=f"{schemes[0]}://***@{rest}",
            why="it is recorded with each run; credentials are found as the service's own tools find them",
            hint=f"take it out: {schemes[0]}://{rest}",
        )
    if prefix:
        check_key(prefix)
    return name, f"{prefix}/" if prefix else ""

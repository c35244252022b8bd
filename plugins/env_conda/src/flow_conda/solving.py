"""Which packages an environment has: in the process of `flow_conda.worker`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rattler
from rattler import (
    Channel,
    Gateway,
    GatewayQueryResult,
    MatchSpec,
    RepoDataRecord,
    SourceConfig,
    Subdir,
)
from rattler.exceptions import GatewayError, InvalidMatchSpecError, SolverError
from rattler.networking.fetch_repo_data import CacheAction

from flow_conda import trouble
from flow_conda.archives import public_url
from flow_conda.platforms import marker_variables, virtual_packages
from flow_conda.required import applying, check_python_version, conda_spec
from flow_core.api import NoEnvironment

_KEPT = (
    *("name", "version", "build", "build_number", "subdir", "noarch", "depends", "constrains"),
    *("sha256", "md5", "size", "license", "python_site_packages_path", "fn", "url", "channel"),
)
"""What a lock says of a package. When it was built and indexed may change; it does not count."""
T = TypeVar("T")


async def solve(job: Mapping[str, Any]) -> dict[str, Any]:
    """Find the packages for what is asked.

    Args:
        job: ``specs`` and ``required`` (texts of conda and of pip), ``channels``, ``platform``
            (that of the channels), ``offline``, and ``cache``, a folder.

    Returns:
        ``packages``, and ``left``: what of ``required`` is to come from elsewhere.

    Raises:
        NoEnvironment: nothing fits.
    """
    search = _Search(job)
    specs = list(job["specs"])
    records = await search.solve(specs)
    python = next(str(r.version) for r in records if r.name.normalized == "python")
    check_python_version(python)
    variables = marker_variables(python, job["platform"])
    here, left = await search.offered(job["required"], variables)
    if here:
        try:
            records = await search.solve([*specs, *here.values()])
        except NoEnvironment:
            records, more = await _one_by_one(search, specs, records, here)
            left += more
    packages = [locked(record) for record in sorted(records, key=lambda r: r.name.normalized)]
    return {"packages": packages, "left": sorted(left)}


async def _one_by_one(
    search: _Search, specs: list[str], records: list[RepoDataRecord], here: Mapping[str, str]
) -> tuple[list[RepoDataRecord], list[str]]:
    """Take of what flow-core requires as much from the channels as fits what the step asks for."""
    left = []
    for requirement, spec in here.items():
        try:
            records = await search.solve([*specs, spec])
            specs.append(spec)
        except NoEnvironment:
            left.append(requirement)
    return records, left


class _Search:
    """The channels, and the solver.

    Args:
        job: see `solve`.
    """

    def __init__(self, job: Mapping[str, Any]) -> None:
        self._job = job
        self._channels = [Channel(name) for name in job["channels"]]
        self._platforms = [Subdir(job["platform"]), Subdir("noarch")]
        self._virtual = virtual_packages(job["platform"])
        self._gateway = self._gateway_with(
            "force-cache-only" if job["offline"] else "cache-or-fetch"
        )

    def _gateway_with(self, action: CacheAction) -> Gateway:
        folder = Path(self._job["cache"], "repodata")
        return Gateway(cache_dir=folder, default_config=SourceConfig(cache_action=action))

    async def _ask(self, question: Callable[[Gateway], Awaitable[T]]) -> T:
        """Ask the channels; without what is cached where rattler does not understand their answer.

        A server that says "not modified", but not what was not, is taken for one in trouble.
        """
        try:
            return await question(self._gateway)
        except GatewayError as error:
            if "304 Not Modified" not in str(error):
                raise
            self._gateway = self._gateway_with("no-cache")
            return await question(self._gateway)

    async def solve(self, specs: Sequence[str]) -> list[RepoDataRecord]:
        """Return the packages that fit all of ``specs``."""
        wanted = [self._spec(text) for text in specs]
        try:
            return await self._ask(
                lambda gateway: rattler.solve(
                    self._channels,
                    wanted,
                    gateway=gateway,
                    platforms=self._platforms,
                    virtual_packages=self._virtual,
                )
            )
        except GatewayError as error:
            raise await self._unreachable(str(error)) from None
        except SolverError as error:
            raise await self._explained(str(error), [str(spec) for spec in wanted]) from None

    def _spec(self, text: str) -> MatchSpec:
        try:
            return MatchSpec(text)
        except InvalidMatchSpecError as error:
            raise NoEnvironment(
                f"'{text}' is no package for conda",
                where=trouble.PROVIDER,
                why=str(error),
                hint="'pandas', 'pandas 2.2.*', 'pandas >=2,<3', or 'conda-forge::pandas 2.2.*'",
            ) from None

    async def offered(
        self, required: Collection[str], variables: Mapping[str, str]
    ) -> tuple[dict[str, str], list[str]]:
        """Return what of ``required`` the channels have, and what not.

        A package counts if it has the same name, a version that fits, and is one of Python.
        """
        here: dict[str, str] = {}
        left: list[str] = []
        for _, text in applying(required, variables):
            spec = conda_spec(text)
            if spec is not None and await self._has_python_package(spec):
                here[text] = spec
            else:
                left.append(text)
        return here, left

    async def _has_python_package(self, text: str) -> bool:
        try:
            spec = MatchSpec(text)
        except InvalidMatchSpecError:
            return False  # of versions as pip has them, not all are known to conda
        return any(
            spec.matches(record)
            and any(d.split()[0] in ("python", "python_abi") for d in record.depends)
            for record in await self._records(spec)
        )

    async def _records(self, spec: MatchSpec) -> list[RepoDataRecord]:
        found = await self._query(self._channels, spec)
        return [record for records in found for record in records]

    async def _query(self, channels: Sequence[Channel], spec: MatchSpec) -> GatewayQueryResult:
        return await self._ask(
            lambda gateway: gateway.query(channels, self._platforms, [spec], recursive=False)
        )

    async def _explained(self, text: str, specs: Sequence[str]) -> NoEnvironment:
        lacking = trouble.lacking(text)
        shown = [public_url(channel) for channel in self._job["channels"]]
        if lacking is None:
            return trouble.no_solution(text, specs, self._job["platform"])
        records = await self._records(MatchSpec(lacking))
        versions = [str(v) for v in sorted({record.version for record in records})]
        names: list[str] = []
        if not versions:
            every = await self._ask(lambda g: g.names(self._channels, self._platforms))
            names = [name.normalized for name in every]
        wanted = next((s for s in specs if s.rpartition("::")[2].split()[0] == lacking), lacking)
        return trouble.no_such_package(lacking, wanted, versions, names, shown)

    async def _unreachable(self, why: str) -> NoEnvironment:
        """Find out which channel it is, asking each of them alone."""
        for name, channel in zip(self._job["channels"], self._channels, strict=True):
            try:
                await self._query([channel], MatchSpec("python"))
            except GatewayError as error:
                shown = public_url(name)
                if self._job["offline"]:
                    return trouble.not_known_offline(shown)
                return trouble.unreachable(shown, _hidden(str(error), name))
        return trouble.failed(why)


def locked(record: RepoDataRecord) -> dict[str, Any]:
    """Return what a lock says of a package."""
    data = json.loads(record.to_json())
    found = {key: data[key] for key in _KEPT if data.get(key) is not None}
    found["url"], found["channel"] = public_url(data["url"]), public_url(data["channel"])
    if "sha256" not in found:
        raise trouble.no_hash(found["name"], found["url"])
    return found


def _hidden(text: str, channel: str) -> str:
    """Return an error's text without what is secret in the URL of a channel."""
    secret = Channel(channel).base_url.rstrip("/")
    return text.replace(secret, public_url(secret))

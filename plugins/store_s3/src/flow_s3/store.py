"""The store ``s3``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_core.api import Bootstrap, StoreError
from flow_objectstore.faults import Fault
from flow_objectstore.library import load_store
from flow_objectstore.roots import fetch_source, split_root
from flow_objectstore.store import ObjectStore
from flow_s3.checks import check_bucket
from flow_s3.place import find_place

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from flow_core.api import Attributes


class S3Store(ObjectStore):
    """Objects in a bucket of S3, or of a service that speaks its language.

    Args:
        root: bucket and prefix, ``bucket/prefix``; None = the setting ``s3_root``.
        settings: values of settings by name, for those that are not to be looked up.

    Attributes:
        bucket: name of the bucket.
        place: endpoint, region and credentials in use.

    Since 0.1.
    """

    lists_by_itself = True

    def __init__(
        self, root: str | None = None, *, settings: Mapping[str, Any] | None = None
    ) -> None:
        self.place = find_place(settings)
        self.bucket, prefix = split_root(root or self.place.settings["s3_root"], ("s3",), "bucket")
        check_bucket(self.bucket)
        url = f"s3://{self.bucket}/{prefix}".rstrip("/")
        super().__init__(url, prefix, patience=self.place.settings["s3_retry_time"])
        if not self._lacks_credentials():
            self.get_ready()  # now: a server of tasks makes a store before it forks them

    def make_client(self, large: bool) -> Any:
        """Return an obstore client of the bucket."""
        place = self.place
        if self._lacks_credentials():
            raise self.explain(Fault("no-credentials"), "Cannot use the store", self.url)
        return load_store("S3Store")(self.bucket, **place.client_arguments(self.bucket, large))

    def upload(
        self,
        key: str,
        parts: Iterator[bytes],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write a large object from its parts, of which each is repeated by itself."""
        from flow_s3.multipart import upload  # most tasks have no such objects

        return upload(self, key, parts, create_only, attributes)

    def pages(self, folder: str, last: str | None) -> Iterator[Sequence[Any]]:
        """Yield pages of objects behind ``last``, without those of which no key can be one's own."""
        from flow_s3.listing import pages  # few buckets have such objects

        return pages(self, folder, last)

    def level(self, prefix: str) -> Any:
        """Return what is directly below a prefix, without such objects."""
        from flow_s3.listing import level

        return level(self, prefix)

    def _lacks_credentials(self) -> bool:
        return self.place.provider is None and not self.place.settings["s3_anonymous"]

    def get_credentials(self) -> None:
        """Ask whoever gives credentials: a program may have to ask a person."""
        if self.place.provider is not None:
            self.place.provider.keys()

    def explain(self, fault: Fault, what: str, where: str) -> StoreError:
        """Return the error for a person, in the words of S3."""
        from flow_s3.faults import explained  # most runs need none

        return explained(fault, what, where, self.place, self.bucket)

    def bootstrap(self) -> Bootstrap:
        """Return how a bare Python reads objects, with the credentials that it finds there."""
        config = {"prefix": self.base, **self.place.fetch_config(self.bucket)}
        settings = {"s3_region": self.place.region}
        if self.place.endpoint:
            settings["s3_endpoint_url"] = self.place.endpoint
        return Bootstrap(fetch_source("flow_s3"), config, settings)

    @property
    def identity(self) -> str:
        """What tells this store from those of other services with a bucket of this name."""
        return f"{self.url} at {self.place.endpoint}" if self.place.endpoint else self.url

"""Where buckets are, and how they are used: settings, variables and profiles, put together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple

from flow_objectstore.roots import own_settings
from flow_s3.certificates import read_bundle
from flow_s3.checks import check_endpoint, check_named, check_region
from flow_s3.credentials import Finder, Provider
from flow_s3.profiles import Profiles
from flow_s3.settings import declare

_REGION = "us-east-1"
_CERTIFICATES = 16 << 10
"""Bytes of CA certificates, at most, that a task on another machine is told."""


class Place(NamedTuple):
    """What a client needs to know.

    Attributes:
        settings: those of this plugin, by name.
        endpoint: URL of the service; None = AWS.
        region: of the bucket.
        ca_bundle: file of certificates, or None.
        provider: gives credentials; None = there are none, or none are wanted.
    """

    settings: Mapping[str, Any]
    endpoint: str | None
    region: str
    ca_bundle: str | None
    provider: Provider | None

    @property
    def address(self) -> str:
        """The service, for people."""
        return self.endpoint or f"AWS, region {self.region}"

    def client_arguments(self, bucket: str, large: bool) -> dict[str, Any]:
        """Return the arguments of obstore's class for ``bucket``; see `ObjectStore.make_client`."""
        seconds = max(self.settings["s3_retry_time"], 0.001)
        arguments: dict[str, Any] = {
            "config": self._config(bucket),
            "client_options": self._options(large),
            "retry_config": {
                "max_retries": 10 if large else 0,
                "retry_timeout": timedelta(seconds=seconds),
            },
        }
        if self.provider is not None and self.provider.fixed is None:
            arguments["credential_provider"] = self.provider
        return arguments

    def _config(self, bucket: str) -> dict[str, Any]:
        settings = self.settings
        config: dict[str, Any] = {
            "region": self.region,
            "virtual_hosted_style_request": not self._in_path(bucket),
            "conditional_put": "etag",
        }
        if self.provider is not None and self.provider.fixed is not None:
            keys = self.provider.fixed
            config |= {"access_key_id": keys.key, "secret_access_key": keys.secret}
            if keys.token:
                config["session_token"] = keys.token
        if self.endpoint:
            config["aws_endpoint_url_s3"] = config["endpoint"] = self._url(bucket)
        if settings["s3_checksum"] != "none":
            config["checksum_algorithm"] = settings["s3_checksum"]
        if settings["s3_encryption"]:
            config["server_side_encryption"] = settings["s3_encryption"]
        if settings["s3_kms_key"]:
            config["sse_kms_key_id"] = settings["s3_kms_key"]
        if settings["s3_requester_pays"]:
            config["request_payer"] = True
        if settings["s3_anonymous"]:
            config["skip_signature"] = True
        return config

    def _in_path(self, bucket: str) -> bool:
        style = self.settings["s3_path_style"]
        # A certificate for *.s3.amazonaws.com holds for no name with a further dot.
        return bool(style == "always" or (style == "auto" and (self.endpoint or "." in bucket)))

    def url_of(self, bucket: str) -> str:
        """Return the URL below which objects of a bucket lie."""
        base = self._url(bucket)
        return f"{base}/{bucket}" if self._in_path(bucket) else base

    def object_headers(self) -> dict[str, str]:
        """Return the headers that say how the service keeps a new object."""
        settings, headers = self.settings, {}
        if settings["s3_encryption"]:
            headers["x-amz-server-side-encryption"] = settings["s3_encryption"]
        if settings["s3_kms_key"]:
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = settings["s3_kms_key"]
        if settings["s3_checksum"] == "sha256":
            headers["x-amz-checksum-algorithm"] = "SHA256"
        return headers

    def fetch_config(self, bucket: str) -> dict[str, Any]:
        """Return what `flow_s3.fetch` needs to know: no secrets, and only what is not as usual."""
        settings = self.settings
        found = {
            "bucket": bucket,
            "region": self.region,
            "endpoint": self.endpoint,
            "path_style": self._in_path(bucket),
            "anonymous": settings["s3_anonymous"],
            "requester_pays": settings["s3_requester_pays"],
            "profile": settings["s3_profile"],
            "role": settings["s3_role"],
            "patience": settings["s3_retry_time"],
        }
        if not settings["s3_verify"]:
            found["verify"] = False
        elif self.ca_bundle:
            certificates = read_bundle(self.ca_bundle).decode("ascii", "ignore")
            # All that an authority certifies is too much to pass on: the other machine has its own.
            if len(certificates) <= _CERTIFICATES:
                found["ca"] = certificates
        return {name: value for name, value in found.items() if value is not None and value != ""}

    def _url(self, bucket: str) -> str:
        base = self.endpoint or f"https://s3.{self.region}.{_domain(self.region)}"
        if self._in_path(bucket):
            return base
        scheme, _, host = base.partition("://")
        return f"{scheme}://{bucket}.{host}"

    def _options(self, large: bool) -> dict[str, Any]:
        options: dict[str, Any] = {
            "allow_http": bool(self.endpoint and self.endpoint.startswith("http://")),
            "connect_timeout": timedelta(seconds=3),
            "read_timeout": timedelta(seconds=120 if large else 20),
            "timeout": timedelta(seconds=300),
            "user_agent": "flow-s3",
        }
        if not self.settings["s3_verify"]:
            options["allow_invalid_certificates"] = True
        elif self.ca_bundle:
            options["root_certificate"] = read_bundle(self.ca_bundle)
        return options


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"


def find_place(
    given: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Place:
    """Return what settings, variables and profiles say.

    Args:
        given: values of settings that are not to be looked up.
        environment: variables; None = those of this process.
    """
    variables = os.environ if environment is None else environment
    settings = {**own_settings(declare, "s3_", environment), **(given or {})}
    profiles = Profiles(variables)
    named = settings["s3_profile"] or variables.get("AWS_PROFILE")
    profile = profiles.get(named or "default", needed=bool(named))
    region = (
        settings["s3_region"]
        or variables.get("AWS_REGION")
        or variables.get("AWS_DEFAULT_REGION")
        or profile.get("region")
        or _REGION
    )
    endpoint = settings["s3_endpoint_url"] or profiles.endpoint("s3", profile, variables)
    check_region(region)
    if endpoint:
        check_endpoint(endpoint)
        if settings["s3_path_style"] == "never":
            check_named(endpoint)
    ca_bundle = (
        settings["s3_ca_bundle"] or variables.get("AWS_CA_BUNDLE") or profile.get("ca_bundle")
    )
    source = None
    if not settings["s3_anonymous"]:
        finder = Finder(profiles, variables, region, ca_bundle)
        chosen = bool(settings["s3_profile"])
        source = finder.find(profile, role=settings["s3_role"], chosen=chosen)
    return Place(
        settings,
        endpoint.rstrip("/") if endpoint else None,
        region,
        ca_bundle,
        Provider(source) if source else None,
    )

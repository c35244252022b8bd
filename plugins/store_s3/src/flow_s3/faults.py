"""What a person is told when S3 refuses, or cannot be reached."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flow_core.api import StoreError
from flow_objectstore.faults import KINDS

if TYPE_CHECKING:
    from flow_objectstore.faults import Fault
    from flow_s3.place import Place

_WHO = "aws sts get-caller-identity"
_ADDRESS = "check the address: AWS_ENDPOINT_URL_S3, or the setting s3_endpoint_url"
_LATER = "try again; it was repeated for {seconds:g} s (setting s3_retry_time)"

# kind → (why, hint)
_KNOWN = {
    "no-bucket": (
        "there is no bucket '{bucket}' there",
        "check its name: aws s3 ls; or make it: aws s3 mb s3://{bucket}",
    ),
    "bad-key": ("the service does not know the access key{source}", "check the key: " + _WHO),
    "bad-secret": (
        "the secret key does not belong to the access key{source}",
        "check AWS_SECRET_ACCESS_KEY, or the profile",
    ),
    "expired": (
        "the credentials have expired{source}",
        "get new ones: aws sso login, or export AWS_SESSION_TOKEN anew",
    ),
    "denied": (
        "these credentials may not do this{source}",
        "ask for the right in the policy of bucket '{bucket}'; who you are: " + _WHO,
    ),
    "no-credentials": (
        "there are no credentials: neither variables, nor a profile, nor a role of this machine",
        "export AWS_PROFILE=name, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    ),
    "wrong-region": (
        "the bucket is in {right}, not in {region}",
        "export AWS_REGION={name}",
    ),
    "refused": ("nothing listens at {address}", "start the service, or " + _ADDRESS),
    "unknown-host": ("there is no host '{host}'", _ADDRESS),
    "no-answer": ("{address} does not answer", "check network and proxy, or " + _ADDRESS),
    "tls": (
        "no secure connection to {address}: {text}",
        "name its CA certificates: AWS_CA_BUNDLE=file.pem; or http:// in the endpoint's URL",
    ),
    "no-http": (
        "what listens at {address} does not answer in HTTP",
        "is it http:// or https://, and the right port? " + _ADDRESS,
    ),
    "clock": ("this machine's clock is wrong", "set it: sudo timedatectl set-ntp true"),
    "slow-down": ("the service is asked too much", _LATER),
    "server": ("the service fails: {text}", _LATER),
    "timeout": ("the service did not answer in time", _LATER),
    "reset": ("the connection was lost", _LATER),
    "truncated": ("less arrived than was announced: {text}", _LATER),
    "damaged": ("what arrived is not what was sent: {text}", _LATER),
    "full": ("the service has no space left", "free space there, or raise your quota"),
    "encryption": (
        "the service cannot encrypt as asked: {text}",
        "check the settings s3_encryption and s3_kms_key",
    ),
    "key": ("S3 takes no such key: {text}", "use a shorter name: at most 1024 bytes"),
    "missing": ("there is no such place: {text}; is {address} a service of S3?", _ADDRESS),
    "settings": ("these settings make no client: {text}", _ADDRESS),
    "unsupported": (
        "the service cannot do what flows need: {text}",
        "flow store check s3://{bucket} tells what it can; " + _ADDRESS,
    ),
    "foreign": ("an object there has a key that no store takes: {text}", "use another prefix"),
    "too-large": ("the object is larger than the service takes", "split it"),
}


def explained(fault: Fault, what: str, where: str, place: Place, bucket: str) -> StoreError:
    """Return the error for a person.

    Args:
        fault: what went wrong.
        what: what failed, one sentence.
        where: the object, or the store.
        place: how the service is used.
        bucket: name of the bucket.
    """
    provider = place.provider
    if provider is not None and provider.error is not None and fault.kind == "no-credentials":
        own = provider.error
        return StoreError(
            what, where=own.where or where, why=f"{own.what}: {own.why}", hint=own.hint
        )
    said = fault.text or fault.code or (f"HTTP status {fault.status}" if fault.status else "")
    unknown = (f"{KINDS[fault.kind]}: {said}" if said else KINDS[fault.kind], _ADDRESS)
    why, hint = _KNOWN.get(fault.kind, unknown)
    right = _right_region(fault, place, bucket) if fault.kind == "wrong-region" else ""
    source = provider.source if provider is not None else ""
    words = {
        "bucket": bucket,
        "address": place.address,
        "host": urlsplit(place.endpoint).hostname if place.endpoint else place.address,
        "region": place.region,
        "right": right or "another region",
        "name": right or "REGION",
        "text": said or "no reason given",
        "seconds": place.settings["s3_retry_time"],
        "source": f" (from {source})" if source else "",
    }
    if fault.kind in _KNOWN:
        why, hint = why.format(**words), hint.format(**words)
    return StoreError(what, where=f"{where}, at {place.address}", why=why, hint=hint)


def _right_region(fault: Fault, place: Place, bucket: str) -> str:
    """Return the region of a bucket, out of the answer or by one more question; or ``""``."""
    found = re.search(r"<Region>([\w-]+)</Region>|expecting '([\w-]+)'", fault.body)
    if found:
        return found[1] or found[2]
    from http.client import HTTPConnection, HTTPException, HTTPSConnection

    url = urlsplit(place.endpoint or f"https://s3.{place.region}.amazonaws.com")
    kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=2)
    try:
        # Who asks without credentials is refused, and told the region all the same.
        connection.request("HEAD", f"/{bucket}")
        return connection.getresponse().getheader("x-amz-bucket-region") or ""
    except (OSError, HTTPException):
        return ""  # the error says that it is another one
    finally:
        connection.close()

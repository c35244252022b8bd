"""What a person wrote down wrong, told before the client sees it: it would panic.

Pasted credentials end in a line break, and addresses lack their ``http://``: these are the usual ways
in which a service is not reached at all.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flow_core.api import UsageError

_ADDRESS = "write it so: AWS_ENDPOINT_URL_S3=http://127.0.0.1:9000, or the setting s3_endpoint_url"


def check_endpoint(url: str) -> None:
    """Raise `UsageError` unless ``url`` can be the address of a service."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _wrong_address(url, str(error)) from None
    if "@" in parts.netloc:
        # Not repeated here: it may be a password.
        raise UsageError(
            "The address of the S3 service has a name or a password in it",
            where=f"{parts.scheme}://***@{parts.netloc.rpartition('@')[2]}",
            why="credentials are not written into addresses",
            hint="export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and take it out",
        )
    if parts.scheme not in ("http", "https"):
        raise _wrong_address(url, "it begins neither with http:// nor with https://")
    if not host or not _is_plain(url):
        raise _wrong_address(url, "no host stands in it, or a character that no URL has")
    if parts.query or parts.fragment:
        raise _wrong_address(url, "it has a '?' or a '#', where only host and port are wanted")


def check_named(url: str) -> None:
    """Raise `UsageError` for a service without a name, before which none of a bucket can stand."""
    from ipaddress import ip_address  # few choose the style themselves

    host = urlsplit(url).hostname or ""
    try:
        ip_address(host)
    except ValueError:
        return
    raise UsageError(
        f"No bucket can be a part of the host {host}",
        where=url,
        why="it is a number, and s3_path_style is 'never'",
        hint="s3_path_style = 'always', or an endpoint with a name",
    )


def check_region(region: str) -> None:
    """Raise `UsageError` unless ``region`` can be the name of one."""
    if not region.isascii() or not all(sign.isalnum() or sign in "-_" for sign in region):
        raise UsageError(
            f"{region!r} cannot be a region",
            where="AWS_REGION, AWS_DEFAULT_REGION, the profile, or the setting s3_region",
            why="a region's name has letters, digits and '-' only",
            hint="AWS_REGION=us-east-1",
        )


def check_bucket(bucket: str) -> None:
    """Raise `UsageError` unless ``bucket`` can be the name of one."""
    if not bucket.isascii() or not all(sign.isalnum() or sign in "-_." for sign in bucket):
        raise UsageError(
            f"{bucket!r} cannot be the name of a bucket",
            where=f"s3://{bucket}",
            why="such a name has letters, digits, '-' and '.' only",
            hint="check its name: aws s3 ls",
        )


def check_keys(key: str, secret: str, token: str | None, source: str) -> None:
    """Raise `UsageError` for credentials that no request can carry. They are not shown.

    Args:
        key, secret, token: the credentials.
        source: where they come from, for people.
    """
    parts = {"access key": key, "secret key": secret, "session token": token or "-"}
    for name, value in parts.items():
        if not _is_plain(value):
            raise UsageError(
                f"The {name} is no {name}",
                where=source,
                why="a space, a line break, or another character is in it that none has",
                hint="copy it again, without what stands around it",
            )


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _wrong_address(url: str, why: str) -> UsageError:
    return UsageError(
        f"{url!r} cannot be the address of an S3 service", where=url, why=why, hint=_ADDRESS
    )

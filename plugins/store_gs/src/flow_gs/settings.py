"""What can be set, and what the variables and files of Google's tools say."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.api import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_core.api import Settings

_PLAIN = frozenset(("service_account", "authorized_user"))
"""Kinds of credentials that the client reads itself."""


class Access(NamedTuple):
    """How the service is reached.

    Attributes:
        config: the client's configuration.
        headers: of each request.
        library: file with credentials of a kind that needs Google's own library, or ``""``.
    """

    config: dict[str, Any]
    headers: dict[str, str]
    library: str = ""


def declare(settings: Settings) -> None:
    """Declare the settings of this plugin."""
    add = settings.declare
    add("gs_root", "", "Where --datastore gs keeps runs: gs://bucket/prefix.")
    add("gs_credentials", "", "File with credentials; empty = as Google's tools find them.")
    add("gs_billing_project", "", "Project that pays for requests, where the requester does.")
    add("gs_endpoint_url", "", "URL of the service; an emulator: STORAGE_EMULATOR_HOST.")
    add("gs_retry_time", 60.0, "Seconds for one request with its repetitions.", minimum=0)


def access(settings: Mapping[str, Any], environment: Mapping[str, str]) -> Access:
    """Return how the service is reached: as settings say first, then variables, then files.

    A machine in Google's cloud, for which nothing is found here, has an identity of its own: the
    client asks for it.

    Raises:
        UsageError: a file that is named cannot be read, or is none of credentials.
    """
    payer = settings["gs_billing_project"] or environment.get("GOOGLE_CLOUD_QUOTA_PROJECT")
    headers = {"x-goog-user-project": payer} if payer else {}
    emulator = environment.get("STORAGE_EMULATOR_HOST", "")
    if emulator and not settings["gs_endpoint_url"]:
        url = emulator if "://" in emulator else f"http://{emulator}"
        return Access({"service_account_key": _nobody_at(url.rstrip("/"))}, headers)
    config: dict[str, Any] = {}
    if settings["gs_endpoint_url"]:
        config["base_url"] = settings["gs_endpoint_url"].rstrip("/")
    path, source = _file(settings, environment)
    if not path:
        return Access(config, headers)
    kind = _kind(path, source)
    if kind not in _PLAIN:
        return Access(config, headers, path)
    name = "service_account" if kind == "service_account" else "application_credentials"
    return Access(config | {name: path}, headers)


def _nobody_at(url: str) -> str:
    """Return credentials that are none: without any the client asks its machine, for writes."""
    keys = ("client_email", "private_key", "private_key_id")
    return json.dumps({"gcs_base_url": url, "disable_oauth": True} | dict.fromkeys(keys, ""))


def _file(settings: Mapping[str, Any], environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the file with credentials, and who names it; ``""`` when there is none."""
    if settings["gs_credentials"]:
        return os.path.expanduser(settings["gs_credentials"]), "the setting gs_credentials"
    variable = "GOOGLE_APPLICATION_CREDENTIALS"
    if environment.get(variable):
        return os.path.expanduser(environment[variable]), f"the variable {variable}"
    home = environment.get("HOME") or os.path.expanduser("~")
    folder = environment.get("CLOUDSDK_CONFIG") or os.path.join(home, ".config", "gcloud")
    path = os.path.join(folder, "application_default_credentials.json")
    return (path, "gcloud auth application-default login") if os.path.exists(path) else ("", "")


def _kind(path: str, source: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return str(json.load(file)["type"])
    except OSError as error:
        why = error.strerror or str(error)
    except (ValueError, KeyError, TypeError):
        why = "it is no JSON file with credentials of Google's, which have a 'type'"
    raise UsageError(
        f"The credentials in '{path}' cannot be read",
        where=source,
        why=why,
        hint="gcloud auth application-default login, or export "
        "GOOGLE_APPLICATION_CREDENTIALS=/path/to/service-account.json",
    )

"""What can be set, and what the variables of the Azure tools say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flow_core.api import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flow_core.api import Settings

_EMULATOR = {
    # Known to all: the emulators' own, see the documentation of Azurite.
    "AccountName": "devstoreaccount1",
    "AccountKey": (
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}
_PARTS = {
    "AccountName": "account_name",
    "AccountKey": "account_key",
    "SharedAccessSignature": "sas_key",
    "BlobEndpoint": "endpoint",
}
_VARIABLES = {
    "account_name": ("AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"),
    "account_key": ("AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"),
    "sas_key": ("AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"),
    "endpoint": ("AZURE_STORAGE_BLOB_ENDPOINT", "AZURE_STORAGE_ENDPOINT"),
}


def declare(settings: Settings) -> None:
    """Declare the settings of this plugin."""
    add = settings.declare
    add("azure_root", "", "Where --datastore azure keeps runs: azure://container/prefix.")
    add("azure_account", "", "Storage account; empty = as the Azure tools find it.")
    add("azure_endpoint_url", "", "URL of the account on another service than Azure's, or Azurite.")
    add("azure_retry_time", 60.0, "Seconds for one request with its repetitions.", minimum=0)


def client_config(settings: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the client's configuration: of settings first, then the string, then single variables.

    What is not here (service principal, workload identity, managed identity, ``az login`` with
    ``AZURE_USE_AZURE_CLI=true``) the client finds in the environment itself.
    """
    config: dict[str, Any] = {}
    for name, variables in _VARIABLES.items():
        value = next((environment[v] for v in variables if environment.get(v)), None)
        if value:
            config[name] = value
    config |= _from_string(environment.get("AZURE_STORAGE_CONNECTION_STRING", ""))
    if settings["azure_account"]:
        config["account_name"] = settings["azure_account"]
    if settings["azure_endpoint_url"]:
        config["endpoint"] = settings["azure_endpoint_url"]
    if "account_name" not in config:
        raise UsageError(
            "The store 'azure' needs a storage account",
            where="settings of the store 'azure'",
            why="neither the setting azure_account nor a variable of the Azure tools names one",
            hint="FLOW_AZURE_ACCOUNT=myaccount, AZURE_STORAGE_ACCOUNT=myaccount, or "
            "AZURE_STORAGE_CONNECTION_STRING=…",
        )
    return config


def _from_string(text: str) -> dict[str, Any]:
    """``AccountName=a;AccountKey=b;…`` → the client's names."""
    if not text:
        return {}
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    parts = {name.strip(): value.strip() for name, _, value in pairs}
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        parts = {**_EMULATOR, **parts}
    config = {ours: parts[name] for name, ours in _PARTS.items() if parts.get(name)}
    suffix = parts.get("EndpointSuffix")
    if suffix and "endpoint" not in config and "account_name" in config:
        protocol = parts.get("DefaultEndpointsProtocol", "https")
        config["endpoint"] = f"{protocol}://{config['account_name']}.blob.{suffix}"
    if not config:
        raise UsageError(
            "The connection string names no account",
            where="the variable AZURE_STORAGE_CONNECTION_STRING",
            why="it has none of AccountName, AccountKey, SharedAccessSignature, BlobEndpoint",
            hint="copy it from the portal: Storage account → Access keys → Connection string",
        )
    return config

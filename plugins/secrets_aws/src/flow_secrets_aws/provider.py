"""The provider ``aws-secrets-manager``."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import boto3  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

from flow_core.api import NotFound, UsageError
from flow_secrets_aws.options import OPTIONS, declare

if TYPE_CHECKING:
    from flow_core.api import SecretSource, Settings

_SEPARATORS = str.maketrans("-./", "___")


class AwsSecretsManager:
    """``"aws-secrets-manager.NAME"``, or the ARN instead of the name.

    A secret that is a JSON object gives a variable for each of its keys; with the option
    ``json=False`` a secret is one variable, named by ``env_var_name`` or after the secret. A binary
    secret is one variable too, as base64. Further options: ``region``, ``version_id``,
    ``version_stage``. The role is the ARN of one to assume.
    """

    def __init__(self, settings: Settings) -> None:
        declare(settings)
        self._region = settings["secrets_aws_region"] or None
        self._role = settings["secrets_aws_role"] or None
        self._clients: dict[tuple[str | None, str | None], Any] = {}

    def fetch(self, source: SecretSource) -> Mapping[str, str]:
        """Return the variables of the secret.

        Raises:
            NotFound: there is no such secret.
            UsageError: it is not what the options say.
            ClientError: AWS refuses, for whatever reason.
        """
        source.check_options(OPTIONS)
        answer = self._ask(source)
        name = source.options.get("env_var_name") or _variable(answer["Name"])
        if "SecretString" not in answer:
            return {name: base64.b64encode(answer["SecretBinary"]).decode("ascii")}
        text: str = answer["SecretString"]
        if not source.options.get("json", True):
            return {name: text}
        return _variables(text)

    def _ask(self, source: SecretSource) -> Mapping[str, Any]:
        options = source.options
        version = {
            "VersionId": options.get("version_id"),
            "VersionStage": options.get("version_stage"),
        }
        chosen = {name: value for name, value in version.items() if value}
        region = _region_of(source.id) or options.get("region") or self._region
        try:
            client = self._client(region, source.role or self._role)
            answer: Mapping[str, Any] = client.get_secret_value(SecretId=source.id, **chosen)
        except ClientError as error:
            raise _explained(error, region) or error from None
        except BotoCoreError as error:
            raise UsageError(str(error), hint=_hint(error)) from None
        return answer

    def _client(self, region: str | None, role: str | None) -> Any:
        if (region, role) not in self._clients:
            session = boto3.Session(region_name=region)
            if role:
                session = _assumed(session, role, region)
            self._clients[region, role] = session.client("secretsmanager")
        return self._clients[region, role]


def _assumed(session: Any, role: str, region: str | None) -> Any:
    answer = session.client("sts").assume_role(RoleArn=role, RoleSessionName="flow-secrets")
    keys = answer["Credentials"]
    return boto3.Session(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        region_name=region or session.region_name,
    )


def _region_of(secret: str) -> str | None:
    """``arn:aws:secretsmanager:REGION:…`` → REGION."""
    parts = secret.split(":")
    return parts[3] or None if parts[0] == "arn" and len(parts) > 3 else None


def _variables(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
    except ValueError:
        raise UsageError("it is not JSON", hint="options={'json': False}") from None
    if not isinstance(found, dict):
        kind = type(found).__name__
        raise UsageError(f"it is a JSON {kind}, not an object", hint="options={'json': False}")
    variables: dict[str, str] = {}
    for key, value in found.items():
        name = _variable(key)
        if name in variables:
            raise UsageError(
                f"two of its keys become the variable '{name}'",
                why="'-', '.' and '/' become '_'",
                hint="rename one of them, or options={'json': False}",
            )
        variables[name] = json.dumps(value) if isinstance(value, (dict, list)) else str(value)
    return variables


def _variable(key: str) -> str:
    return key.translate(_SEPARATORS)


def _explained(error: ClientError, region: str | None) -> NotFound | None:
    details = error.response.get("Error", {})
    if details.get("Code") != "ResourceNotFoundException":
        return None
    return NotFound(
        "there is no such secret" + (f" in region {region}" if region else ""),
        why=details.get("Message"),
        hint="check its name and region: aws secretsmanager list-secrets",
    )


def _hint(error: BotoCoreError) -> str | None:
    hints = {
        "NoRegionError": "options={'region': 'eu-central-1'}, or set FLOW_SECRETS_AWS_REGION",
        "NoCredentialsError": "aws configure, or set AWS_PROFILE",
    }
    return hints.get(type(error).__name__)

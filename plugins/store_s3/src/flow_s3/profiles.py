"""The files of the AWS tools: ``~/.aws/config`` and ``~/.aws/credentials``."""

from __future__ import annotations

import os
from collections.abc import Mapping

from flow_core.api import UsageError, did_you_mean


class Profile(dict[str, str]):
    """What the files say of one profile, by the names of the AWS tools.

    Attributes:
        name: of the profile.
        known: whether a file has it.
    """

    def __init__(self, name: str, values: Mapping[str, str], known: bool) -> None:
        super().__init__(values)
        self.name = name
        self.known = known


class Profiles:
    """All profiles of a person.

    Args:
        environment: variables of the process.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        home = environment.get("HOME") or os.path.expanduser("~")
        self.config = _path(environment.get("AWS_CONFIG_FILE"), home, "config")
        self.credentials = _path(
            environment.get("AWS_SHARED_CREDENTIALS_FILE"), home, "credentials"
        )
        self._config = _read(self.config)
        self._credentials = _read(self.credentials)

    def get(self, name: str, *, needed: bool) -> Profile:
        """Return a profile; an empty one where no file has it, unless it is ``needed``."""
        section = "default" if name == "default" else f"profile {name}"
        values = {**self._config.get(section, {}), **self._credentials.get(name, {})}
        known = section in self._config or name in self._credentials
        if needed and not known:
            names = {section.removeprefix("profile ") for section in self._config}
            raise UsageError(
                f"There is no AWS profile '{name}'",
                where=f"{self.config}, {self.credentials}",
                hint=did_you_mean(name, names | set(self._credentials))
                or f"make it: aws configure --profile {name}",
            )
        return Profile(name, values, known)

    def endpoint(
        self, service: str, profile: Profile | None, environment: Mapping[str, str]
    ) -> str | None:
        """Return the URL that variables or a profile name for a service, or for all services.

        Args:
            service: ``s3``, ``sts``.
            profile: the one in use, or None.
            environment: variables of the process.
        """
        if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
            return None
        said: Mapping[str, str] = profile or {}
        services = self._config.get(f"services {said.get('services', '')}", {})
        return (
            environment.get(f"AWS_ENDPOINT_URL_{service.upper()}")
            or environment.get("AWS_ENDPOINT_URL")
            or _nested(services.get(service, "")).get("endpoint_url")
            or said.get("endpoint_url")
        )

    def session(self, name: str) -> Mapping[str, str]:
        """Return the section ``[sso-session NAME]``."""
        return self._config.get(f"sso-session {name}", {})


def _path(given: str | None, home: str, name: str) -> str:
    if not given:
        return os.path.join(home, ".aws", name)
    return home + given[1:] if given.startswith("~/") else given


def _read(path: str) -> dict[str, dict[str, str]]:
    if not os.path.isfile(path):
        return {}
    import configparser

    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "A file of the AWS tools cannot be read",
            where=path,
            why=" ".join(str(error).split()),
            hint="put it right, or name another: AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE",
        ) from error
    return {section: dict(parser[section]) for section in parser.sections()}


def _nested(text: str) -> dict[str, str]:
    """``"\\nendpoint_url = x"`` → ``{"endpoint_url": "x"}``."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}

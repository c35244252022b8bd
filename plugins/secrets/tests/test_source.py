"""What may stand in ``sources``, and that what is secret in it is shown nowhere."""

import json

import pytest

from flow_core.api import DefinitionError, UsageError
from flow_secrets import SecretsOptions, SecretSource, secrets
from flow_secrets.source import parse_source, source_text

KNOWN = ["aws-secrets-manager", "env", "file", "inline"]


@pytest.mark.parametrize(
    ("given", "default", "expected"),
    [
        ("env.TOKEN", "", ("env", "TOKEN")),
        ("file.conf/prod.env", "", ("file", "conf/prod.env")),
        ("prod.database", "aws-secrets-manager", ("aws-secrets-manager", "prod.database")),
        ("database", "aws-secrets-manager", ("aws-secrets-manager", "database")),
        ("env.A", "file", ("env", "A")),
        ({"type": "env", "id": "A.B"}, "", ("env", "A.B")),
        ({"id": "A"}, "env", ("env", "A")),
        ({"type": "inline"}, "", ("inline", "")),
    ],
)
def test_forms(given, default, expected):
    assert parse_source(given, KNOWN, default)[:2] == expected


def test_the_role_of_a_source_comes_first():
    assert parse_source("env.A", KNOWN, "", "deco").role == "deco"
    assert parse_source({"type": "env", "id": "A", "role": "own"}, KNOWN, "", "deco").role == "own"


def test_without_a_provider():
    with pytest.raises(UsageError) as caught:
        parse_source("token", KNOWN, "")
    assert str(caught.value) == (
        "The secret 'token' names no provider, and there is no default one\n"
        "  why:   the setting 'secrets_default' is empty\n"
        "  try:   name it, as in 'env.token', or set FLOW_SECRETS_DEFAULT"
    )


@pytest.mark.parametrize(
    ("sources", "why"),
    [
        ([3], "it is of type int"),
        ([""], "it is empty"),
        ([{"typ": "env"}], "it has the key 'typ'; known are type, id, options, role"),
        ([{"type": 3}], "its 'type' is of type int, not str"),
        ([{"type": "env", "options": "hush"}], "its 'options' is of type str, not Mapping"),
        ([{"options": {}}], "it has neither a type nor an id"),
    ],
)
def test_what_is_no_source(sources, why):
    with pytest.raises(DefinitionError) as caught:
        secrets(sources=sources)
    assert caught.value.why == why
    assert "hush" not in str(caught.value)


def test_wrong_options():
    with pytest.raises(DefinitionError, match="@secrets has no sources"):
        secrets(sources=[])
    with pytest.raises(DefinitionError, match="must be a list, not of type dict"):
        secrets(sources={"type": "inline", "options": {"env_vars": {"A": "hush"}}})
    with pytest.raises(DefinitionError, match="needs the option 'sources'"):
        secrets()


def test_values_in_the_source_are_shown_nowhere():
    given = {"type": "inline", "id": "db", "options": {"env_vars": {"A": "hush-hush"}}}
    options = SecretsOptions([given])
    assert "hush" not in repr(options)
    assert "***" in repr(options)
    with pytest.raises(TypeError):
        json.dumps(options.sources)
    assert source_text(options.sources[0]) == "inline.db"
    source = parse_source(options.sources[0], KNOWN, "")
    assert source == SecretSource("inline", "db", {"env_vars": {"A": "hush-hush"}})
    assert "hush" not in f"{source!r} {source}"


@pytest.mark.parametrize(
    "options",
    [
        {"sources": "env.TOKEN"},
        {"sources": ["env.A", "file..env"], "role": "r", "allow_override": True},
        {"sources": [{"type": "aws-secrets-manager", "id": "a", "options": {"json": False}}]},
    ],
)
def test_the_text_form_reads_back(options):
    made = SecretsOptions(**options)
    assert secrets.parse(secrets.to_text(made).partition(":")[2]) == made


def test_one_source_as_json():
    assert secrets.parse('sources={"type": "env", "id": "A"}').sources == [
        {"type": "env", "id": "A"}
    ]
    with pytest.raises(UsageError, match="Option 'sources' is not JSON, though it begins like it"):
        secrets.parse('sources={"type"; "hush-hush"}')


def test_sources_as_text():
    assert secrets.parse("sources=env.A,file..env").sources == ["env.A", "file..env"]

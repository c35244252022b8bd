"""Against a server that answers as AWS does (moto), over HTTP."""

import base64
import json

import boto3
import pytest
from moto.server import ThreadedMotoServer

from flow_core.api import NotFound, SecretSource, Settings, UsageError
from flow_core.testing import SecretsCase, SecretsSuite
from flow_secrets import SecretsError, get_secret
from flow_secrets_aws.provider import AwsSecretsManager

TYPE = "aws-secrets-manager"
DATABASE = {"db-user": "ada", "db.password": "love1815", "port": 5432, "hosts": ["a", "b"]}


@pytest.fixture(scope="module")
def server():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def aws(server, monkeypatch, tmp_path):
    """Variables that lead to the server, and a client of it for each region."""
    variables = {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    boto3.client("sts", region_name="us-east-1")  # fails early where nothing is there
    import urllib.request

    urllib.request.urlopen(
        urllib.request.Request(f"{server}/moto-api/reset", method="POST")
    ).close()
    return lambda region="eu-central-1": boto3.client("secretsmanager", region_name=region)


def fetch(secret, *, role=None, **options):
    provider = AwsSecretsManager(Settings({"FLOW_SECRETS_AWS_REGION": "eu-central-1"}))
    return provider.fetch(SecretSource(TYPE, secret, options, role))


class TestConformance(SecretsSuite):
    @pytest.fixture
    def secrets(self, aws):
        aws().create_secret(Name="token", SecretString='{"TOKEN": "hunter22!"}')
        return SecretsCase(
            AwsSecretsManager(Settings({"FLOW_SECRETS_AWS_REGION": "eu-central-1"})),
            SecretSource(TYPE, "token"),
            {"TOKEN": "hunter22!"},
            SecretSource(TYPE, "tokn"),
        )


def test_keys_become_variables(aws):
    aws().create_secret(Name="db", SecretString=json.dumps(DATABASE))
    assert fetch("db") == {
        "db_user": "ada",
        "db_password": "love1815",
        "port": "5432",
        "hosts": '["a", "b"]',
    }


def test_a_text_as_it_is(aws):
    aws().create_secret(Name="prod/api-key", SecretString="hunter22!")
    assert fetch("prod/api-key", json=False) == {"prod_api_key": "hunter22!"}
    assert fetch("prod/api-key", json=False, env_var_name="KEY") == {"KEY": "hunter22!"}


def test_bytes_become_base64(aws):
    aws().create_secret(Name="blob", SecretBinary=b"\x00\xff\x80")
    assert fetch("blob") == {"blob": base64.b64encode(b"\x00\xff\x80").decode()}
    assert fetch("blob", env_var_name="B") == {"B": "AP+A"}


def test_versions(aws):
    first = aws().create_secret(Name="v", SecretString="one")["VersionId"]
    aws().put_secret_value(SecretId="v", SecretString="two")
    assert fetch("v", json=False) == {"v": "two"}
    assert fetch("v", json=False, version_id=first) == {"v": "one"}
    assert fetch("v", json=False, version_stage="AWSPREVIOUS") == {"v": "one"}


def test_the_region_of_an_arn_comes_first(aws):
    for region in ("eu-central-1", "us-west-2", "ap-south-1"):
        aws(region).create_secret(Name="where", SecretString=region)
    arn = aws("us-west-2").describe_secret(SecretId="where")["ARN"]
    assert fetch("where", json=False) == {"where": "eu-central-1"}
    assert fetch("where", json=False, region="ap-south-1") == {"where": "ap-south-1"}
    assert fetch(arn, json=False, region="ap-south-1") == {"where": "us-west-2"}


def test_a_role_is_assumed(aws, monkeypatch):
    """The keys of the role reach the service: they are others than ours."""
    from botocore.client import BaseClient

    aws().create_secret(Name="db", SecretString='{"A": "1"}')
    used = []
    call = BaseClient._make_api_call

    def watched(self, operation, parameters):
        used.append((operation, parameters.get("RoleArn"), self._get_credentials().access_key))
        return call(self, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", watched)
    arn = "arn:aws:iam::123456789012:role/reader"
    assert fetch("db", role=arn) == {"A": "1"}
    assert used[0] == ("AssumeRole", arn, "test")
    assert used[1][0] == "GetSecretValue"
    assert used[1][2] != "test"


@pytest.mark.parametrize(
    ("text", "what", "hint"),
    [
        ("hush", "it is not JSON", "options={'json': False}"),
        ('["hush"]', "it is a JSON list, not an object", "options={'json': False}"),
        (
            '{"a-b": "hush", "a.b": "hush"}',
            "two of its keys become the variable 'a_b'",
            "rename one of them, or options={'json': False}",
        ),
    ],
)
def test_what_cannot_become_variables(aws, text, what, hint):
    aws().create_secret(Name="x", SecretString=text)
    with pytest.raises(UsageError) as caught:
        fetch("x")
    assert (caught.value.what, caught.value.hint) == (what, hint)
    assert "hush" not in str(caught.value)


def test_what_is_not_there(aws):
    with pytest.raises(NotFound) as caught:
        fetch("none")
    assert caught.value.what == "there is no such secret in region eu-central-1"
    assert caught.value.hint == "check its name and region: aws secretsmanager list-secrets"


def test_get_secret_names_provider_and_source(aws, monkeypatch):
    monkeypatch.setenv("FLOW_SECRETS_DEFAULT", TYPE)
    with pytest.raises(SecretsError) as caught:
        get_secret("prod.database")
    assert str(caught.value) == (
        "The secret 'prod.database' could not be fetched by the provider 'aws-secrets-manager'\n"
        "  where: get_secret\n"
        "  why:   You must specify a region.\n"
        "  try:   options={'region': 'eu-central-1'}, or set FLOW_SECRETS_AWS_REGION"
    )


def test_a_flow(aws, flowtester):
    flowtester.more_plugins = ["secrets-aws"]
    aws().create_secret(Name="db", SecretString=json.dumps(DATABASE))
    file = flowtester.write("""
        import os
        from flow_core import FlowSpec, secrets, step

        class F(FlowSpec):
            @secrets(sources=["aws-secrets-manager.db"])
            @step
            def start(self):
                print(os.environ["db_password"])
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
    """)
    variables = {"FLOW_SECRETS_AWS_REGION": "eu-central-1"}
    done = flowtester.python(file, "run", variables=variables).check()
    assert "love1815" not in done.stdout + done.stderr
    assert flowtester.left().output("start") == "***\n"

"""Settings and credentials, as the AWS tools find them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from hashlib import sha1

import pytest

from flow_core.api import FlowError, StoreError, UsageError
from flow_s3.place import Place, find_place
from flow_s3.store import S3Store


@pytest.fixture
def place(tmp_path) -> Callable[..., Place]:
    """Give a function that returns the place of a person with these files and variables."""

    def of(config: str = "", credentials: str = "", settings=None, **variables: str) -> Place:
        folder = tmp_path / ".aws"
        folder.mkdir(exist_ok=True)
        (folder / "config").write_text(config)
        (folder / "credentials").write_text(credentials)
        return find_place(settings, {"HOME": str(tmp_path), **variables})

    return of


def keys(place: Place) -> tuple[str, str, str | None]:
    assert place.provider is not None
    found = place.provider()
    return found["access_key_id"], found["secret_access_key"], found["token"]


def test_nothing_is_said(place):
    found = place()
    assert (found.endpoint, found.region) == (None, "us-east-1")
    assert found.provider is not None, "the machine may have a role"
    assert place(AWS_EC2_METADATA_DISABLED="true").provider is None
    assert place(FLOW_S3_ANONYMOUS="true").provider is None


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_bucket_is_no_part_of_a_number(place, host):
    variables = {"AWS_ENDPOINT_URL": f"http://{host}:9000", "FLOW_S3_PATH_STYLE": "never"}
    with pytest.raises(UsageError, match="No bucket can be a part of the host") as caught:
        place(**variables)
    assert "s3_path_style = 'always'" in caught.value.hint
    named = place(**{**variables, "AWS_ENDPOINT_URL": "http://s3.example.com"})
    assert named.url_of("team") == "http://team.s3.example.com"


def test_variables_come_before_the_default_profile(place):
    variables = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B", "AWS_SESSION_TOKEN": "C"}
    credentials = "[default]\naws_access_key_id = D\naws_secret_access_key = E\n"
    assert keys(place("", credentials)) == ("D", "E", None)
    assert keys(place("", credentials, **variables)) == ("A", "B", "C")


def test_profiles(place):
    config = """
[default]
region = eu-west-1
[profile work]
region = eu-central-1
endpoint_url = https://all.example.com
services = mine
ca_bundle = /some/ca.pem
[services mine]
s3 =
  endpoint_url = https://s3.example.com/
  addressing_style = path
"""
    credentials = "[work]\naws_access_key_id = W\naws_secret_access_key = X\n"
    found = place(config, credentials, AWS_PROFILE="work")
    assert (found.region, found.endpoint) == ("eu-central-1", "https://s3.example.com")
    assert found.ca_bundle == "/some/ca.pem"
    assert keys(found) == ("W", "X", None)
    assert place(config, credentials).region == "eu-west-1"
    assert place(config, AWS_DEFAULT_REGION="us-west-2").region == "us-west-2"
    assert place(config, AWS_REGION="a", AWS_DEFAULT_REGION="b").region == "a"
    chosen = place(config, credentials, AWS_PROFILE="default", FLOW_S3_PROFILE="work")
    assert chosen.region == "eu-central-1"
    variables = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "B"}
    assert keys(place(config, credentials, FLOW_S3_PROFILE="work", **variables))[0] == "W"


def test_endpoints(place):
    both = {"AWS_ENDPOINT_URL_S3": "http://one:1", "AWS_ENDPOINT_URL": "http://two:2"}
    assert place(**both).endpoint == "http://one:1"
    assert place(AWS_ENDPOINT_URL="http://two:2").endpoint == "http://two:2"
    assert place(FLOW_S3_ENDPOINT_URL="http://three:3", **both).endpoint == "http://three:3"
    assert place(AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true", **both).endpoint is None


def test_profile_that_is_not_there(place):
    with pytest.raises(UsageError) as caught:
        place("[profile work]\nregion = x\n", AWS_PROFILE="wrok")
    assert caught.value.what == "There is no AWS profile 'wrok'"
    assert "work" in (caught.value.hint or "")


def test_file_that_is_no_configuration(place):
    with pytest.raises(UsageError, match="cannot be read") as caught:
        place("region = x\n")
    assert (caught.value.where or "").endswith(".aws/config")


def test_path_style(place):
    def style(bucket: str, **variables: str) -> tuple[bool, str | None]:
        config = place(**variables).client_arguments(bucket, False)["config"]
        return not config["virtual_hosted_style_request"], config.get("endpoint")

    assert style("plain") == (False, None)
    assert style("with.dots") == (True, None), "no certificate holds for it"
    url = {"AWS_ENDPOINT_URL": "https://host:9000"}
    assert style("plain", **url) == (True, "https://host:9000")
    never = style("plain", FLOW_S3_PATH_STYLE="never", **url)
    assert never == (False, "https://plain.host:9000")


def test_options_of_requests(place):
    found = place(
        FLOW_S3_ENCRYPTION="aws:kms",
        FLOW_S3_KMS_KEY="key-1",
        FLOW_S3_REQUESTER_PAYS="true",
        FLOW_S3_VERIFY="false",
        FLOW_S3_CHECKSUM="none",
    ).client_arguments("bucket", False)
    assert found["config"]["server_side_encryption"] == "aws:kms"
    assert found["config"]["sse_kms_key_id"] == "key-1"
    assert found["config"]["request_payer"] is True
    assert "checksum_algorithm" not in found["config"]
    assert found["client_options"]["allow_invalid_certificates"] is True


def test_credential_process(place, tmp_path):
    answer = {
        "Version": 1,
        "AccessKeyId": "P",
        "SecretAccessKey": "Q",
        "SessionToken": "R",
        "Expiration": "2030-01-02T03:04:05Z",
    }
    (tmp_path / "give.py").write_text(f"print({json.dumps(json.dumps(answer))})")
    command = f"{sys.executable} {tmp_path / 'give.py'}"
    found = place(f"[default]\ncredential_process = {command}\n")
    assert keys(found) == ("P", "Q", "R")
    assert found.provider()["expires_at"] == datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def test_credential_process_that_takes_its_time(tmp_path, bucket, monkeypatch):
    """The time for it is none of the service's."""
    answer = {"Version": 1, "AccessKeyId": bucket.key, "SecretAccessKey": bucket.secret}
    text = f"import time; time.sleep(0.7); print({json.dumps(json.dumps(answer))})"
    (tmp_path / "give.py").write_text(text)
    command = f"{sys.executable} {tmp_path / 'give.py'}"
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {command}\n")
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setattr("flow_objectstore.patience.FIRST_ANSWER", 0.6)
    assert S3Store(bucket.root).exists(["a"]) == [False]


def test_credential_process_that_fails(place, tmp_path, bucket, monkeypatch):
    (tmp_path / "give.py").write_text("raise SystemExit('log in first')")
    command = f"{sys.executable} {tmp_path / 'give.py'}"
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {command}\n")
    for name, value in bucket.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises(StoreError) as caught:
        S3Store(bucket.root).exists(["a"])
    assert "log in first" in (caught.value.why or "")
    assert caught.value.hint == f"run it by hand: {command}"


def test_role_is_assumed(place, moto_url):
    role = "arn:aws:iam::123456789012:role/writer"
    config = f"""
[profile base]
aws_access_key_id = AKIABASE
aws_secret_access_key = secret
[profile writer]
role_arn = {role}
source_profile = base
"""
    url = {"AWS_ENDPOINT_URL_STS": moto_url}
    found = place(config, AWS_PROFILE="writer", **url)
    key, _, token = keys(found)
    assert key != "AKIABASE"
    assert token
    assert found.provider.source == f"the role {role}"
    expires = found.provider()["expires_at"]
    assert timedelta(0) < expires - datetime.now(timezone.utc) < timedelta(hours=2)
    other = place(config, AWS_PROFILE="base", FLOW_S3_ROLE=role, **url)
    assert keys(other)[2], "the setting does the same"
    everywhere = place(config, AWS_PROFILE="writer", AWS_ENDPOINT_URL=moto_url)
    assert keys(everywhere)[2], "this variable is meant for all services"


def test_role_that_cannot_be_assumed(place):
    config = "[default]\nrole_arn = arn:x\nsource_profile = base\n"
    config += "[profile base]\naws_access_key_id = A\naws_secret_access_key = B\n"
    found = place(config, AWS_ENDPOINT_URL_STS="http://127.0.0.1:1")
    begun = time.monotonic()
    with pytest.raises(StoreError, match="Cannot assume the role arn:x"):
        found.provider()
    assert time.monotonic() - begun < 30
    with pytest.raises(UsageError, match="nothing to assume it with"):
        place("[default]\nrole_arn = arn:x\n")
    with pytest.raises(UsageError, match="asks for a second factor") as refused:
        place(config + "[profile two]\nrole_arn = arn:x\nmfa_serial = arn:y\n", AWS_PROFILE="two")
    assert "aws configure export-credentials --profile two" in (refused.value.hint or "")
    with pytest.raises(UsageError, match="no credentials with which to assume"):
        place(FLOW_S3_ROLE="arn:x", AWS_EC2_METADATA_DISABLED="true")


def test_sso(place, tmp_path):
    config = """
[default]
sso_session = team
sso_account_id = 1
sso_role_name = reader
[sso-session team]
sso_start_url = https://team.example.com/start
sso_region = eu-west-1
"""
    found = place(config, AWS_ENDPOINT_URL_SSO="http://127.0.0.1:1")
    with pytest.raises(StoreError, match="There is no SSO login") as caught:
        found.provider()
    assert caught.value.hint == "aws sso login --profile default"
    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    path = cache / f"{sha1(b'team').hexdigest()}.json"
    path.write_text('{"accessToken": "t", "expiresAt": "2020-01-01T00:00:00Z"}')
    with pytest.raises(StoreError) as caught:
        found.provider()
    assert caught.value.why == "the login has expired"
    path.write_text('{"accessToken": "t", "expiresAt": "2099-01-01T00:00:00Z"}')
    with pytest.raises(FlowError, match="Cannot get credentials of the profile 'default'"):
        found.provider()


def test_ca_bundle_that_is_none(place, tmp_path):
    found = place(AWS_CA_BUNDLE="/no/such/file.pem")
    with pytest.raises(StoreError, match="CA certificates cannot be read") as caught:
        found.client_arguments("bucket", False)
    assert caught.value.where == "/no/such/file.pem"
    (tmp_path / "empty.pem").write_text("")
    with pytest.raises(StoreError) as caught:
        place(AWS_CA_BUNDLE=str(tmp_path / "empty.pem")).client_arguments("bucket", False)
    assert caught.value.why == "it holds no certificates in PEM"

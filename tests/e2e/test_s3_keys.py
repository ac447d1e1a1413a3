"""Keys, policies, temporary keys, forms: `skerry s3`, managed by AWS's own clients, unchanged."""

import io
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import minio
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from minio.credentials import AssumeRoleProvider

from tests.e2e.test_s3 import ACCESS, BIG, SECRET, Store, code_of

Keys = tuple[str, ...]
ROOT: Keys = (ACCESS, SECRET)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = Store(tmp_path_factory.mktemp("keys"))
    made.start()
    yield made
    assert made.end() == 0


def client(store: Store, service: str, keys: Keys = ROOT, version: str | None = None) -> Any:
    make: Any = boto3.client  # pyright: ignore[reportUnknownMemberType]
    return make(
        service, endpoint_url=store.url, region_name="us-east-1", aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1], aws_session_token=keys[2] if len(keys) > 2 else None,
        config=Config(signature_version=version) if version else None,
    )  # fmt: skip


def policy(*actions: str, resource: str = "arn:aws:s3:::*", **more: object) -> str:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resource, **more}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def user(store: Store, name: str, *actions: str, resource: str = "arn:aws:s3:::*") -> Keys:
    """Make a user with a policy and a key."""
    iam = client(store, "iam")
    iam.create_user(UserName=name)
    document = policy(*actions, resource=resource)
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


def bucket(store: Store, name: str) -> str:
    client(store, "s3").create_bucket(Bucket=name)
    return name


def refused(call: Any, **named: object) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**named)
    return code_of(caught)


def test_boto3_manages_users_and_their_keys(store: Store) -> None:
    iam, keys = client(store, "iam"), user(store, "ann", "s3:ListAllMyBuckets")
    assert client(store, "s3", keys).list_buckets()["Owner"]["ID"] == "root"
    assert refused(client(store, "s3", keys).create_bucket, Bucket="x-1") == ("AccessDenied", 403)
    assert iam.get_user(UserName="ann")["User"]["Arn"].endswith(":user/ann")
    assert "ann" in [each["UserName"] for each in iam.list_users()["Users"]]
    (listed,) = iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]
    assert (listed["AccessKeyId"], listed["Status"]) == (keys[0], "Active")
    stored = iam.get_user_policy(UserName="ann", PolicyName="p")["PolicyDocument"]
    assert stored["Statement"][0]["Action"] == ["s3:ListAllMyBuckets"]
    assert refused(iam.create_user, UserName="ann") == ("EntityAlreadyExists", 409)
    iam.update_access_key(UserName="ann", AccessKeyId=keys[0], Status="Inactive")
    assert refused(client(store, "s3", keys).list_buckets) == ("InvalidAccessKeyId", 403)
    iam.delete_access_key(UserName="ann", AccessKeyId=keys[0])
    assert iam.list_user_policies(UserName="ann")["PolicyNames"] == ["p"]
    iam.delete_user_policy(UserName="ann", PolicyName="p")
    iam.delete_user(UserName="ann")
    assert refused(iam.get_user, UserName="ann") == ("NoSuchEntity", 404)


def test_the_aws_command_line_manages_users(store: Store) -> None:
    def aws(*words: str) -> Any:
        environment = {
            **os.environ, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_CONFIG_FILE": os.devnull,
        }  # fmt: skip
        done = subprocess.run(
            [str(Path(sys.executable).parent / "aws"), "--endpoint-url", store.url, *words],
            env=environment, capture_output=True, timeout=60, check=True,
        )  # fmt: skip
        return json.loads(done.stdout or b"{}")

    assert aws("iam", "create-user", "--user-name", "cli")["User"]["UserName"] == "cli"
    aws("iam", "put-user-policy", "--user-name", "cli", "--policy-name", "p", "--policy-document",
        policy("s3:*"))  # fmt: skip
    key = aws("iam", "create-access-key", "--user-name", "cli")["AccessKey"]
    client(store, "s3", (key["AccessKeyId"], key["SecretAccessKey"])).create_bucket(Bucket="by-cli")
    assert "cli" in [each["UserName"] for each in aws("iam", "list-users")["Users"]]
    role = aws("sts", "assume-role", "--role-arn", "arn:aws:iam::000000000000:role/any",
               "--role-session-name", "me")  # fmt: skip
    assert role["Credentials"]["AccessKeyId"].startswith("ASIA")
    assert aws("sts", "get-caller-identity")["Arn"] == "arn:aws:iam::000000000000:root"


def test_a_temporary_key_of_boto3_outlives_a_restart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.start()
    bucket(store, "temporary")
    sts = client(store, "sts", user(store, "bob", "s3:GetObject", "s3:PutObject"))
    made = sts.assume_role(
        RoleArn="arn:aws:iam::000000000000:role/any", RoleSessionName="job", DurationSeconds=900,
        Policy=policy("s3:GetObject", "s3:PutObject", resource="arn:aws:s3:::temporary/in/*"),
    )["Credentials"]  # fmt: skip
    keys = (made["AccessKeyId"], made["SecretAccessKey"], made["SessionToken"])
    client(store, "s3", keys).put_object(Bucket="temporary", Key="in/k", Body=b"x")
    assert store.end() == 0

    store.start()
    s3 = client(store, "s3", keys)
    assert s3.get_object(Bucket="temporary", Key="in/k")["Body"].read() == b"x"
    for version in ("s3", "s3v4"):
        signing = client(store, "s3", keys, version)
        url = signing.generate_presigned_url("get_object", {"Bucket": "temporary", "Key": "in/k"})
        with urllib.request.urlopen(url, timeout=20) as answer:
            assert answer.read() == b"x"
    named = {"Bucket": "temporary", "Key": "out", "Body": b"x"}
    assert refused(s3.put_object, **named) == ("AccessDenied", 403)
    assert store.end() == 0


def test_minios_client_assumes_a_role(store: Store) -> None:
    bucket(store, "by-minio")
    access, secret = user(store, "mio", "s3:*")
    provider = AssumeRoleProvider(
        sts_endpoint=store.url, access_key=access, secret_key=secret, duration_seconds=900,
        region="us-east-1", policy=policy("s3:PutObject"),
    )  # fmt: skip
    made = minio.Minio(
        f"127.0.0.1:{store.port}", credentials=provider, secure=False, region="us-east-1"
    )
    made.put_object("by-minio", "k", io.BytesIO(b"x"), 1)
    with pytest.raises(minio.error.S3Error, match="AccessDenied"):
        made.remove_object("by-minio", "k")


def test_a_buckets_policy_of_boto3(store: Store) -> None:
    name, s3 = bucket(store, "with-policy"), client(store, "s3")
    keys = user(store, "eve", "s3:None")
    document = policy("s3:GetObject", resource=f"arn:aws:s3:::{name}/*", Principal={"AWS": "eve"})
    s3.put_bucket_policy(Bucket=name, Policy=document)
    s3.put_object(Bucket=name, Key="k", Body=b"x")
    assert json.loads(s3.get_bucket_policy(Bucket=name)["Policy"]) == json.loads(document)
    assert not s3.get_bucket_policy_status(Bucket=name)["PolicyStatus"]["IsPublic"]
    eve = client(store, "s3", keys)
    assert eve.get_object(Bucket=name, Key="k")["Body"].read() == b"x"
    assert refused(eve.list_objects_v2, Bucket=name) == ("AccessDenied", 403)
    assert refused(s3.put_bucket_policy, Bucket=name, Policy="{}") == ("MalformedPolicy", 400)
    block = {"BlockPublicPolicy": True, "RestrictPublicBuckets": True}
    s3.put_public_access_block(Bucket=name, PublicAccessBlockConfiguration=block)
    public = policy("s3:GetObject", resource=f"arn:aws:s3:::{name}/*", Principal="*")
    assert refused(s3.put_bucket_policy, Bucket=name, Policy=public)[1] == 403
    s3.delete_bucket_policy(Bucket=name)
    assert refused(eve.get_object, Bucket=name, Key="k") == ("AccessDenied", 403)


@pytest.mark.parametrize("version", ["s3", "s3v4", None])
def test_presigned_urls_of_every_version(store: Store, version: str | None) -> None:
    s3 = client(store, "s3", version=version)
    name = bucket(store, f"urls-{version}".lower())
    named = {"Bucket": name, "Key": "a b/ü+c"}
    url = s3.generate_presigned_url("put_object", {**named, "ContentType": "text/x"})
    put = urllib.request.Request(url, b"hello", {"Content-Type": "text/x"}, method="PUT")
    with urllib.request.urlopen(put, timeout=20) as answer:
        assert answer.status == 200
    say = {"ResponseContentDisposition": 'attachment; filename="a b"'}
    url = s3.generate_presigned_url("get_object", {**named, **say})

    with urllib.request.urlopen(url, timeout=20) as answer:
        assert answer.read() == b"hello"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="a b"'
        assert answer.headers["Content-Type"] == "text/x"
    with pytest.raises(urllib.request.HTTPError) as caught:
        urllib.request.urlopen(url.replace("/a%20b/", "/other/"), timeout=20)
    caught.value.close()
    assert caught.value.code == 403


def test_a_client_that_signs_by_version_2(store: Store) -> None:
    s3, name = client(store, "s3", version="s3"), bucket(store, "by-version-2")
    s3.upload_fileobj(io.BytesIO(BIG), name, "big")
    s3.put_object(Bucket=name, Key="k", Body=b"x", Metadata={"a": "b"}, Tagging="c=d")

    assert s3.get_object(Bucket=name, Key="big")["Body"].read() == BIG
    assert s3.head_object(Bucket=name, Key="k")["Metadata"] == {"a": "b"}
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=name)["Contents"]] == ["big", "k"]
    s3.delete_objects(Bucket=name, Delete={"Objects": [{"Key": "k"}, {"Key": "big"}]})
    assert "Contents" not in s3.list_objects_v2(Bucket=name)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_a_form_that_boto3_signs(store: Store, version: str) -> None:
    name = bucket(store, f"form-{version}")
    s3 = client(store, "s3", user(store, f"poster-{version}", "s3:PutObject"), version)
    signed = s3.generate_presigned_post(
        name, "in/${filename}", Fields={"success_action_status": "201"},
        Conditions=[{"success_action_status": "201"}, ["content-length-range", 1, len(BIG)]],
    )  # fmt: skip
    parts = "".join(
        f'--xyz\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in signed["fields"].items()
    )
    file = '--xyz\r\nContent-Disposition: form-data; name="file"; filename="big"\r\n\r\n'
    body = (parts + file).encode() + BIG + b"\r\n--xyz--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=xyz"}

    sent = urllib.request.Request(signed["url"], body, kind)
    with urllib.request.urlopen(sent, timeout=20) as answer:
        assert answer.status == 201
    found = client(store, "s3").get_object(Bucket=name, Key="in/big")
    assert found["Body"].read() == BIG
    small = body.replace(b"in/", b"out/", 1).replace(BIG, b"x")
    sent = urllib.request.Request(signed["url"], small, kind)
    with pytest.raises(urllib.request.HTTPError) as caught:
        urllib.request.urlopen(sent, timeout=20)
    caught.value.close()
    assert caught.value.code == 403

"""State of Terraform and Pulumi in the store: a real Terraform, and what both send, replayed."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import urllib.parse
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.e2e.test_s3 import ACCESS, SECRET, Store, bucket, code_of, store

__all__ = ["bucket", "store"]

ROOT = Path(__file__).parents[2]


class Terraform:
    """A directory with a configuration, and the program that docs/terraform.md speaks of."""

    def __init__(self, folder: Path, store: Store, bucket: str) -> None:
        program = shutil.which("terraform") or shutil.which("tofu")
        if program is None:
            pytest.skip("neither terraform nor tofu is on this machine")
        self._program = program
        self._folder = folder
        # As the page says it, with this test's store.
        page = (ROOT / "docs" / "terraform.md").read_text()
        text = page.partition("```hcl\n")[2].partition("```")[0]
        text = text.replace("http://127.0.0.1:9000", store.url).replace('"tfstate"', f'"{bucket}"')
        folder.mkdir(exist_ok=True)
        (folder / "main.tf").write_text(
            text + 'variable "said" { default = "one" }\n'
            'resource "terraform_data" "it" { input = var.said }\n'
            'output "said" { value = terraform_data.it.output }\n'
        )

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
        environment = {
            **plain, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET,
            "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_INPUT": "0",
        }  # fmt: skip
        return subprocess.run(
            [self._program, *words, "-no-color"], cwd=self._folder, env=environment,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def ok(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout


@pytest.fixture
def terraform(tmp_path: Path, store: Store, bucket: str) -> Terraform:
    made = Terraform(tmp_path / "here", store, bucket)
    made.ok("init")
    return made


def test_terraform_keeps_its_state_in_the_store(
    terraform: Terraform, store: Store, bucket: str, tmp_path: Path
) -> None:
    terraform.ok("apply", "-auto-approve", "-var", "said=hello")
    other = Terraform(tmp_path / "there", store, bucket)
    other.ok("init")

    assert json.loads(other.ok("output", "-json"))["said"]["value"] == "hello"
    terraform.ok("workspace", "new", "staging")
    terraform.ok("apply", "-auto-approve")
    assert "staging" in other.ok("workspace", "list")
    keys = [each["Key"] for each in store.client().list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == ["env:/staging/site/terraform.tfstate", "site/terraform.tfstate"]
    terraform.ok("destroy", "-auto-approve")


def test_of_two_terraforms_one_waits_for_the_lock(
    terraform: Terraform, store: Store, bucket: str
) -> None:
    lock = "site/terraform.tfstate.tflock"
    terraform.ok("apply", "-auto-approve")
    held = {"ID": str(uuid.uuid4()), "Operation": "OperationTypeApply", "Who": "somebody"}
    store.client().put_object(
        Bucket=bucket, Key=lock, Body=json.dumps(held).encode(), IfNoneMatch="*"
    )

    refused = terraform.run("apply", "-auto-approve")

    assert refused.returncode == 1
    assert "state lock" in refused.stderr
    assert "somebody" in refused.stderr
    terraform.ok("force-unlock", "-force", held["ID"])
    terraform.ok("apply", "-auto-approve")


def sums(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def test_what_terraform_sends(store: Store, bucket: str) -> None:
    """The calls of 1.11's S3 backend with use_lockfile, in their order."""
    s3 = store.client()
    key, lock, state = (
        "env:/a/terraform.tfstate",
        "env:/a/terraform.tfstate.tflock",
        b'{"serial":1}',
    )
    assert s3.list_objects_v2(Bucket=bucket, MaxKeys=1000, Prefix="env:/")["KeyCount"] == 0
    with pytest.raises(ClientError) as caught:
        s3.head_object(Bucket=bucket, Key=key)
    assert code_of(caught) == ("404", 404)
    asked: dict[str, Any] = {
        "Bucket": bucket, "Key": lock, "Body": b"{}", "IfNoneMatch": "*",
        "ContentType": "application/json", "ChecksumSHA256": sums(b"{}"),
    }  # fmt: skip
    s3.put_object(**asked)
    with pytest.raises(ClientError) as caught:
        s3.put_object(**asked)
    assert code_of(caught) == ("PreconditionFailed", 412)
    s3.put_object(
        Bucket=bucket, Key=key, Body=state, ContentType="application/json",
        ChecksumAlgorithm="SHA256", ChecksumSHA256=sums(state),
    )  # fmt: skip
    found = s3.get_object(Bucket=bucket, Key=key, Range="bytes=0-5242879", ChecksumMode="ENABLED")
    assert found["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert (found["ContentRange"], found["Body"].read()) == ("bytes 0-11/12", state)
    assert s3.get_object(Bucket=bucket, Key=lock)["Body"].read() == b"{}"
    gone = s3.delete_object(Bucket=bucket, Key=lock)
    assert gone["ResponseMetadata"]["HTTPStatusCode"] == 204
    s3.put_object(**asked)
    listed = s3.list_objects_v2(Bucket=bucket, MaxKeys=1000, Prefix="env:/")["Contents"]
    assert [each["Key"] for each in listed] == [key, lock]


def encoded_whole(params: dict[str, Any], **_: object) -> None:
    """Send the source of a copy as gocloud does, with its slashes encoded too."""
    plain = params["headers"]["x-amz-copy-source"]
    params["headers"]["x-amz-copy-source"] = urllib.parse.quote(plain, safe="")


class Stack:
    """Pulumi's DIY backend: its calls, in its order (pkg/backend/diy, by gocloud)."""

    def __init__(self, s3: Any, bucket: str, name: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._name = name
        self.key = f".pulumi/stacks/{name}.json"
        self.folder = f".pulumi/locks/organization/{name}/"
        s3.meta.events.register("before-call.s3.CopyObject", encoded_whole)

    def locks(self) -> list[str]:
        page = self._s3.list_objects_v2(
            Bucket=self._bucket, Prefix=self.folder, Delimiter="/", MaxKeys=1000
        )
        return [each["Key"] for each in page.get("Contents", [])]

    def lock(self) -> str | None:
        """Take the lock, None if somebody else has it."""
        if self.locks():
            return None
        mine = f"{self.folder}{uuid.uuid4()}.json"
        self._s3.put_object(Bucket=self._bucket, Key=mine, Body=b"{}", ChecksumAlgorithm="CRC32")
        if self.locks() != [mine]:
            self.unlock(mine)
            return None
        return mine

    def unlock(self, lock: str) -> None:
        self._s3.delete_object(Bucket=self._bucket, Key=lock)

    def _is_there(self) -> bool:
        try:
            self._s3.head_object(Bucket=self._bucket, Key=self.key)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return False
        return True

    def save(self, checkpoint: bytes) -> None:
        """Write a checkpoint; the one before is copied aside, its source encoded whole."""
        if self._is_there():
            source = {"Bucket": self._bucket, "Key": self.key}
            self._s3.copy_object(Bucket=self._bucket, Key=f"{self.key}.bak", CopySource=source)
        self._s3.put_object(
            Bucket=self._bucket, Key=self.key, Body=checkpoint, ChecksumAlgorithm="CRC32"
        )


def test_what_pulumi_sends(store: Store, bucket: str) -> None:
    s3 = store.client()
    s3.put_object(Bucket=bucket, Key=".pulumi/meta.yaml", Body=b"version: 1\n")
    mine, theirs = (Stack(store.client(), bucket, "site/dev") for _ in range(2))
    held = mine.lock()
    assert held is not None
    assert theirs.lock() is None
    mine.save(b'{"n":1}')
    mine.save(b'{"n":2}')
    mine.unlock(held)

    assert theirs.lock() is not None
    kept = [s3.get_object(Bucket=bucket, Key=mine.key + end)["Body"].read() for end in ("", ".bak")]
    assert kept == [b'{"n":2}', b'{"n":1}']
    page = s3.list_objects_v2(Bucket=bucket, Prefix=".pulumi/stacks/", Delimiter="/", MaxKeys=1000)
    assert [each["Prefix"] for each in page["CommonPrefixes"]] == [".pulumi/stacks/site/"]

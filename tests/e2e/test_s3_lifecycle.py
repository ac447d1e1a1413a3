"""Lifecycle rules on `skerry s3`: boto3's own for days, a signed document for seconds."""

import time
import urllib.error
import urllib.request

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.e2e.test_s3 import ACCESS, SECRET, Store
from tests.e2e.test_s3 import bucket as bucket
from tests.e2e.test_s3 import store as store

RULES = """<LifecycleConfiguration>
<Rule><ID>now</ID><Status>Enabled</Status><Filter><Prefix>brief/</Prefix></Filter>
  <Expiration><Seconds>2</Seconds></Expiration></Rule>
<Rule><ID>last</ID><Status>Enabled</Status><Filter><Prefix>last/</Prefix></Filter>
  <NoncurrentVersionExpiration><NoncurrentSeconds>0</NoncurrentSeconds></NoncurrentVersionExpiration></Rule>
</LifecycleConfiguration>"""


def put_document(store: Store, path: str, document: str) -> None:
    """Put a document that boto3 does not know."""
    asked = AWSRequest("PUT", f"{store.url}/{path}", data=document.encode())
    S3SigV4Auth(Credentials(ACCESS, SECRET), "s3", "us-east-1").add_auth(asked)
    request = urllib.request.Request(
        asked.url, asked.data, dict(asked.headers.items()), method="PUT"
    )
    urllib.request.urlopen(request, timeout=20).close()


def test_rules_in_days_as_boto3_has_them(store: Store, bucket: str) -> None:
    s3 = store.client()
    given = [
        {
            "ID": "old", "Status": "Enabled", "Filter": {"Prefix": "logs/"},
            "Expiration": {"Days": 30},
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 3},
        },
        {
            "ID": "parts", "Status": "Disabled", "Filter": {"Prefix": ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
        },
    ]  # fmt: skip
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": given})

    assert s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"] == given
    s3.delete_bucket_lifecycle(Bucket=bucket)
    with pytest.raises(s3.exceptions.ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket=bucket)


def test_what_is_due_goes_by_itself_and_never_early(store: Store, bucket: str) -> None:
    s3 = store.client()
    put_document(store, f"{bucket}?lifecycle", RULES)
    began_s = time.monotonic()
    for key in ("brief/a", "other"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    while "Contents" in s3.list_objects_v2(Bucket=bucket, Prefix="brief/"):
        pass

    assert time.monotonic() - began_s > 1.9
    assert s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 1


def test_only_the_last_version_is_there_when_a_put_returns(store: Store, bucket: str) -> None:
    s3 = store.client()
    enabled = {"Status": "Enabled"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    put_document(store, f"{bucket}?lifecycle", RULES)
    for number in range(3):
        s3.put_object(Bucket=bucket, Key="last/k", Body=b"%d" % number)
        assert len(s3.list_object_versions(Bucket=bucket)["Versions"]) == 1
    assert s3.get_object(Bucket=bucket, Key="last/k")["Body"].read() == b"2"

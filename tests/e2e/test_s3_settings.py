"""What is set for a bucket of `skerry s3`, by boto3 and by plain HTTP."""

import datetime as dt

import pytest
from botocore.exceptions import ClientError

from tests.e2e.test_s3 import Store, bucket, code_of, store

__all__ = ["bucket", "store"]  # fixtures


def test_object_lock(store: Store, bucket: str) -> None:
    s3, name = store.client(), f"{bucket}-locked"
    s3.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    told = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=told)
    version = s3.put_object(Bucket=name, Key="k", Body=b"x")["VersionId"]
    named = {"Bucket": name, "Key": "k", "VersionId": version}
    until = s3.head_object(**named)["ObjectLockRetainUntilDate"] + dt.timedelta(days=1)

    assert s3.get_object_lock_configuration(Bucket=name)["ObjectLockConfiguration"] == told
    kept = {"Mode": "GOVERNANCE", "RetainUntilDate": until}
    s3.put_object_retention(**named, Retention=kept)
    assert s3.get_object_retention(**named)["Retention"] == kept
    s3.put_object_legal_hold(**named, LegalHold={"Status": "ON"})
    assert s3.get_object_legal_hold(**named)["LegalHold"] == {"Status": "ON"}
    for bypasses in (False, True):
        with pytest.raises(ClientError) as caught:
            s3.delete_object(**named, BypassGovernanceRetention=bypasses)
        assert code_of(caught) == ("AccessDenied", 403)
    s3.put_object_legal_hold(**named, LegalHold={"Status": "OFF"})
    s3.delete_object(**named, BypassGovernanceRetention=True)

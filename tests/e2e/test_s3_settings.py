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


def test_tags_of_a_bucket(store: Store, bucket: str) -> None:
    s3, tags = store.client(), [{"Key": "a", "Value": "b c"}, {"Key": "d", "Value": ""}]
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags})

    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags
    s3.delete_bucket_tagging(Bucket=bucket)
    with pytest.raises(ClientError) as caught:
        s3.get_bucket_tagging(Bucket=bucket)
    assert code_of(caught) == ("NoSuchTagSet", 404)


def test_parts_with_checksums(store: Store, bucket: str) -> None:
    s3, named = store.client(), {"Bucket": bucket, "Key": "k"}
    begun = s3.create_multipart_upload(**named, ChecksumAlgorithm="SHA256")
    upload = {**named, "UploadId": begun["UploadId"]}
    listed = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")["Uploads"]
    put = s3.upload_part(**upload, PartNumber=1, Body=b"x", ChecksumAlgorithm="SHA256")
    part = {"PartNumber": 1, "ETag": put["ETag"], "ChecksumSHA256": put["ChecksumSHA256"]}
    (told,) = s3.list_parts(**upload)["Parts"]
    s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]}, MpuObjectSize=1)
    known = s3.get_object_attributes(**named, ObjectAttributes=["ObjectParts", "Checksum"])

    assert listed[0]["ChecksumAlgorithm"] == "SHA256"
    assert (told["ChecksumSHA256"], told["Size"]) == (put["ChecksumSHA256"], 1)
    assert known["Checksum"]["ChecksumType"] == "COMPOSITE"
    assert known["ObjectParts"]["Parts"][0]["ChecksumSHA256"] == put["ChecksumSHA256"]
    assert known["ObjectParts"]["TotalPartsCount"] == 1

"""Signatures of version 2, against AWS's own examples and what may be added to a URL."""

import datetime as dt

import pytest

from skerry.base import SkerryError
from skerry.s3.signature import Asked
from skerry.s3.signature_v2 import check, claim_of, speaks

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW_S = int(dt.datetime(2007, 3, 27, 19, 36, 42, tzinfo=dt.UTC).timestamp())
DATE = "Tue, 27 Mar 2007 19:36:42 +0000"


def asked(
    signature: str, *query: tuple[str, str], method: str = "GET", date: str = DATE, **more: str
) -> Asked:
    headers = {"host": "x", "date": date, "authorization": f"AWS {KEY}:{signature}"}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    return Asked(method=method, path="/", query=query, headers=headers)


def refusal(
    request: Asked, target: str, bucket: str = "johnsmith", now_s: int = NOW_S
) -> str | None:
    """Return the code by which a request is refused, None if it is not."""
    assert speaks(request)
    try:
        check(claim_of(request), request, target.encode(), bucket, SECRET, now_s)
    except SkerryError as error:
        return error.code
    return None


PRESIGNED = Asked(
    method="GET", path="/photos/puppy.jpg", headers={"host": "x"},
    query=[
        ("AWSAccessKeyId", KEY), ("Expires", "1175139620"),
        ("Signature", "NpgCjnDzrM+WFzoENXmpNDUsSn8="),
    ],
)  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "target", "bucket"),
    [
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMU="), "/photos/puppy.jpg", "johnsmith"),
        (asked("MyyxeRY7whkBe+bq8fHCL/2kKUg=", method="PUT", date="Tue, 27 Mar 2007 21:15:45 +0000",
               content_type="image/jpeg"), "/photos/puppy.jpg", "johnsmith"),
        (asked("htDYFYduRNen8P9ZfE/s9SuKy0U=", ("prefix", "photos"), ("max-keys", "50"),
               ("marker", "puppy"), date="Tue, 27 Mar 2007 19:42:41 +0000"), "/?prefix", "johnsmith"),
        (asked("c2WLPFtWHVgbEmeEG93a4cG37dM=", ("acl", ""),
               date="Tue, 27 Mar 2007 19:44:46 +0000"), "/?acl", "johnsmith"),
        (asked("DNEZGsoieTZ92F3bUfSPQcbGmlM=",
               date="Wed, 28 Mar 2007 01:49:49 +0000"),
         "/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re", ""),
        (PRESIGNED, "/photos/puppy.jpg?x", "johnsmith"),
    ],
)  # fmt: skip
def test_the_examples_of_aws_hold(request_: Asked, target: str, bucket: str) -> None:
    said = request_.headers.get("date")
    now_s = int(dt.datetime.strptime(said, "%a, %d %b %Y %H:%M:%S %z").timestamp()) if said else 0

    assert refusal(request_, target, bucket, now_s) is None


@pytest.mark.parametrize(
    ("request_", "now_s", "code"),
    [
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMU="), NOW_S + 901, "clock_skew"),
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMU=", date="noon"), NOW_S, "no_date"),
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMV="), NOW_S, "signature_mismatch"),
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMU=", x_amz_acl="private"), NOW_S, "signature_mismatch"),
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMU=", ("acl", "")), NOW_S, "signature_mismatch"),
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMU=", ("retention", "")), NOW_S, "signature_version"),
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMU=", ("attributes", "")), NOW_S, "signature_version"),
        (asked("bWq2s1WEIj+Ydj0vQ697zp+IXMU=",
               x_amz_content_sha256="STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), NOW_S, "signature_version"),
        (asked("short"), NOW_S, "bad_authorization"),
        (PRESIGNED, 1175139621, "request_expired"),
        (Asked(method="GET", path="/", headers={}, query=[("AWSAccessKeyId", KEY)]), 0,
         "bad_query_authorization"),
        (Asked(method="GET", path="/", headers={}, query=[*PRESIGNED.query, ("Expires", "9")]), 0,
         "bad_query_authorization"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused(request_: Asked, now_s: int, code: str) -> None:
    assert refusal(request_, "/photos/puppy.jpg", "johnsmith", now_s) == code

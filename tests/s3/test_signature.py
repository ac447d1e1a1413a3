"""Signatures, against the examples that AWS publishes and against whatever else may be sent."""

import datetime as dt

import pytest

from skerry.base import SkerryError
from skerry.s3.chunks import Chain, Chunks
from skerry.s3.signature import EMPTY_SHA256, STREAMING, Asked, check, claim_of, signing_key

KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
NOW_S = int(dt.datetime(2013, 5, 24, tzinfo=dt.UTC).timestamp())
HOST = "examplebucket.s3.amazonaws.com"
CREDENTIAL = f"{KEY}/20130524/us-east-1/s3/aws4_request"


def signed(names: str, signature: str) -> str:
    return f"AWS4-HMAC-SHA256 Credential={CREDENTIAL},SignedHeaders={names},Signature={signature}"


GET = Asked(
    method="GET", path="/test.txt", query=[],
    headers={
        "host": HOST, "range": "bytes=0-9", "x-amz-content-sha256": EMPTY_SHA256,
        "x-amz-date": "20130524T000000Z",
        "authorization": signed(
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
    },
)  # fmt: skip
PUT = Asked(
    method="PUT", path="/test$file.text", query=[],
    headers={
        "date": "Fri, 24 May 2013 00:00:00 GMT", "host": HOST,
        "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        "x-amz-date": "20130524T000000Z", "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "authorization": signed(
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
    },
)  # fmt: skip
LIST = Asked(
    method="GET", path="/", query=[("max-keys", "2"), ("prefix", "J")],
    headers={
        "host": HOST, "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": "20130524T000000Z",
        "authorization": signed(
            "host;x-amz-content-sha256;x-amz-date",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    },
)  # fmt: skip
PRESIGNED = Asked(
    method="GET", path="/test.txt",
    query=[
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", CREDENTIAL),
        ("X-Amz-Date", "20130524T000000Z"), ("X-Amz-Expires", "86400"),
        ("X-Amz-SignedHeaders", "host"),
        ("X-Amz-Signature", "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"),
    ],
    headers={"host": HOST},
)  # fmt: skip


def refusal(asked: Asked, now_s: int = NOW_S, secret: str = SECRET) -> str | None:
    """Return the code by which a request is refused, None if it is not."""
    try:
        claim = claim_of(asked)
        assert claim is not None
        check(claim, asked, secret, now_s)
    except SkerryError as error:
        return error.code
    return None


def changed(asked: Asked, **what: object) -> Asked:
    fields = {name: getattr(asked, name) for name in ("method", "path", "query", "headers")}
    return Asked(**{**fields, **what})  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", [GET, PUT, LIST, PRESIGNED])
def test_the_published_examples_are_right(asked: Asked) -> None:
    assert refusal(asked) is None


@pytest.mark.parametrize("asked", [GET, PUT, LIST, PRESIGNED])
def test_what_was_changed_is_refused(asked: Asked) -> None:
    more = [*asked.query, ("acl", "")]
    assert refusal(asked, secret="other") == "signature_mismatch"
    assert refusal(changed(asked, method="DELETE")) == "signature_mismatch"
    assert refusal(changed(asked, path=asked.path + "x")) == "signature_mismatch"
    assert refusal(changed(asked, query=more)) == "signature_mismatch"
    assert refusal(changed(asked, headers={**asked.headers, "host": "x"})) == "signature_mismatch"
    assert refusal(changed(asked, headers={**asked.headers, "x-amz-acl": "x"})) == "unsigned_header"


@pytest.mark.parametrize(
    ("asked", "seconds", "code"),
    [
        (GET, 901, "clock_skew"), (GET, -901, "clock_skew"), (GET, 899, None),
        (PRESIGNED, 86399, None), (PRESIGNED, 86401, "request_expired"),
        (PRESIGNED, -901, "request_expired"),
    ],
)  # fmt: skip
def test_a_signature_holds_for_its_time(asked: Asked, seconds: int, code: str | None) -> None:
    assert refusal(asked, NOW_S + seconds) == code


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("authorization", "Bearer x", "bad_authorization"),
        ("authorization", signed("range", "0" * 64), "unsigned_header"),
        ("authorization", signed("host", "0" * 64).replace("/s3/", "/ec2/"), "bad_authorization"),
        ("x-amz-date", "20130524", "bad_authorization"),
        ("x-amz-date", "20139924T000000Z", "bad_authorization"),
        ("x-amz-content-sha256", "x", "bad_content_sha256"),
        ("x-amz-content-sha256", "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", "signature_version"),
    ],
)
def test_a_claim_that_is_none_is_refused(name: str, value: str, code: str) -> None:
    assert refusal(changed(GET, headers={**GET.headers, name: value})) == code


@pytest.mark.parametrize(
    ("name", "value"),
    [("X-Amz-Expires", "0"), ("X-Amz-Expires", "604801"), ("X-Amz-Expires", "9" * 99),
     ("X-Amz-Expires", "x"), ("X-Amz-Signature", "x"), ("X-Amz-SignedHeaders", ""),
     ("X-Amz-Credential", "x"), ("X-Amz-Algorithm", "x"), ("X-Amz-Date", "x")],
)  # fmt: skip
def test_a_presigned_url_that_is_none_is_refused(name: str, value: str) -> None:
    query = [(key, value if key == name else old) for key, old in PRESIGNED.query]

    assert refusal(changed(PRESIGNED, query=query)) == "bad_query_authorization"


def test_no_header_is_signed_twice() -> None:
    header = GET.headers["authorization"].replace("host;", "host;host;")
    twice = [
        (key, "host;host" if key == "X-Amz-SignedHeaders" else old) for key, old in PRESIGNED.query
    ]

    assert (
        refusal(changed(GET, headers={**GET.headers, "authorization": header}))
        == "bad_authorization"
    )
    assert refusal(changed(PRESIGNED, query=twice)) == "bad_query_authorization"


def test_a_request_that_claims_nothing_is_anonymous() -> None:
    assert claim_of(Asked(method="GET", path="/", query=[("a", "b")], headers={})) is None


SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
CHUNKS = (
    (65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"),
    (1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"),
    (0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
)


def chunked() -> bytes:
    return b"".join(
        b"%x;chunk-signature=%b\r\n" % (size, signature.encode()) + b"a" * size + b"\r\n"
        for size, signature in CHUNKS
    )


def chunks() -> Chunks:
    key = signing_key(SECRET, "20130524", "us-east-1", "s3")
    chain = Chain(key, "20130524T000000Z", "20130524/us-east-1/s3/aws4_request", SEED)
    return Chunks(chain, 66560, has_trailers=False)


@pytest.mark.parametrize("step", [1000, 65536, 100_000])
def test_the_published_chunks_are_right_however_they_are_cut(step: int) -> None:
    decoder, body = chunks(), chunked()

    found = [p for at in range(0, len(body), step) for p in decoder.feed(body[at : at + step])]

    assert (b"".join(found), decoder.done) == (b"a" * 66560, True)


@pytest.mark.parametrize("at", [5, 30, 200, 65536 + 100, 65536 + 300, -70])
def test_a_chunk_that_was_changed_is_refused(at: int) -> None:
    body = bytearray(chunked())
    body[at] ^= 1

    with pytest.raises(SkerryError) as caught:
        chunks().feed(bytes(body))

    assert caught.value.code in ("signature_mismatch", "bad_chunk", "body_size")


def test_the_seed_is_what_the_published_request_is_signed_with() -> None:
    asked = Asked(
        method="PUT", path="/examplebucket/chunkObject.txt", query=[],
        headers={
            "host": "s3.amazonaws.com", "x-amz-date": "20130524T000000Z",
            "x-amz-storage-class": "REDUCED_REDUNDANCY", "x-amz-content-sha256": STREAMING,
            "content-encoding": "aws-chunked", "x-amz-decoded-content-length": "66560",
            "content-length": "66824",
            "authorization": signed(
                "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
                "x-amz-decoded-content-length;x-amz-storage-class", SEED,
            ),
        },
    )  # fmt: skip

    assert refusal(asked) is None

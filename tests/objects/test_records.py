"""Records of the log: read as they were written, and nothing that was changed is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.objects.model import Bucket, Key, Piece, User, Version
from skerry.objects.records import (
    BadRecord,
    BucketGone,
    KeyGone,
    Record,
    UploadGone,
    UserGone,
    VersionGone,
    crc_of,
    frame,
    framed_size,
    read,
    say,
)

RECORDS: list[Record] = [
    Bucket(number=1, name="bkt", owner="me", created_at_ns=5, settings={"cors": b"<x/>"}),
    BucketGone(7),
    VersionGone(1, "käse", "null"),
    UploadGone("ab"),
    User(name="ann", created_at_ns=5, policies={"p": b"{}"}),
    UserGone("ann"),
    Key(access_key="A", secret="s", user="ann", created_at_ns=5, is_active=False),
    KeyGone("A"),
    Version(
        bucket=1, key="a/b", version_id="null", sequence=9, modified_at_ns=8, size=3, etag="e",
        piece=Piece(3, 4), headers={"content-type": "x/y"}, metadata={"m": "1"}, tags={"t": "2"},
    ),
]  # fmt: skip


def framed(record: Record, data: bytes = b"") -> bytes:
    return b"".join(frame(record, say(record), 5, [data], crc_of(data)))


@pytest.mark.parametrize("record", RECORDS, ids=lambda each: type(each).__name__)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    written = framed(record, b"data")

    found = read(written + b"more", with_data=True)

    assert (found.record, found.serial, found.data_size) == (record, 5, 4)
    assert found.size == len(written) == framed_size(len(found.said), 4)


@given(st.sampled_from(RECORDS), st.binary(max_size=64), st.data())
def test_a_record_of_which_any_bit_was_changed_is_none(
    record: Record, data: bytes, draw: st.DataObject
) -> None:
    written = bytearray(framed(record, data))
    found = read(bytes(written), with_data=True)
    padding = len(written) - (len(written) - found.size) - (found.size - len(written))
    certain = len(written) - (-(len(found.said) + 40 + len(data)) % 8)
    assert padding == len(written)
    at = draw.draw(st.integers(0, certain - 1))
    written[at] ^= 1 << draw.draw(st.integers(0, 7))

    with pytest.raises(BadRecord):
        read(bytes(written), with_data=True)


@given(st.sampled_from(RECORDS), st.binary(max_size=64), st.data())
def test_a_record_that_was_cut_is_none(record: Record, data: bytes, draw: st.DataObject) -> None:
    written = framed(record, data)
    certain = len(written) - (-(len(say(record)) + 40 + len(data)) % 8)

    with pytest.raises(BadRecord):
        read(written[: draw.draw(st.integers(0, certain - 1))], with_data=True)


@given(st.binary(max_size=200))
def test_noise_is_no_record(noise: bytes) -> None:
    with pytest.raises(BadRecord):
        read(noise, with_data=True)

"""Frames and values survive the way through a stream, and nonsense is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.holder import frames
from skerry.holder.request import Request

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**70), max_value=2**70)
    | st.binary(max_size=50)
    | st.text(max_size=50)
)
KEYS = st.binary(max_size=9) | st.text(max_size=9)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=5) | st.dictionaries(KEYS, v))


@given(VALUES)
def test_a_value_comes_out_as_it_went_in(value: object) -> None:
    assert frames.unpack(frames.pack(value)) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_malformed(data: bytes) -> None:
    try:
        frames.unpack(data)
    except frames.Malformed:
        return


@given(
    st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=90))),
    st.lists(st.integers(1, 40), min_size=1),
)
def test_frames_come_out_whole_however_the_stream_is_cut(
    sent: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(frames.frame(kind, payload) for kind, payload in sent)
    reader, arrived, turn = frames.FrameReader(), list[tuple[int, bytes]](), 0

    while stream:
        size = cuts[turn % len(cuts)]
        arrived += reader.feed(stream[:size])
        stream, turn = stream[size:], turn + 1

    assert arrived == sent


def test_a_frame_that_is_too_long_is_refused_before_it_is_kept() -> None:
    with pytest.raises(frames.Malformed):
        frames.FrameReader().feed(frames.header(frames.STDIN, frames.FRAME_BYTES_MAX + 1))


def test_what_no_frame_carries_is_a_bug() -> None:
    with pytest.raises(TypeError):
        frames.pack(1.5)


def test_a_request_arrives_whole() -> None:
    request = Request()
    for number, name in enumerate(Request.__annotations__):
        setattr(request, name, [name, number, None, {b"A": b"\xff"}])

    assert vars(Request.from_bytes(request.to_bytes())) == vars(request)


def test_a_request_with_other_keys_is_refused() -> None:
    with pytest.raises(frames.Malformed):
        Request.from_bytes(frames.pack({"argv": []}))

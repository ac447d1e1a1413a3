"""The ring keeps the end of what was written, whatever the sizes."""

from hypothesis import given
from hypothesis import strategies as st

from skerry.holder.ring import Ring

WRITES = st.lists(
    st.tuples(st.integers(1, 2), st.binary(max_size=300) | st.just(b"x" * 5000)), max_size=60
)


def streams(pieces: list[tuple[int, bytes]]) -> list[tuple[int, int]]:
    return [(stream, byte) for stream, data in pieces for byte in data]


@given(WRITES, st.integers(0, 6000))
def test_the_last_bytes_are_kept_with_their_streams(
    writes: list[tuple[int, bytes]], bytes_max: int
) -> None:
    ring = Ring(bytes_max)
    for stream, data in writes:
        ring.append(stream, data)

    everything = streams(writes)
    assert streams(ring.pieces()) == everything[max(0, len(everything) - bytes_max) :]


def test_many_small_writes_become_few_pieces() -> None:
    ring = Ring(100_000)

    for _ in range(50_000):
        ring.append(1, b"x")

    assert len(ring.pieces()) < 20

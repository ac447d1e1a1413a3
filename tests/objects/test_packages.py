"""Packages: what was encrypted comes back, any range of it, and nothing that was tampered with does."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.objects.packages import (
    PACKAGE_BYTES,
    TAG_BYTES,
    BadPackage,
    Packer,
    pack,
    plain_size,
    unpack,
)

KEY = bytes(range(32))
WHOLE = PACKAGE_BYTES + TAG_BYTES
SIZES = st.one_of(
    st.integers(0, 100),
    *(st.integers(count * PACKAGE_BYTES - 2, count * PACKAGE_BYTES + 2) for count in (1, 2, 3)),
)


def plain(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def unpacked(data: bytes, offset: int, count: int, key: bytes = KEY, step: int = 50_001) -> bytes:
    """Return a range, of packages that are read in steps which fit nothing."""

    def read(begin: int, size: int) -> Iterator[bytes]:
        found = data[begin : begin + size]
        yield from (found[at : at + step] for at in range(0, len(found), step))

    return b"".join(unpack(key, len(data), offset, count, read))


@given(SIZES, st.integers(1, 3 * PACKAGE_BYTES), st.data())
def test_any_range_of_any_size_comes_back(size: int, step: int, draw: st.DataObject) -> None:
    data, packer = plain(size), Packer(KEY)
    begin = draw.draw(st.one_of(st.integers(0, size), st.sampled_from([0, max(0, size - 1)])))
    count = draw.draw(st.integers(0, size - begin))

    packed = b"".join(packer.update(data[at : at + step]) for at in range(0, size, step))
    packed += packer.end()

    assert packed == pack(KEY, data)
    assert plain_size(len(packed)) == size
    assert unpacked(packed, begin, count) == data[begin : begin + count]
    assert unpacked(packed, 0, size) == data


@pytest.mark.parametrize("size", [1, PACKAGE_BYTES, PACKAGE_BYTES + 1, 3 * PACKAGE_BYTES])
def test_a_byte_that_changed_is_noticed_wherever_it_is(size: int) -> None:
    packed = pack(KEY, plain(size))
    places = {0, size // 2, size, len(packed) - 1, min(WHOLE, len(packed)) - 1}

    for place in places:
        changed = bytearray(packed)
        changed[place] ^= 1
        with pytest.raises(BadPackage):
            unpacked(bytes(changed), 0, size)


@pytest.mark.parametrize(
    "order",
    [(0,), (0, 1), (1, 2), (1, 0, 2), (0, 2), (0, 1, 2, 2), (0, 0, 1, 2), (2,), (0, 1, 1)],
)
def test_packages_that_are_missing_moved_or_added_are_noticed(order: tuple[int, ...]) -> None:
    packed = pack(KEY, plain(2 * PACKAGE_BYTES + 10))
    packages = [packed[at : at + WHOLE] for at in range(0, len(packed), WHOLE)]
    found = b"".join(packages[number] for number in order)

    with pytest.raises(BadPackage):
        unpacked(found, 0, plain_size(len(found)))


@pytest.mark.parametrize("gone", [1, TAG_BYTES, PACKAGE_BYTES])
def test_an_end_that_is_missing_is_noticed(gone: int) -> None:
    found = pack(KEY, plain(2 * PACKAGE_BYTES + 10))[:-gone]

    with pytest.raises(BadPackage):
        unpacked(found, 0, plain_size(len(found)))


def test_what_the_disk_has_less_of_is_noticed() -> None:
    packed = pack(KEY, plain(2 * PACKAGE_BYTES))

    with pytest.raises(BadPackage):
        list(
            unpack(
                KEY, len(packed), 0, 2 * PACKAGE_BYTES, lambda _, size: iter([packed[: size - 1]])
            )
        )


def test_another_key_gives_nothing() -> None:
    with pytest.raises(BadPackage):
        unpacked(pack(KEY, b"secret"), 0, 6, bytes(32))

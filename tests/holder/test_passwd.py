"""Users are found as the C library finds them, in files that anybody may have written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.holder.passwd import find_user

PASSWD = b"""root:x:0:0:root:/root:/bin/bash
daemon:x:1:1
box:x:1000:1000:Box,,,:/home/box:/bin/bash
box:x:1:1:the second of that name:/:/bin/sh
1000:x:77:78:a number for a name:/seven:/bin/zsh
bare:x:50:60:::
"""
GROUP = b"root:x:0:\nsudo:x:27:other,box\nstaff:x:50:boxer\nbad:x:no:box\nbox:x:1000:box\n"


@pytest.mark.parametrize(
    ("wanted", "uid", "gid", "home"),
    [
        (None, 1000, 1000, b"/home/box"),
        (b"box", 1000, 1000, b"/home/box"),
        (b"root", 0, 0, b"/root"),
        (b"0", 0, 0, b"/root"),
        (b"1000", 77, 78, b"/seven"),
        (b"77", 77, 78, b"/seven"),
        (b"bare", 50, 60, b"/"),
    ],
)
def test_a_name_or_a_number_finds_a_user(
    wanted: bytes | None, uid: int, gid: int, home: bytes
) -> None:
    user = find_user(PASSWD, GROUP, wanted)

    assert user is not None
    assert (user.uid, user.gid, user.home) == (uid, gid, home)


@pytest.mark.parametrize("wanted", [b"", b"nobody", b"daemon", b"-1", b"4711", b"x", b"box:x"])
def test_others_are_not_found(wanted: bytes) -> None:
    assert find_user(PASSWD, GROUP, wanted) is None


def test_groups_are_those_that_name_the_user() -> None:
    user = find_user(PASSWD, GROUP, b"box")

    assert user is not None
    assert user.groups == [1000, 27]


def test_a_box_without_files_has_root() -> None:
    assert [find_user(b"", b"", wanted) is None for wanted in (None, b"root", b"0", b"box")] == [
        False,
        False,
        False,
        True,
    ]


def test_a_user_cannot_be_in_more_groups_than_the_kernel_takes() -> None:
    user = find_user(PASSWD, b"".join(b"g:x:%d:box\n" % n for n in range(100_000)), b"box")

    assert user is not None
    assert len(user.groups) <= 1025


LINES = st.lists(
    st.lists(st.sampled_from([b"box", b"0", b"7", b"-1", b"9" * 30, b"", b"\xb2", b"a,box"])),
    max_size=9,
).map(lambda lines: b"\n".join(b":".join(fields) for fields in lines))


@given(LINES | st.binary(max_size=200), LINES, st.sampled_from([None, b"box", b"7", b""]))
def test_whatever_the_files_hold_ids_are_numbers(
    passwd: bytes, group: bytes, wanted: bytes | None
) -> None:
    user = find_user(passwd, group, wanted)

    if user is not None:
        assert all(0 <= number < 2**32 - 1 for number in [user.uid, user.gid, *user.groups])

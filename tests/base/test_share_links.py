"""Share links: their text opens one box, until it ends, for as long as no epoch has passed."""

import pytest

from skerry.base import new_id
from skerry.base.share_links import share_end_ns, share_text

KEY = b"k" * 32
BOX = new_id("box", b"b" * 10)
OTHER = new_id("box", b"o" * 10)
SECOND_NS = 10**9
END_NS = 1_800_000_000 * SECOND_NS
TEXT = share_text(KEY, BOX, END_NS, 3)


def test_a_link_opens_its_box_until_it_ends() -> None:
    assert share_end_ns(KEY, BOX, 3, TEXT, END_NS - 1) == END_NS
    assert share_end_ns(KEY, BOX, 3, TEXT, END_NS) is None
    assert share_end_ns(KEY, OTHER, 3, TEXT, END_NS - 1) is None
    assert share_end_ns(KEY, BOX, 4, TEXT, END_NS - 1) is None
    assert share_end_ns(b"x" * 32, BOX, 3, TEXT, END_NS - 1) is None


def test_parts_of_a_second_are_cut_off() -> None:
    assert share_text(KEY, BOX, END_NS + 999_999_999, 3) == TEXT


@pytest.mark.parametrize(
    "forged",
    [
        TEXT.replace(".3.", ".4."),
        TEXT.replace(".1800000000.", ".1900000000."),
        TEXT.replace(BOX, OTHER),
        TEXT[:-1],
        TEXT + "0",
        TEXT + "\n",
        TEXT.upper(),
        TEXT.replace(".3.", ".03."),
        TEXT.replace("1800000000", "١٨٠٠٠٠٠٠٠٠"),
        TEXT.replace("1800000000", "1_800_000_000"),
        "...",
        "",
    ],
)
def test_a_forged_link_opens_nothing(forged: str) -> None:
    for box_id in (BOX, OTHER):
        for epoch in (3, 4):
            assert share_end_ns(KEY, box_id, epoch, forged, 0) is None

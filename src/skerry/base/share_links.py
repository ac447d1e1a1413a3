"""Share links: who has one may open a box's web address until it ends. Pure.

The text is `BOX_ID.END.EPOCH.MAC`, where END is in seconds since 1970 and MAC an HMAC-SHA-256 by a
key that only the daemon and the gateway have. A box's epoch is counted up to end all its links.
"""

import hmac
import re

from skerry.base.ids import ID_PATTERN

PARAMETER = "skerry_share"
"""The name of the query parameter that holds the text."""

_TEXT = re.compile(rf"({ID_PATTERN.pattern})\.([0-9]{{1,12}})\.([0-9]{{1,9}})\.([0-9a-f]{{64}})")


def share_text(key: bytes, box_id: str, end_at_ns: int, epoch: int) -> str:
    """Return the text of a link that opens a box until end_at_ns, cut to the second."""
    claim = f"{box_id}.{end_at_ns // 10**9}.{epoch}"
    return f"{claim}.{_code(key, claim)}"


def share_end_ns(key: bytes, box_id: str, epoch: int, text: str, now_ns: int) -> int | None:
    """Return when the link ends whose text this is, None if it does not open the box now."""
    match = _TEXT.fullmatch(text)
    if match is None or (match[1], int(match[3])) != (box_id, epoch):
        return None
    claim, _, code = text.rpartition(".")
    if not hmac.compare_digest(code, _code(key, claim)):
        return None
    end_at_ns = int(match[2]) * 10**9
    return end_at_ns if now_ns < end_at_ns else None


def _code(key: bytes, claim: str) -> str:
    return hmac.digest(key, b"skerry share link\0" + claim.encode(), "sha256").hex()

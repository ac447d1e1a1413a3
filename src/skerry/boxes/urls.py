"""Web addresses of boxes: domains of their own, links that let others in.

Which requests come, and how they are let through, is not known here.
"""

import dataclasses
import re
from collections.abc import Sequence

from skerry.base import Conflict, Invalid, LimitReached, format_duration
from skerry.base.share_links import share_text
from skerry.boxes import store
from skerry.boxes.context import Boxes, whole

DOMAINS_MAX = 32
SHARE_NS_MAX = 365 * 86400 * 10**9
_KEY_BYTES = 32
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]")


def domains_of(boxes: Boxes, box_id: str) -> tuple[str, ...]:
    """Return the domains of a box, by its id."""
    return boxes.database.read(lambda c: store.domains(c, box_id))


@whole
async def set_domains(boxes: Boxes, name: str, domains: Sequence[str]) -> tuple[str, ...]:
    """Give a box these domains and no others; requests for them must come to this machine.

    Raises NotFound(box_not_found), Invalid(bad_domain), Conflict(domain_taken),
    LimitReached(domains_limit).
    """
    named = tuple(sorted({_domain(boxes, each) for each in domains}))
    if len(named) > DOMAINS_MAX:
        raise LimitReached("domains_limit", f"A box has at most {DOMAINS_MAX} domains.")
    # One turn for all boxes: no two get the same domain.
    async with boxes.turns.of("domains"), boxes.hold(name) as box:
        for domain in named:
            owner = boxes.database.read(lambda c, d=domain: store.domain_owner(c, d))
            if owner not in (None, box.name):
                is_seen = boxes.find(owner).account == box.account
                whose = f"The box {owner!r}" if is_seen else "Another box"
                raise Conflict("domain_taken", f"{whose} has the domain {domain}.")
        await boxes.database.write(lambda c: store.put_domains(c, box.box_id, named))
    return named


@whole
async def end_shares(boxes: Boxes, name: str) -> None:
    """End all share links of a box, and the cookies that came of them.

    Raises NotFound(box_not_found).
    """
    async with boxes.hold(name) as box:
        changed = dataclasses.replace(box, share_epoch=box.share_epoch + 1)
        await boxes.database.write(lambda c: store.update_box(c, changed))


async def share(boxes: Boxes, name: str, lasts_ns: int) -> tuple[str, int]:
    """Return the text of a new share link of a box, and when it ends.

    Raises NotFound(box_not_found), Invalid(bad_share).
    """
    box = boxes.find(name)
    if not 10**9 <= lasts_ns <= SHARE_NS_MAX:
        raise Invalid(
            "bad_share", f"A share link lasts 1 second to {format_duration(SHARE_NS_MAX)}."
        )
    end_at_ns = (boxes.clock.now_ns() + lasts_ns) // 10**9 * 10**9
    key = await signing_key(boxes)
    return share_text(key, box.box_id, end_at_ns, box.share_epoch), end_at_ns


@whole
async def signing_key(boxes: Boxes) -> bytes:
    """Return what cookies and share links are signed with; it is made once, for good."""
    async with boxes.turns.of("signing key"):
        key = boxes.database.read(store.signing_key)
        if key is None:
            key = made = boxes.entropy(_KEY_BYTES)
            await boxes.database.write(lambda c: store.put_signing_key(c, made))
    return key


def _domain(boxes: Boxes, text: str) -> str:
    domain = text.lower().removesuffix(".")
    if len(domain) > 253 or _DOMAIN.fullmatch(domain) is None:
        raise Invalid(
            "bad_domain",
            f"{text[:80]!r} is no domain such as app.example.com. Write names beyond ASCII as "
            "xn--...",
        )
    base = boxes.rules.base_domain
    if domain == base or domain.endswith("." + base):
        raise Invalid("bad_domain", f"Names under {base} are those of boxes themselves.")
    return domain

"""Who may use a web address: tokens, cookies and share links, true ones and forged ones."""

import msgspec

from skerry.accounts import model
from skerry.base import new_id
from skerry.base.share_links import share_end_ns, share_text
from skerry.gateway import access
from skerry.gateway.control import Box, Token

KEY = b"k" * 32
NOW_NS = 1_800_000_000 * 10**9
HOUR_NS = 3600 * 10**9
BOX = Box(box_id=new_id("box", b"b" * 10), name="amber")
TOKEN_ID, SECRET = new_id("tok", b"t" * 10), b"s" * 32
TEXT = model.token_text(TOKEN_ID, SECRET)
TOKENS = {
    TOKEN_ID: Token(token_id=TOKEN_ID, secret_hash=model.hash_secret(SECRET), scopes=("write",))
}


def by_cookie(value: bytes, box: Box = BOX, now_ns: int = NOW_NS) -> access.Grant | None:
    field = b"a=b; skerry_access=" + value
    return access.grant_by_cookies(TOKENS, KEY, box, (field,), now_ns)


def test_tokens_are_read_as_accounts_write_them() -> None:
    assert access.token_of(TOKENS, TEXT) == TOKENS[TOKEN_ID]
    assert access.token_of(TOKENS, model.token_text(TOKEN_ID, b"x" * 32)) is None
    assert access.token_of(TOKENS, model.token_text(new_id("tok", b"o" * 10), SECRET)) is None
    assert access.is_own_authorization(b"bearer " + TEXT.encode())
    assert not access.is_own_authorization(b"Bearer of-the-box")


def test_a_cookie_opens_its_box_until_it_ends() -> None:
    cookie = access.cookie_by_token(KEY, BOX.box_id, TOKEN_ID, NOW_NS + HOUR_NS)
    other = msgspec.structs.replace(BOX, box_id=new_id("box", b"o" * 10))

    assert by_cookie(cookie) == (False, NOW_NS + HOUR_NS)
    assert by_cookie(cookie, now_ns=NOW_NS + HOUR_NS) is None
    assert by_cookie(cookie, other) is None
    assert by_cookie(cookie[:-1] + b"0") is None or cookie.endswith(b"0")
    assert by_cookie(cookie.replace(b".", b"9.", 1)) is None


def test_a_cookie_ends_with_the_token_that_it_came_of() -> None:
    cookie = access.cookie_by_token(KEY, BOX.box_id, TOKEN_ID, NOW_NS + HOUR_NS)

    assert access.grant_by_cookies({}, KEY, BOX, (b"skerry_access=" + cookie,), NOW_NS) is None


def test_a_share_link_gives_a_cookie_that_ends_with_it() -> None:
    text = share_text(KEY, BOX.box_id, NOW_NS + HOUR_NS, 0)
    made = access.cookie_by_share(KEY, BOX, text, NOW_NS)
    assert made is not None
    later = msgspec.structs.replace(BOX, share_epoch=1)

    assert by_cookie(made[0]) == (False, NOW_NS + HOUR_NS)
    assert by_cookie(made[0], later) is None
    assert access.cookie_by_share(KEY, later, text, NOW_NS) is None
    assert access.cookie_by_share(KEY, BOX, text, NOW_NS + HOUR_NS) is None


def test_a_share_link_is_no_cookie_and_a_cookie_no_share_link() -> None:
    text = share_text(KEY, BOX.box_id, NOW_NS + HOUR_NS, 0)
    made = access.cookie_by_share(KEY, BOX, text, NOW_NS)
    assert made is not None

    assert by_cookie(text.encode()) is None
    assert share_end_ns(KEY, BOX.box_id, 0, made[0].decode(), NOW_NS) is None
    assert share_end_ns(b"x" * 32, BOX.box_id, 0, text, NOW_NS) is None


def test_a_token_that_may_only_read_changes_nothing() -> None:
    reading = {TOKEN_ID: msgspec.structs.replace(TOKENS[TOKEN_ID], scopes=("read",))}
    grant = access.grant_by_authorization(reading, b"Bearer " + TEXT.encode())
    assert grant is not None

    assert access.allows(grant, b"GET", upgrades=False)
    assert not access.allows(grant, b"POST", upgrades=False)
    assert not access.allows(grant, b"GET", upgrades=True)


def test_the_parameter_of_a_share_link_is_taken_off_the_target() -> None:
    assert access.share_in(b"/a?x=1&skerry_share=abc&y=2") == ("abc", b"/a?x=1&y=2")
    assert access.share_in(b"/a?skerry_share=abc") == ("abc", b"/a")
    assert access.share_in(b"/a?not_skerry_share=abc") is None
    assert access.share_in(b"/skerry_share=abc") is None

"""What the gateway answers itself: problems in one shape, the login page, redirects. Pure.

Each answer is whole, head and body, and says nothing of how the machine is built.
"""

import html
from dataclasses import dataclass
from http import HTTPStatus

import msgspec

from skerry import wire

PREFIX = b"/.well-known/skerry/"
HEALTH = PREFIX + b"health"
LOGIN = PREFIX + b"login"
ENTER = PREFIX + b"enter"

_SAFE = b"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: same-origin\r\n"
_POLICY = (
    b"Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; form-action %b; "
    b"frame-ancestors 'none'\r\n"
)
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:26rem;margin:15vh auto;padding:0 1rem}"
    "input,button{font:inherit;width:100%;box-sizing:border-box;padding:.5rem;margin:.3rem 0}"
    "p{color:#555}"
)


@dataclass(frozen=True, slots=True)
class Problem:
    """A request that is not answered by a box. code is stable; message says what to do."""

    status: int
    code: str
    message: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of our own. more: a block of further fields. leads_to: where its form may lead."""

    status: int
    body: bytes
    media_type: bytes
    more: bytes = b""
    leads_to: bytes = b"'none'"


UNKNOWN_NAME = Problem(
    404, "unknown_name", "No box has this name here. `skerry list` shows the boxes there are."
)
NOT_FOUND = Problem(404, "not_found", "The gateway has no such page.")
UNAUTHORIZED = Problem(
    401, "unauthorized",
    "This box is private. Send `Authorization: Bearer TOKEN`, log in with a browser, or ask its "
    "owner for a share link.",
)  # fmt: skip
SHARE_ENDED = Problem(
    401, "share_ended", "This share link has ended or was made for another box. Ask for a new one."
)
NOT_ALLOWED = Problem(401, "unauthorized", "What let you in has ended. Log in again.")
READ_ONLY = Problem(403, "scope_missing", "The token may only read. Use one with scope write.")
FOREIGN_LOGIN = Problem(403, "foreign_login", "Log in from the login page itself.")
LOGIN_ENDED = Problem(401, "login_ended", "This login took too long. Open the box's address again.")
BAD_LOGIN = Problem(401, "bad_token", "The token is not known here. Check it, or make another.")
BAD_FORM = Problem(400, "bad_form", "Send the token in a form, as the login page does.")
LOGIN_LIMIT = Problem(429, "too_many_logins", "Too many wrong tokens. Wait a minute.", 60)
BAD_METHOD = Problem(405, "bad_method", "This page takes other methods.")
SLOW_HEAD = Problem(408, "head_too_slow", "The request's head did not come in time. Send it again.")
SLOW_BODY = Problem(408, "body_too_slow", "The request's body did not come in time. Send it again.")
LONG_HEAD = Problem(431, "head_too_long", "The request's head is too long. Send less in it.")
TOO_MANY_CONNECTIONS = Problem(
    503, "too_many_connections", "Too many connections are open. Try later.", 1
)
TOO_MANY_REQUESTS = Problem(
    503, "too_many_requests", "The box has too many open requests. Try later.", 1
)
TOO_MANY_WAITING = Problem(
    503, "too_many_waiting", "Too many requests wait for the box to wake. Try later.", 2
)
WAKE_TOO_SLOW = Problem(503, "wake_too_slow", "The box did not wake in time. Try again.", 5)
# The reason may be a budget or the machine's own: that is for the owner, not for strangers.
WAKE_FAILED = Problem(
    503, "wake_failed", "The box could not be woken. `skerry start` tells its owner why.", 5
)
BOX_GONE = Problem(502, "box_gone", "The box was destroyed or stopped. See `skerry list`.")
NO_LISTENER = Problem(
    502, "port_closed",
    "Nothing in the box listens on this port. Start your program there, on 127.0.0.1 or 0.0.0.0.",
)  # fmt: skip
PORT_TOO_SLOW = Problem(
    503, "port_too_slow",
    "The box has started, but nothing in it listens on this port. Make its program a service.", 5,
)  # fmt: skip
NO_CONNECTION = Problem(502, "port_stuck", "The program in the box takes no connections now.")
NO_ANSWER = Problem(
    502, "no_answer", "The program in the box closed the connection without an answer."
)
BAD_ANSWER = Problem(502, "bad_answer", "The program in the box answered with something not HTTP.")
SLOW_ANSWER = Problem(504, "answer_too_slow", "The program in the box did not answer in time.")
INTERNAL = Problem(500, "internal", "Skerry made a mistake here. Its log has the details.")


def bad_message(status: int, code: str, message: str) -> Problem:
    """Return the problem of a request that is no clear HTTP."""
    return Problem(status, code, message)


def render(reply: Reply, *, is_head: bool, is_last: bool) -> bytes:
    """Return a reply as a whole response. is_last: the connection ends with it."""
    has_content = reply.status != 204
    return b"".join(
        (
            b"HTTP/1.1 %d %b\r\n" % (reply.status, HTTPStatus(reply.status).phrase.encode()),
            reply.more,
            _SAFE,
            _POLICY % reply.leads_to,
            b"Content-Type: %b; charset=utf-8\r\n" % reply.media_type if has_content else b"",
            b"Content-Length: %d\r\n" % len(reply.body) if has_content else b"",
            b"Connection: close\r\n" if is_last else b"",
            b"\r\n",
            reply.body if has_content and not is_head else b"",
        )
    )


def problem_reply(problem: Problem, accept: bytes) -> Reply:
    """Return what tells a problem: a page where HTML is wanted, or text, else JSON."""
    more = b""
    if problem.retry_after_s is not None:
        more += b"Retry-After: %d\r\n" % problem.retry_after_s
    if problem.status == 401:
        more += b'WWW-Authenticate: Bearer realm="skerry"\r\n'
    if b"text/html" in accept:
        page = _page(problem.code, f"<p>{html.escape(problem.message)}</p>")
        return Reply(problem.status, page, b"text/html", more)
    if b"text/plain" in accept:
        return Reply(problem.status, f"{problem.message}\n".encode(), b"text/plain", more)
    shape = wire.Error(
        error=problem.code, message=problem.message, code=problem.code,
        retry_after_seconds=problem.retry_after_s,
    )  # fmt: skip
    return Reply(problem.status, msgspec.json.encode(shape) + b"\n", b"application/json", more)


def login_reply(status: int, origin: str, name: str, to: str, message: str) -> Reply:
    """Return the page that asks for a token and then leads to the path `to` of a box's origin.

    name: the host name in that origin.
    """
    form = (
        f"<p>{html.escape(message)}</p>"
        f'<form method="post" action="{LOGIN.decode()}">'
        f'<input type="hidden" name="name" value="{html.escape(name)}">'
        f'<input type="hidden" name="to" value="{html.escape(to)}">'
        '<input type="password" name="token" placeholder="Token" autofocus required '
        'autocomplete="current-password"><button>Log in</button></form>'
    )
    page = _page(f"Log in to {name}", form)
    # Where the form leads is judged with the redirect that follows.
    return Reply(status, page, b"text/html", leads_to=b"'self' " + origin.encode())


def redirect_reply(to: bytes, cookie: bytes | None, *, cookie_s: int, is_secure: bool) -> Reply:
    """Return a redirect to a path or URL, which sets the login cookie where one is given."""
    more = b"Location: %b\r\n" % to
    if cookie is not None:
        secure = b"; Secure" if is_secure else b""
        more += b"Set-Cookie: skerry_access=%b; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax%b\r\n" % (
            cookie, cookie_s, secure,
        )  # fmt: skip
    return Reply(303, b"", b"text/plain", more)


def is_local_path(path: str) -> bool:
    """Tell whether a redirect to path stays on this host, whatever browsers make of it."""
    return (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and "\\" not in path
        and all("\x20" < letter < "\x7f" for letter in path)
    )


def _page(title: str, content: str) -> bytes:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style><h1>{html.escape(title)}</h1>"
        f"{content}</html>"
    ).encode()

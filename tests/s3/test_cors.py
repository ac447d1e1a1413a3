"""Pages of other origins: what a browser is told that they may do."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.s3.cors import Rule, asked_headers, rule_for
from tests.s3.site import Answer, Site, parsed, tell

RULES = """<CORSConfiguration><CORSRule><ID>one</ID>
<AllowedOrigin>https://*.example.com</AllowedOrigin><AllowedMethod>GET</AllowedMethod>
<AllowedMethod>PUT</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader>
<ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>
<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>HEAD</AllowedMethod></CORSRule>
</CORSConfiguration>"""
GOOD = "https://a.example.com"
RULE = "<CORSConfiguration><CORSRule>%s</CORSRule></CORSConfiguration>"
LEAST = "<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>"


async def ask(site: Site, method: str, target: str, **headers: str) -> Answer:
    """Send what a browser sends, unsigned."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return parsed(await site.raw("\r\n".join([*lines, "", ""]).encode()))


@pytest.mark.parametrize(
    ("origin", "method", "headers", "status"),
    [
        (GOOD, "PUT", "x-amz-date, X-Amz-Meta-A", 200),
        (GOOD, "GET", "", 200),
        (GOOD, "DELETE", "", 403),
        (GOOD, "PUT", "authorization", 403),
        (GOOD, "PUT", "x-amz-date, \u00e4", 403),
        ("https://example.com", "GET", "", 403),
        ("https://a.example.com.evil", "GET", "", 403),
        ("http://evil", "HEAD", "", 200),
        (GOOD, "", "", 400),
        ("", "GET", "", 400),
    ],
)
def test_a_browser_asks_before_it_sends(
    tmp_path: Path, origin: str, method: str, headers: str, status: int
) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt?cors", RULES.encode())
        asked = {"origin": origin, "access_control_request_method": method}
        asked["access_control_request_headers"] = headers

        told = await ask(site, "OPTIONS", "/bkt/any", **{k: v for k, v in asked.items() if v})

        assert told.status == status
        if status == 200:
            allowed = {"HEAD": "*"}.get(method, origin)
            assert told.headers["access-control-allow-origin"] == allowed
            assert method in told.headers["access-control-allow-methods"]
            assert told.headers.get("access-control-allow-headers", "") == headers.lower()

    tell(tmp_path, story)


def test_answers_and_errors_say_who_may_have_them(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"x")
        assert (
            await ask(site, "OPTIONS", "/bkt/k", origin=GOOD, access_control_request_method="GET")
        ).code == "AccessForbidden"
        assert "vary" not in (await site.call("GET", "/bkt/k", b"", origin=GOOD)).headers
        await site.call("PUT", "/bkt?cors", RULES.encode())

        found = await site.call("GET", "/bkt/k", b"", origin=GOOD)
        denied = await ask(site, "GET", "/bkt/none", origin=GOOD)
        other = await site.call("GET", "/bkt/k", b"", origin="http://evil")

        for answer, status in ((found, 200), (denied, 403)):
            assert answer.status == status
            assert answer.headers["access-control-allow-origin"] == GOOD
            assert answer.headers["access-control-allow-credentials"] == "true"
            assert answer.headers["access-control-expose-headers"] == "ETag"
        assert other.body == b"x"
        assert "access-control-allow-origin" not in other.headers
        assert other.headers["vary"].startswith("Origin")
        assert "vary" not in (await site.call("GET", "/bkt/k")).headers

    tell(tmp_path, story)


def test_rules_are_told_until_they_are_taken_away(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt?cors", RULES.encode())
        told = (await site.call("GET", "/bkt?cors")).body
        assert (await site.call("PUT", "/bkt?cors", told.partition(b"\n")[2])).status == 200
        assert (await site.call("GET", "/bkt?cors")).body == told
        assert (await site.call("DELETE", "/bkt?cors")).status == 204
        assert (await site.call("GET", "/bkt?cors")).code == "NoSuchCORSConfiguration"

    tell(tmp_path, story)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("<CORSConfiguration/>", "MalformedXML"),
        (RULE % "", "MalformedXML"),
        (RULE % "<AllowedOrigin>*</AllowedOrigin>", "MalformedXML"),
        (RULE % (LEAST + "<MaxAgeSeconds>x</MaxAgeSeconds>"), "MalformedXML"),
        (RULE % (LEAST + "<AllowedMethod>OPTIONS</AllowedMethod>"), "InvalidRequest"),
        (RULE % (LEAST + "<AllowedOrigin>http://*.*</AllowedOrigin>"), "InvalidRequest"),
        (RULE % (LEAST + "<AllowedOrigin/>"), "InvalidRequest"),
        (RULE % (LEAST + "<AllowedHeader>**</AllowedHeader>"), "InvalidRequest"),
        (RULE % (LEAST + "<ExposeHeader>*</ExposeHeader>"), "InvalidRequest"),
        (RULE % (LEAST + "<ExposeHeader>a&#13;&#10;b: c</ExposeHeader>"), "InvalidRequest"),
        (f"<CORSConfiguration>{f'<CORSRule>{LEAST}</CORSRule>' * 101}</CORSConfiguration>", "MalformedXML"),
        (RULE % (LEAST + " " * (64 << 10)), "InvalidRequest"),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_are_refused(tmp_path: Path, document: str, code: str) -> None:
    async def story(site: Site) -> None:
        assert (await site.call("PUT", "/bkt?cors", document.encode())).code == code
        assert (await site.call("GET", "/bkt?cors")).code == "NoSuchCORSConfiguration"

    tell(tmp_path, story)


@given(st.text("ab*.", max_size=6), st.text("ab.", max_size=8))
def test_a_star_stands_for_any_text(pattern: str, origin: str) -> None:
    rule = Rule(origins=(pattern,), methods=("GET",))
    begin, star, end = pattern.partition("*")

    fits = rule_for([rule], origin, "GET") is rule

    middle = [f"{begin}{origin[len(begin) : len(origin) - len(end)]}{end}"] if star else [pattern]
    is_long = not star or len(origin) >= len(begin) + len(end)
    assert fits == (is_long and origin in middle)


def test_names_of_headers_are_names() -> None:
    assert asked_headers("A, b-c,,") == ["a", "b-c"]
    assert asked_headers("a b") is None
    assert asked_headers(",".join(["a"] * 101)) is None

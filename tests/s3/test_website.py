"""A bucket as a website: pages, folders, redirects, and errors that are pages."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skerry.objects import buckets
from skerry.s3.access import ANONYMOUS
from skerry.s3.website import Redirect, location, path_of, site_of
from tests.s3.site import Answer, Site, parsed, tell

HOST = "bkt.s3-website.s3.test"
INDEX = "<IndexDocument><Suffix>index.html</Suffix></IndexDocument>"
ERROR = "<ErrorDocument><Key>error.html</Key></ErrorDocument>"
RULES = """<RoutingRules>
<RoutingRule><Condition><KeyPrefixEquals>docs/</KeyPrefixEquals></Condition><Redirect>
<ReplaceKeyPrefixWith>d/</ReplaceKeyPrefixWith></Redirect></RoutingRule>
<RoutingRule><Condition><KeyPrefixEquals>bare/</KeyPrefixEquals></Condition><Redirect>
<ReplaceKeyPrefixWith></ReplaceKeyPrefixWith></Redirect></RoutingRule>
<RoutingRule><Condition><KeyPrefixEquals>away/</KeyPrefixEquals></Condition><Redirect>
<HostName>other.example</HostName><HttpRedirectCode>307</HttpRedirectCode></Redirect></RoutingRule>
<RoutingRule><Condition><KeyPrefixEquals>safe/</KeyPrefixEquals></Condition><Redirect>
<Protocol>https</Protocol><ReplaceKeyWith>one page</ReplaceKeyWith></Redirect></RoutingRule>
<RoutingRule><Condition><KeyPrefixEquals>lost/</KeyPrefixEquals>
<HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition><Redirect>
<ReplaceKeyWith>found</ReplaceKeyWith></Redirect></RoutingRule></RoutingRules>"""


def website(*parts: str) -> bytes:
    return f"<WebsiteConfiguration>{''.join(parts)}</WebsiteConfiguration>".encode()


async def visit(site: Site, path: str, method: str = "GET", host: str = HOST) -> Answer:
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nRange: bytes=0-1\r\nConnection: close\r\n\r\n"
    )
    return parsed(await site.raw(head.encode()))


async def build(site: Site, *parts: str, access: bytes = b"download") -> None:
    await buckets.put_setting(site.objects, "bkt", ANONYMOUS, access)
    for key in ("index.html", "dir/index.html", "error.html", "found", "/evil/index.html"):
        await site.call("PUT", f"/bkt/{key}", key.encode(), content_type="text/html")
    await site.call("PUT", "/bkt/moved", b"", x_amz_website_redirect_location="/found")
    assert (await site.call("PUT", "/bkt?website", website(*parts))).status == 200


@pytest.mark.parametrize(
    ("path", "status", "target"),
    [
        ("/", 206, ""),
        ("/dir/", 206, ""),
        ("/dir", 302, "/dir/"),
        ("//evil", 302, "/%2Fevil/"),
        ("/moved", 301, "/found"),
        ("/none", 404, ""),
        ("/none/", 404, ""),
        ("/docs/a%0d%0ab", 301, "/d/a%0D%0Ab"),
        ("/bare//evil.example/x", 301, "/%2Fevil.example/x"),
        ("/away/x", 307, "//other.example/away/x"),
        ("/safe/x", 301, "https://bkt.s3-website.s3.test:9000/one%20page"),
        ("/lost/x", 301, "/found"),
    ],
)
def test_a_visitor_gets_a_page_or_is_sent_on(
    tmp_path: Path, path: str, status: int, target: str
) -> None:
    async def story(site: Site) -> None:
        await build(site, INDEX, ERROR, RULES)

        answer = await visit(site, path, host=f"{HOST}:9000")

        assert (answer.status, answer.headers.get("location", "")) == (status, target)
        if status == 404:
            assert answer.body == b"error.html"
            assert answer.headers["content-type"] == "text/html"

    tell(tmp_path, story)


def test_errors_are_pages_that_hold_no_script_of_a_visitor(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await build(site, INDEX)
        missing = await visit(site, "/%3Cscript%3E")
        put = await visit(site, "/index.html", "PUT")
        head = await visit(site, "/none", "HEAD")

        assert (missing.status, put.status, head.status) == (404, 405, 404)
        assert missing.headers["content-type"].startswith("text/html")
        assert b"Code: NoSuchKey" in missing.body
        assert b"<script>" not in missing.body
        assert head.body == b""

    tell(tmp_path, story)


def test_a_visitor_sees_only_what_everybody_may_read(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await build(site, INDEX, ERROR, access=b"upload")
        for path in ("/", "/found", "/none", "/dir", "/moved"):
            answer = await visit(site, path)
            assert (answer.status, b"AccessDenied" in answer.body) == (403, True)
        await buckets.make(site.objects, "plain", "root")
        assert (await visit(site, "/", host="plain.s3-website.s3.test")).status == 404
        assert (await visit(site, "/", host="none.s3-website.s3.test")).status == 404

    tell(tmp_path, story)


def test_all_of_a_website_may_be_elsewhere(tmp_path: Path) -> None:
    everything = "<RedirectAllRequestsTo><HostName>new.example</HostName><Protocol>https</Protocol></RedirectAllRequestsTo>"

    async def story(site: Site) -> None:
        await build(site, everything)
        answer = await visit(site, "/a%20b", host="bkt.s3-website-eu-west-1.s3.test")
        assert (answer.status, answer.headers["location"]) == (301, "https://new.example/a%20b")

    tell(tmp_path, story)


def test_what_is_set_is_told_until_it_is_taken_away(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await build(site, INDEX, ERROR, RULES)
        told = (await site.call("GET", "/bkt?website")).body
        assert (await site.call("PUT", "/bkt?website", told.partition(b"\n")[2])).status == 200
        assert (await site.call("GET", "/bkt?website")).body == told
        assert (await site.call("DELETE", "/bkt?website")).status == 204
        assert (await site.call("GET", "/bkt?website")).code == "NoSuchWebsiteConfiguration"
        assert (await visit(site, "/")).status == 404

    tell(tmp_path, story)


def rule(text: str) -> str:
    return f"{INDEX}<RoutingRules><RoutingRule>{text}</RoutingRule></RoutingRules>"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "InvalidArgument"),
        ("<IndexDocument><Suffix>a/b</Suffix></IndexDocument>", "InvalidArgument"),
        ("<RedirectAllRequestsTo/>", "InvalidArgument"),
        ("<RedirectAllRequestsTo><HostName>a</HostName></RedirectAllRequestsTo>" + INDEX, "InvalidArgument"),
        ("<RedirectAllRequestsTo><HostName>a&#10;b</HostName></RedirectAllRequestsTo>", "InvalidArgument"),
        ("<RedirectAllRequestsTo><HostName>a/b</HostName></RedirectAllRequestsTo>", "InvalidArgument"),
        ("<RedirectAllRequestsTo><HostName>a</HostName><Protocol>ftp</Protocol></RedirectAllRequestsTo>", "InvalidArgument"),
        (rule(""), "MalformedXML"),
        (rule("<Redirect/>"), "MalformedXML"),
        (rule("<Condition/><Redirect><HostName>a</HostName></Redirect>"), "MalformedXML"),
        (rule("<Redirect><HttpRedirectCode>200</HttpRedirectCode></Redirect>"), "InvalidArgument"),
        (rule("<Redirect><ReplaceKeyWith/><ReplaceKeyPrefixWith/></Redirect>"), "InvalidArgument"),
        (INDEX + f"<ErrorDocument><Key>{'k' * 1025}</Key></ErrorDocument>", "InvalidArgument"),
        (INDEX + " " * (128 << 10), "InvalidArgument"),
    ],
)  # fmt: skip
def test_what_no_website_can_be_is_refused(tmp_path: Path, text: str, code: str) -> None:
    async def story(site: Site) -> None:
        assert (await site.call("PUT", "/bkt?website", website(text))).code == code

    tell(tmp_path, story)


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_key_leads_to_another_host(key: str, port: str) -> None:
    for path in map(path_of, (key, f"/{key}", f"\\{key}", f"\r\n{key}")):
        assert path.startswith("/")
        assert not path.startswith(("//", "/\\"))
        assert path.isascii()
        assert path.isprintable()
    there = location(Redirect(protocol="https"), key, f"{HOST}:{port}")
    host = there.removeprefix("https://").partition("/")[0]
    assert host.partition(":")[0] == HOST


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("a.b.s3-website.s3.test", "a.b"), ("BKT.s3-website.S3.test:80", "bkt"),
        ("bkt.s3-website-us-east-1.s3.test", "bkt"), ("bkt.s3-website.eu-1.s3.test", "bkt"),
        ("bkt.s3.test", ""), ("s3-website.s3.test", ""), ("bkt.s3-website.other", ""),
        ("bkt.s3-websites3.test", ""), ("", ""),
    ],
)  # fmt: skip
def test_the_host_name_of_a_website(host: str, bucket: str) -> None:
    assert site_of(host, "s3.test") == bucket

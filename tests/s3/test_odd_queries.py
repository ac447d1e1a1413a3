"""What goes with another method, with nothing, or with no length: it changes nothing."""

from pathlib import Path

import pytest

from tests.s3.site import Site, parsed, request, tell


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("DELETE", "/bkt/k?acl"),
        ("DELETE", "/bkt/k?retention"),
        ("DELETE", "/bkt/k?legal-hold"),
        ("DELETE", "/bkt/k?torrent"),
        ("DELETE", "/bkt/k?partNumber=1"),
        ("PUT", "/bkt/k?attributes"),
        ("PUT", "/bkt/k?uploads"),
        ("PUT", "/bkt/k?partNumber=1"),
        ("PUT", "/bkt/k?uploadId=x"),
        ("DELETE", "/bkt?versioning"),
        ("DELETE", "/bkt?acl"),
        ("DELETE", "/bkt?list-type=2"),
        ("PUT", "/new?versions"),
    ],
)
def test_what_has_no_such_method_is_refused_and_not_taken_for_the_whole(
    method: str, target: str, tmp_path: Path
) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"kept")
        refused = await site.call(method, target, b"other" if method == "PUT" else b"")
        kept = await site.call("GET", "/bkt/k")
        assert (refused.status, refused.code, kept.body) == (405, "MethodNotAllowed", b"kept")

    tell(tmp_path, story)


def test_an_empty_version_is_not_the_current_one(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"kept")
        refused = await site.call("DELETE", "/bkt/k?versionId=")
        kept = await site.call("GET", "/bkt/k?x-id=GetObject")
        assert (refused.code, kept.body) == ("InvalidArgument", b"kept")

    tell(tmp_path, story)


def test_what_clients_add_for_themselves_is_passed_over(tmp_path: Path) -> None:
    async def story(site: Site) -> None:
        put = await site.call("PUT", "/bkt/k?x-id=PutObject", b"1")
        gone = await site.call("DELETE", "/bkt/k?x-id=DeleteObject")
        assert (put.status, gone.status) == (200, 204)

    tell(tmp_path, story)


@pytest.mark.parametrize("target", ["/bkt/k", "/bkt/k?partNumber=1&uploadId=x"])
def test_a_put_that_says_no_length_is_not_taken_for_an_empty_one(
    target: str, tmp_path: Path
) -> None:
    async def story(site: Site) -> None:
        await site.call("PUT", "/bkt/k", b"kept")
        sent = request("PUT", target).replace(b"content-length: 0\r\n", b"")
        refused = parsed(await site.raw(sent))
        kept = await site.call("GET", "/bkt/k")
        assert (refused.status, refused.code, kept.body) == (411, "MissingContentLength", b"kept")

    tell(tmp_path, story)

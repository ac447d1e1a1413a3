"""Documents of the right shape with noise in them: each is taken or refused, and none breaks us."""

import contextlib
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skerry.objects import buckets, lifecycle
from skerry.s3.errors import xml_text
from tests.s3.site import Site, tell
from tests.s3.test_lock import send

SHAPES = {
    "/bkt?cors": "<CORSConfiguration><CORSRule><AllowedOrigin>_</AllowedOrigin><AllowedOrigin>_"
    "</AllowedOrigin><AllowedMethod>_</AllowedMethod><AllowedHeader>_</AllowedHeader><ExposeHeader>_"
    "</ExposeHeader><MaxAgeSeconds>_</MaxAgeSeconds></CORSRule></CORSConfiguration>",
    "/bkt?website": "<WebsiteConfiguration><IndexDocument><Suffix>_</Suffix></IndexDocument>"
    "<ErrorDocument><Key>_</Key></ErrorDocument><RoutingRules><RoutingRule><Condition>"
    "<KeyPrefixEquals>_</KeyPrefixEquals><HttpErrorCodeReturnedEquals>_"
    "</HttpErrorCodeReturnedEquals></Condition><Redirect><HostName>_</HostName><Protocol>_</Protocol>"
    "<ReplaceKeyWith>_</ReplaceKeyWith><HttpRedirectCode>_</HttpRedirectCode></Redirect>"
    "</RoutingRule></RoutingRules></WebsiteConfiguration>",
    "/bkt?website&all": "<WebsiteConfiguration><RedirectAllRequestsTo><HostName>_</HostName><Protocol>_"
    "</Protocol></RedirectAllRequestsTo></WebsiteConfiguration>",
    "/bkt?quota": "<Quota><Bytes>_</Bytes><Objects>_</Objects></Quota>",
    "/bkt?tagging": "<Tagging><TagSet><Tag><Key>_</Key><Value>_</Value></Tag></TagSet></Tagging>",
    "/locked/k?tagging": "<Tagging><TagSet><Tag><Key>_</Key></Tag></TagSet></Tagging>",
    "/locked?object-lock": "<ObjectLockConfiguration><ObjectLockEnabled>_</ObjectLockEnabled><Rule>"
    "<DefaultRetention><Mode>_</Mode><Days>_</Days><Years>_</Years></DefaultRetention></Rule>"
    "</ObjectLockConfiguration>",
    "/locked/k?retention": "<Retention><Mode>_</Mode><RetainUntilDate>_</RetainUntilDate></Retention>",
    "/locked/k?legal-hold": "<LegalHold><Status>_</Status></LegalHold>",
    "/bkt?lifecycle": "<LifecycleConfiguration><Rule><ID>_</ID><Status>Enabled</Status><Filter><Prefix>_"
    "</Prefix></Filter><Expiration><Days>_</Days><Date>_</Date><Seconds>_</Seconds></Expiration>"
    "<NoncurrentVersionExpiration><NoncurrentDays>_</NoncurrentDays><NewerNoncurrentVersions>_"
    "</NewerNoncurrentVersions></NoncurrentVersionExpiration></Rule></LifecycleConfiguration>",
    "/bkt?lifecycle&date": "<LifecycleConfiguration><Rule><Status>Enabled</Status><Expiration><Date>_"
    "</Date></Expiration></Rule></LifecycleConfiguration>",
    "/bkt?notification": "<NotificationConfiguration><QueueConfiguration><Id>_</Id><Queue>_</Queue>"
    "<Event>_</Event></QueueConfiguration></NotificationConfiguration>",
    "/bkt?ownershipControls": "<OwnershipControls><Rule><ObjectOwnership>_</ObjectOwnership></Rule>"
    "</OwnershipControls>",
}
NOISE = st.one_of(
    st.sampled_from(["GET", "*", "1", "-1", "301", "404", "http", "a.b", "Enabled", "GOVERNANCE",
                     "ON", "2030-01-01T00:00:00Z", "9999-12-31", "2299-01-01", "0001-01-01", "2023-11-15T00:00:00+23:59",
                     "index", "\u0665", "9" * 30, "", None]),
    st.text(st.characters(codec="utf-8"), max_size=8),
)  # fmt: skip
documents = st.tuples(st.sampled_from(sorted(SHAPES)), st.lists(NOISE, min_size=9, max_size=9))


def filled(shape: str, noise: list[str | None]) -> str:
    """Return a document with noise in its places; an element is left out where that is None."""
    texts = iter(noise)

    def element(match: re.Match[str]) -> str:
        text = next(texts)
        return "" if text is None else f"<{match[1]}>{xml_text(text)}</{match[1]}>"

    return re.sub(r"<(\w+)>_</\1>", element, shape)


@settings(max_examples=25, deadline=None)
@given(st.lists(documents, min_size=25, max_size=25))
def test_documents_with_noise_are_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory, told: list[tuple[str, list[str | None]]]
) -> None:
    async def story(site: Site) -> None:
        await buckets.make(site.objects, "locked", "root", has_lock=True)
        await send(site, "PUT", "/locked/k", "x")
        for target, noise in told:
            answer = await send(site, "PUT", target, filled(SHAPES[target], noise))
            assert answer.status < 500, (target, noise)
            assert (await site.call("GET", target)).status < 500
            assert (await site.call("PUT", "/bkt/other", b"x")).status != 500
            await lifecycle.act(site.objects)
            for host in ("x", "bkt.s3-website.s3.test"):
                seen = await site.call("GET", "/bkt/index", b"", host=host, origin="a.b")
                assert seen.status < 500

    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        tell(tmp_path_factory.mktemp("s3"), story)
    assert said.getvalue() == ""

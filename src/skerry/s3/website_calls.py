"""Operations on what makes a bucket a website, and the answers that visitors of one get.

A visitor is nobody: they see what everybody may read, and errors are pages.
"""

from __future__ import annotations

import dataclasses
import html
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from skerry.base import Denied, Invalid, NotFound, SkerryError
from skerry.objects import buckets, versions
from skerry.s3.access import may_list, may_object
from skerry.s3.call import NAMESPACE, Call, bucket_of, empty, xml
from skerry.s3.connection import Response
from skerry.s3.errors import told
from skerry.s3.ingest import read_small
from skerry.s3.object_calls import REDIRECT, get_object, head_object, present
from skerry.s3.router import Operation
from skerry.s3.website import Website, location, path_of, rule_for, website_in, website_xml

if TYPE_CHECKING:
    from skerry.objects.model import Version

SETTING = "website"
_HTML = ("Content-Type", "text/html; charset=utf-8")
_CONDITIONAL = ("if-", "range")


async def get_website(call: Call) -> Response:
    """Tell how a bucket is a website."""
    site = _website(call)
    return xml(f"<WebsiteConfiguration {NAMESPACE}>{website_xml(site)}</WebsiteConfiguration>")


async def put_website(call: Call) -> Response:
    """Make a bucket a website."""
    document = msgspec.json.encode(website_in(await read_small(call)))
    await buckets.put_setting(call.objects, call.bucket, SETTING, document)
    return empty()


async def delete_website(call: Call) -> Response:
    """Have a bucket be no website."""
    await buckets.put_setting(call.objects, call.bucket, SETTING, None)
    return empty(204)


async def visit(call: Call) -> Response:
    """Answer a visitor of a bucket's website. call: of nobody; its key is the path, without `/`."""
    try:
        if call.request.method not in ("GET", "HEAD"):
            raise Invalid("method_not_allowed", "The specified method is not allowed here.")
        site = _website(call)
    except SkerryError as error:
        return _page(call, error)
    if site.all_to is not None:
        return _moved(301, location(site.all_to, call.key, ""))
    return await _shown(call, site)


async def _shown(call: Call, site: Website) -> Response:
    host = call.header("host") or ""
    if rule := rule_for(site.rules, call.key, 0):
        return _moved(rule.redirect.code, location(rule.redirect, call.key, host, rule.prefix))
    is_folder = not call.key or call.key.endswith("/")
    key = call.key + site.index if is_folder else call.key
    try:
        version = _readable(call, key)
        if target := version.headers.get(REDIRECT):
            return _moved(301, target)
        return await _given(call, key)
    except SkerryError as error:
        is_missing = isinstance(error, (NotFound, Denied)) and not is_folder
        if is_missing and _is_folder(call, f"{call.key}/{site.index}"):
            return _moved(302, path_of(f"{call.key}/"))
        status = told(error).status
        if rule := rule_for(site.rules, call.key, status):
            return _moved(rule.redirect.code, location(rule.redirect, call.key, host, rule.prefix))
        return await _error_shown(call, site, error)


async def _error_shown(call: Call, site: Website, error: SkerryError) -> Response:
    answer = told(error)
    if not site.error or not 400 <= answer.status < 500:
        return _page(call, error)
    try:
        _readable(call, site.error)
        headers = {
            name: value
            for name, value in call.request.headers.items()
            if not name.startswith(_CONDITIONAL)
        }
        plain = dataclasses.replace(
            call, request=dataclasses.replace(call.request, headers=headers)
        )
        response = await _given(plain, site.error)
    except SkerryError:
        return _page(call, error)
    response.status = answer.status
    response.headers.append(("x-amz-error-code", answer.code))
    return response


def _website(call: Call) -> Website:
    document = bucket_of(call).settings.get(SETTING)
    if document is None:
        raise NotFound("no_such_website", "The bucket is no website.")
    return msgspec.json.decode(document, type=Website)


def _readable(call: Call, key: str) -> Version:
    """Return the version that everybody may read. Raises Denied(access_denied), NotFound."""
    if not may_object(call, "s3:GetObject", call.bucket, key):
        raise Denied("access_denied", "Not everybody may read this.")
    try:
        return present(versions.find(call.objects, bucket_of(call), key), None).version
    except NotFound:
        if may_list(call):
            raise
        raise Denied("access_denied", "Not everybody may read this.") from None


def _is_folder(call: Call, index: str) -> bool:
    try:
        return not _readable(call, index).is_marker
    except SkerryError:
        return False


async def _given(call: Call, key: str) -> Response:
    give = head_object if call.request.method == "HEAD" else get_object
    return await give(dataclasses.replace(call, key=key))


def _moved(status: int, target: str) -> Response:
    return empty(status, [("Location", target)])


def _page(call: Call, error: SkerryError) -> Response:
    """Return an error as a page. What is said on it is escaped: the key is a visitor's."""
    answer = told(error)
    title = f"{answer.status} {HTTPStatus(answer.status).phrase}"
    facts = {"Code": answer.code, "Message": error.message, "BucketName": call.bucket,
             "Key": call.key, "RequestId": call.request_id}  # fmt: skip
    listed = "".join(
        f"<li>{name}: {html.escape(text)}</li>\n" for name, text in facts.items() if text
    )
    body = (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n<ul>\n{listed}"
        "</ul>\n<hr/>\n</body>\n</html>\n"
    )
    return Response(answer.status, [_HTML], body.encode("utf-8", "replace"))


OPERATIONS = (
    Operation(
        name="GetBucketWebsite", method="GET", on="bucket", handler=get_website,
        query={"website": ""},
    ),
    Operation(
        name="PutBucketWebsite", method="PUT", on="bucket", handler=put_website,
        query={"website": ""},
    ),
    Operation(
        name="DeleteBucketWebsite", method="DELETE", on="bucket", handler=delete_website,
        query={"website": ""},
    ),
)  # fmt: skip

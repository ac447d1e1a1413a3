"""Calls about web addresses: who may open them, domains, share links."""

from typing import Any

import pytest

from tests.api.conftest import Served
from tests.api.test_calls import call

URL = "/v1/boxes/dev/url"


@pytest.fixture
def dev(served: Served) -> Served:
    """The served API, with a box called dev."""
    assert call(served, "POST", "/v1/boxes", {"name": "dev"})[0] == 201
    return served


def test_a_web_address_is_private_until_somebody_opens_it(dev: Served) -> None:
    status, told, _ = call(dev, "GET", URL, scope="read")
    assert (status, told["access"], told["domains"]) == (200, "private", [])

    assert call(dev, "PUT", URL, {"access": "public"}, scope="write")[1]["access"] == "public"
    told = call(dev, "PUT", URL, {"domains": ["Shop.Example.com"]}, scope="write")[1]
    assert (told["access"], told["domains"]) == ("public", ["shop.example.com"])
    assert call(dev, "PUT", URL, {"domains": []}, scope="write")[1]["domains"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "scope", "status", "code"),
    [
        ("GET", URL, None, None, 401, "no_token"),
        ("PUT", URL, {"access": "public"}, "read", 403, "scope_missing"),
        ("POST", URL + "/shares", {}, "read", 403, "scope_missing"),
        ("DELETE", URL + "/shares", None, "read", 403, "scope_missing"),
        ("GET", "/v1/boxes/no/url", None, "read", 404, "box_not_found"),
        ("PUT", URL, {"access": "secret"}, "write", 400, "bad_body"),
        ("PUT", URL, {"domains": ["dev.localhost"]}, "write", 400, "bad_domain"),
        ("POST", URL + "/shares", {"expire": 0}, "write", 400, "bad_share"),
        ("POST", URL + "/shares", {"expire": -1}, "write", 400, "bad_share"),
        ("POST", URL + "/shares", {"expire": 10**18}, "write", 400, "bad_share"),
        ("POST", URL + "/shares", {"expire": "2y"}, "write", 400, "bad_body"),
    ],
)
def test_what_is_refused(
    dev: Served, method: str, path: str, body: Any, scope: str | None, status: int, code: str
) -> None:
    found, told, _ = call(dev, method, path, body, scope=scope)

    assert (found, told["code"]) == (status, code)


def test_two_boxes_want_one_domain(dev: Served) -> None:
    call(dev, "POST", "/v1/boxes", {"name": "other"})
    body = {"domains": ["shop.example.com"]}
    assert call(dev, "PUT", URL, body)[0] == 200

    status, told, _ = call(dev, "PUT", "/v1/boxes/other/url", body)
    assert (status, told["code"]) == (409, "domain_taken")


def test_a_share_link_needs_a_gateway(dev: Served) -> None:
    status, told, _ = call(dev, "POST", URL + "/shares", {"expire": "1h"})
    assert (status, told["code"]) == (409, "no_gateway")


def test_ending_all_links_says_nothing_and_may_be_repeated(dev: Served) -> None:
    for _ in range(2):
        assert call(dev, "DELETE", URL + "/shares", scope="write")[0] == 204

"""Deleting many at once: whether each may go is asked in turns, since a policy can be slow."""

import asyncio
from typing import Any, cast
from xml.etree.ElementTree import Element, SubElement

from skerry.s3.call import Call
from skerry.s3.connection import Request
from skerry.s3.identity import Identity
from skerry.s3.listing_calls import refusals


def named(count: int) -> Element:
    made = Element("Delete")
    for number in range(count):
        SubElement(SubElement(made, "Object"), "Key").text = f"k{number}"
    return made


def call_of(identity: Identity) -> Call:
    nothing = cast("Any", None)
    request = Request("POST", b"/bkt?delete", {}, nothing, 0, "")
    return Call(
        objects=nothing, request=request, bucket="bkt", key="", query={}, identity=identity,
        claim=None, secret="", region="", request_id="", keyring=nothing,
    )  # fmt: skip


def test_others_have_their_turn_while_a_thousand_keys_are_asked_for() -> None:
    async def story() -> int:
        asking = asyncio.ensure_future(refusals(call_of(Identity(is_root=True)), list(named(1000))))
        turns = 0
        while not asking.done():
            await asyncio.sleep(0)
            turns += 1
        assert asking.result() == [None] * 1000
        return turns

    assert asyncio.run(story()) > 1000 / 20

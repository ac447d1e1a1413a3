"""Calls about SSH keys: each account has its own. And passes, which only the SSH door is given."""

from typing import Annotated

from msgspec import Meta, Struct
from starlette.responses import Response

from skerry import accounts
from skerry.accounts import Key
from skerry.api.routing import Call, Operation, answer
from skerry.base import rfc3339
from skerry.wire import keys as shapes


class KeysQuery(Struct):
    """The query of `GET /v1/keys`. fingerprint: only this one; empty is all."""

    fingerprint: Annotated[str, Meta(max_length=64)] = ""


class OneKey(Struct):
    """The query of `DELETE /v1/keys`: a name or a fingerprint."""

    key: Annotated[str, Meta(min_length=1, max_length=128)]


async def add_key(call: Call) -> Response:
    """Let whoever holds the key in, as whoever asks."""
    body = await call.body(shapes.AddKey)
    known = call.services.accounts
    made = await accounts.add_key(known, call.token, body.public_key, body.name)
    return answer(_key(made), 201)


async def list_keys(call: Call) -> Response:
    """List the keys of whoever asks; the machine's own socket has those of everybody."""
    asked = call.query(KeysQuery)
    owner = None if call.token is accounts.LOCAL else call.token
    known = call.services.accounts
    if asked.fingerprint:
        # Strangers have the door ask this, as often as they like: the index finds it.
        found = accounts.find_key(known, asked.fingerprint)
        keys = [found] if found and (owner is None or found.token_id == owner.token_id) else []
    else:
        keys = accounts.list_keys(known, owner)
    return answer([_key(key) for key in keys])


async def delete_key(call: Call) -> Response:
    """Let nobody in by a key any more. What is logged in stays until its next call."""
    asked = call.query(OneKey)
    await accounts.delete_key(call.services.accounts, call.token, asked.key)
    return Response(status_code=204)


async def make_pass(call: Call) -> Response:
    """Give a pass for the account that a key belongs to."""
    body = await call.body(shapes.NewPass)
    known = call.services.accounts
    _, text, owner = accounts.make_pass(known, body.public_key)
    ends_at_ns = known.clock.now_ns() + accounts.PASS_NS
    told = shapes.PassShape(account=owner.name, text=text, expires_at=rfc3339(ends_at_ns))
    return answer(told, 201)


def _key(key: Key) -> shapes.KeyShape:
    return shapes.KeyShape(
        name=key.name,
        fingerprint=key.fingerprint,
        type=key.kind,
        account=key.account,
        public_key=key.public_key,
        created_at=rfc3339(key.created_at_ns),
        last_used_at=rfc3339(key.last_used_at_ns) if key.last_used_at_ns else None,
    )


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST", path="/keys", name="add_key", summary="Let an SSH key in",
        handler=add_key, scope="write", body=shapes.AddKey, answer=shapes.KeyShape, status=201,
        errors=(409, 429),
    ),
    Operation(
        method="GET", path="/keys", name="list_keys", summary="List your SSH keys",
        handler=list_keys, scope="read", query=KeysQuery, answer=list[shapes.KeyShape],
    ),
    Operation(
        method="DELETE", path="/keys", name="delete_key",
        summary="Let nobody in by an SSH key any more", handler=delete_key, scope="write",
        query=OneKey, status=204, errors=(404,),
    ),
    Operation(
        method="POST", path="/keys/pass", name="make_pass",
        summary="Give a pass for an SSH key's account", handler=make_pass, scope="admin",
        body=shapes.NewPass, answer=shapes.PassShape, status=201, errors=(404,),
        documented=False, local=True,
    ),
)  # fmt: skip

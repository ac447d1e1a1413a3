"""Calls that are not about one box: tokens, version, checks; and those that are not built yet."""

import asyncio
import os
from typing import Literal, TypeAlias

import msgspec
from starlette.responses import Response

import skerry
from skerry import accounts, boxes, wire
from skerry.accounts import Token
from skerry.api.routing import Call, Operation, answer
from skerry.base import NotBuilt, NotFound, rfc3339


async def create_token(call: Call) -> Response:
    """Make a token and tell its secret, this once."""
    body = await call.body(wire.CreateToken)
    scopes = tuple(body.scopes) if body.scopes is not None else ("read", "write")
    token, text = await accounts.create(call.services.accounts, body.name, scopes)
    made = wire.CreatedToken(
        id=token.token_id,
        name=token.name,
        scopes=list(token.scopes),
        created_at=rfc3339(token.created_at_ns),
        token=text,
    )
    return answer(made, 201)


async def list_tokens(call: Call) -> Response:
    """List tokens, without their secrets."""
    return answer([_token_shape(t) for t in accounts.list_tokens(call.services.accounts)])


async def revoke_token(call: Call) -> Response:
    """Make a token worthless."""
    await accounts.revoke(call.services.accounts, call.path("token"))
    return Response(status_code=204)


async def version(call: Call) -> Response:
    """Tell what runs here."""
    counts = boxes.counts(call.boxes)
    return answer(
        wire.Version(
            version=skerry.__version__,
            instance=call.services.instance,
            boxes=sum(counts.values()),
            pid=os.getpid(),
        )
    )


async def doctor(call: Call) -> Response:
    """Tell what this machine has and lacks."""
    checks = [
        msgspec.convert(check, wire.CheckResult)
        for check in await asyncio.to_thread(call.services.doctor)
    ]
    return answer(wire.DoctorReport(all(c.state != "missing" for c in checks), checks))


async def health(_call: Call) -> Response:
    """Say that the daemon answers."""
    return Response(b"ok\n", media_type="text/plain")


async def no_control(_call: Call) -> Response:
    """Answer as the Sprites SDKs expect of a server without the control channel: they do without."""
    raise NotFound("no_such_call", "There is no control channel; each exec has its own connection.")


async def not_built(_call: Call) -> Response:
    """Say of a call of the Sprites protocol that it is not here yet."""
    raise NotBuilt("not_built", "This call is not built yet. The changelog says what is.")


def _token_shape(token: Token) -> wire.Token:
    return wire.Token(
        id=token.token_id,
        name=token.name,
        scopes=list(token.scopes),
        created_at=rfc3339(token.created_at_ns),
        last_used_at=rfc3339(token.last_used_at_ns) if token.last_used_at_ns else None,
    )


_Method: TypeAlias = Literal["GET", "POST", "PUT", "DELETE"]
_NOT_BUILT: tuple[tuple[_Method, str], ...] = (
    ("GET", "/policy/privileges"), ("POST", "/policy/privileges"), ("DELETE", "/policy/privileges"),
    ("POST", "/upgrade"),
)  # fmt: skip


def _by_id(method: _Method, path: str) -> str:
    return method.lower() + path.replace("/", "_").replace("{", "").replace("}", "")


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST", path="/tokens", name="create_token", summary="Make a token",
        handler=create_token, scope="admin", body=wire.CreateToken, answer=wire.CreatedToken,
        status=201, errors=(429,),
    ),
    Operation(
        method="GET", path="/tokens", name="list_tokens", summary="List tokens",
        handler=list_tokens, scope="admin", answer=list[wire.Token],
    ),
    Operation(
        method="DELETE", path="/tokens/{token}", name="revoke_token", summary="Revoke a token",
        handler=revoke_token, scope="admin", status=204, errors=(404,),
    ),
    Operation(
        method="GET", path="/version", name="get_version", summary="Tell what runs here",
        handler=version, scope="read", answer=wire.Version,
    ),
    Operation(
        method="GET", path="/doctor", name="get_doctor", summary="Tell what this machine lacks",
        handler=doctor, scope="admin", answer=wire.DoctorReport,
    ),
    Operation(
        method="GET", path="/healthz", name="get_health", summary="Say that the daemon answers",
        handler=health, scope=None, content="text/plain",
    ),
    Operation(
        method="GET", path="/boxes/{name}/control", name="control_channel",
        summary="There is no control channel", handler=no_control, scope="read",
        status=404, documented=False,
    ),
    *(
        Operation(
            method=method, path="/boxes/{name}" + path,
            name=_by_id(method, path),
            summary="Not built yet", handler=not_built, scope="read", status=501, documented=False,
        )
        for method, path in _NOT_BUILT
    ),
)  # fmt: skip

"""Shapes of web addresses: who may open them, domains, share links."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from skerry.wire.words import Duration

Access = Literal["private", "public"]
Domain = Annotated[str, Meta(min_length=1, max_length=255, description="such as app.example.com")]


class Url(Struct, kw_only=True):
    """A box's web address. access: `private` opens it by token, login or share link only.

    url: None where this daemon has no gateway. domains: names of the box's own.
    """

    url: str | None
    access: Access
    domains: list[str]


class ChangeUrl(Struct):
    """The body of `PUT /v1/boxes/{name}/url`: what is left out stays as it is."""

    access: Access | None = None
    domains: Annotated[list[Domain], Meta(max_length=32)] | None = None


class NewShare(Struct):
    """The body of `POST /v1/boxes/{name}/url/shares`. expire: a duration or seconds."""

    expire: Duration | int = "1h"


class Share(Struct, kw_only=True):
    """A link that opens a private web address until it ends."""

    url: str
    expires_at: str


class Publication(Struct, kw_only=True):
    """A port of a box that is one of this machine too. listen: ADDRESS:PORT there."""

    listen: Annotated[str, Meta(min_length=3, max_length=80)]
    port: Annotated[int, Meta(ge=1, le=65535)]


class Unpublish(Struct):
    """The query of `DELETE /v1/boxes/{name}/published`."""

    listen: Annotated[str, Meta(min_length=3, max_length=80)]

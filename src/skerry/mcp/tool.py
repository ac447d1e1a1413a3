"""What a tool is: a name, arguments, an answer, and what a client may be told of it beforehand.

Knows no tool, and nothing of how a call comes here.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from mcp import Tool as ToolShape
from mcp_types import ToolAnnotations
from msgspec import Meta, Struct

from skerry import client
from skerry.base import Conflict, Invalid, NotFound

_S = TypeVar("_S", bound=Struct)

_CALL_SECONDS_MAX = 600.0  # what the SDK waits for without a limit of its own is a restore

BoxName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$",
        description="The box's name: lower case letters, digits and hyphens.",
    ),
]
BoxId = Annotated[
    str,
    Meta(
        pattern=r"^box_[0-9a-hjkmnp-tv-z]{16}$",
        description="The id that create_box or get_box told. With it the call is refused if the "
        "box of that name is another one by now; nothing is done to that one.",
    ),
]
Path = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4096,
        description="A path in the box; one that is not absolute begins at the home directory.",
    ),
]
AsRoot = Annotated[bool, Meta(description="Act as root instead of as the box's user.")]

Progress: TypeAlias = Callable[[float, str], Awaitable[None]]
"""Tells a client how far a call is: a number that grows, and a line for people."""

# Whether a tool only looks, adds something, changes what is there, or may lose something.
Effect: TypeAlias = Literal["looks", "adds", "changes", "loses"]


class Arguments(Struct, kw_only=True, forbid_unknown_fields=True):
    """Takes no arguments."""


class OnBox(Arguments, kw_only=True):
    """Names a box."""

    box: BoxName
    box_id: BoxId | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a tool: the Skerry with the caller's rights, and the way to tell progress."""

    cloud: client.Cloud
    tell: Progress

    async def box(self, asked: OnBox) -> client.Box:
        """Return the box that is meant.

        With an id, all that is done then is done to the box of that id: whatever gets its name
        meanwhile is not touched. Raises Conflict(box_replaced).
        """
        if asked.box_id is None:
            return self.cloud.box(asked.box)
        box = self.cloud.box(asked.box_id)
        try:
            found = await box.info()
        except NotFound:
            raise Conflict(
                "box_replaced",
                f"The box {asked.box!r} with the id {asked.box_id} is gone. If there is one of "
                "that name, it is another: look at it with get_box before you use it.",
            ) from None
        if found.name != asked.box:
            raise Conflict(
                "box_replaced",
                f"{asked.box_id} is the box {found.name!r}, not {asked.box!r}. Say the name and "
                "the id of the same box.",
            )
        return box


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One tool. description: for the model that decides whether to use it.

    repeatable: whether calling it twice does no more than calling it once. seconds_max: after so
    many a call of it is given up, whatever it waits for.
    """

    name: str
    title: str
    description: str
    arguments: type[Arguments]
    answer: type[Struct]
    run: Callable[[Call, Any], Awaitable[Struct]]
    effect: Effect
    repeatable: bool = False
    seconds_max: float = _CALL_SECONDS_MAX
    # Whether it may reach beyond the box, to the Internet.
    is_open: bool = False

    def shape(self) -> ToolShape:
        """Return what a client is told of it."""
        looks = self.effect == "looks"
        return ToolShape(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=schema_of(self.arguments),
            output_schema=schema_of(self.answer),
            annotations=ToolAnnotations(
                read_only_hint=looks,
                destructive_hint=self.effect == "loses",
                idempotent_hint=looks or self.repeatable,
                open_world_hint=self.is_open,
            ),
        )


def schema_of(shape: type[Struct]) -> dict[str, Any]:
    """Return the JSON schema of shape, an object at its root as the protocol wants it."""
    _, components = msgspec.json.schema_components([shape], ref_template="#/$defs/{name}")
    schema: dict[str, Any] = components.pop(shape.__name__)
    return schema | ({"$defs": components} if components else {})


def read_arguments(tool: Tool, arguments: object) -> Arguments:
    """Return arguments as the shape that tool takes. Raises Invalid(bad_arguments)."""
    try:
        return msgspec.convert(arguments, tool.arguments)
    except msgspec.ValidationError as error:
        raise Invalid(
            "bad_arguments", f"These are not the arguments of {tool.name}: {error}."
        ) from None


def told(shape: type[_S], *known: Struct, **more: object) -> _S:
    """Return a shape for agents with what known shapes and more say; what it lacks is left out."""
    fields: dict[str, object] = {}
    for each in known:
        fields |= msgspec.structs.asdict(each)
    return msgspec.convert(fields | more, shape, from_attributes=True)


def by_name(tables: Sequence[Sequence[Tool]]) -> dict[str, Tool]:
    """Return the tools of all tables by their names."""
    tools = [tool for table in tables for tool in table]
    found = {tool.name: tool for tool in tools}
    assert len(found) == len(tools), "no two tools have one name"
    return found

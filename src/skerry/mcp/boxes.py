"""Tools about boxes: list, create, look, destroy, bring back, start, stop, fork, stay awake."""

from typing import Annotated

from msgspec import Meta, Struct, field

from skerry import wire
from skerry.mcp.tool import Arguments, BoxName, Call, OnBox, Tool, told
from skerry.wire.boxes import Status

_BOXES_TOLD_MAX = 500
_HOLD_SECONDS_MAX = 86_400


class BoxTold(Struct, kw_only=True):
    """A box. A warm or cold one sleeps, and wakes by itself when it is used."""

    id: str
    name: str
    status: Status
    image: str
    labels: list[str]
    limits: wire.Limits
    url: str | None
    created_at: str
    forked_from: str | None


class BoxInUse(BoxTold, kw_only=True):
    """A box, and what it uses now."""

    usage: wire.Usage | None
    limits_hit: wire.LimitsHit | None


class BoxesTold(Struct):
    """Boxes in the order of their names. has_more: whether some were left out; say a prefix."""

    boxes: list[BoxTold]
    has_more: bool


class Done(Struct, kw_only=True):
    """What was done."""

    done: str


class ListBoxes(Arguments, kw_only=True):
    """Which boxes to list."""

    prefix: Annotated[str, Meta(max_length=63, description="Only boxes whose names begin so.")] = ""
    label: Annotated[str, Meta(max_length=63, description="Only boxes with this label.")] | None = (
        None
    )


class CreateBox(Arguments, kw_only=True):
    """What box to make."""

    name: Annotated[BoxName | None, Meta(description="Left out, a name is made up and told.")] = (
        None
    )
    image: (
        Annotated[str, Meta(max_length=64, description="Left out, the server's default (Debian).")]
        | None
    ) = None
    cpus: Annotated[float, Meta(gt=0, le=wire.CPUS_MAX)] | None = None
    memory_bytes: (
        Annotated[int, Meta(ge=wire.MEMORY_BYTES_RANGE[0], le=wire.MEMORY_BYTES_RANGE[1])] | None
    ) = None
    disk_bytes: (
        Annotated[int, Meta(ge=wire.DISK_BYTES_RANGE[0], le=wire.DISK_BYTES_RANGE[1])] | None
    ) = None
    labels: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=63)]], Meta(max_length=32)
    ] = field(default_factory=list[str])
    env: Annotated[
        dict[str, str], Meta(max_length=256, description="Variables of every command in the box.")
    ] = field(default_factory=dict[str, str])


class UndoDestroy(Arguments, kw_only=True):
    """Which destroyed box to bring back."""

    box: Annotated[
        str, Meta(min_length=1, max_length=63, description="The name it had, or its id.")
    ]
    new_name: Annotated[
        BoxName | None, Meta(description="A name for it, if its own is taken by now.")
    ] = None


class ForkBox(OnBox, kw_only=True):
    """What to fork."""

    name: Annotated[
        BoxName | None, Meta(description="The new box's name; left out, one is made up.")
    ] = None
    checkpoint: (
        Annotated[
            str,
            Meta(max_length=32, description="Fork this checkpoint, not the disk as it is now."),
        ]
        | None
    ) = None


class HoldBox(OnBox, kw_only=True):
    """How long to keep a box awake."""

    name: Annotated[
        str, Meta(min_length=1, max_length=64, description="The hold's name; the same is renewed.")
    ] = "agent"
    seconds: Annotated[float, Meta(ge=1, le=_HOLD_SECONDS_MAX)]


async def list_boxes(call: Call, asked: ListBoxes) -> BoxesTold:
    """List boxes."""
    found = await call.cloud.boxes(prefix=asked.prefix, label=asked.label)
    shown = [told(BoxTold, box.details) for box in found[:_BOXES_TOLD_MAX] if box.details]
    return BoxesTold(shown, len(found) > len(shown))


async def create_box(call: Call, asked: CreateBox) -> BoxTold:
    """Make a box."""
    box = await call.cloud.create(
        asked.name, image=asked.image, cpus=asked.cpus, memory_bytes=asked.memory_bytes,
        disk_bytes=asked.disk_bytes, labels=asked.labels, env=asked.env,
    )  # fmt: skip
    assert box.details is not None, "who makes a box is told of it"
    return told(BoxTold, box.details)


async def get_box(call: Call, asked: OnBox) -> BoxInUse:
    """Tell a box."""
    return told(BoxInUse, await (await call.box(asked)).info())


async def destroy_box(call: Call, asked: OnBox) -> Done:
    """Destroy a box."""
    await (await call.box(asked)).destroy()
    return Done(done=f"{asked.box} is destroyed. For a while undo_destroy brings it back.")


async def undo_destroy(call: Call, asked: UndoDestroy) -> BoxTold:
    """Bring a box back."""
    box = await call.cloud.undo(asked.box, name=asked.new_name)
    assert box.details is not None, "who gets a box back is told of it"
    return told(BoxTold, box.details)


async def start_box(call: Call, asked: OnBox) -> BoxTold:
    """Start a box."""
    return told(BoxTold, await (await call.box(asked)).start())


async def stop_box(call: Call, asked: OnBox) -> BoxTold:
    """Stop a box."""
    return told(BoxTold, await (await call.box(asked)).stop())


async def fork_box(call: Call, asked: ForkBox) -> BoxTold:
    """Fork a box."""
    source = await call.box(asked)
    fork = await source.fork(asked.name, checkpoint=asked.checkpoint)
    assert fork.details is not None, "who forks a box is told of the fork"
    return told(BoxTold, fork.details)


async def why(call: Call, asked: OnBox) -> wire.Why:
    """Tell why a box is awake."""
    return await (await call.box(asked)).why()


async def hold(call: Call, asked: HoldBox) -> wire.Hold:
    """Keep a box awake."""
    return await (await call.box(asked)).hold(asked.name, asked.seconds)


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="list_boxes", title="List boxes", arguments=ListBoxes, answer=BoxesTold,
        run=list_boxes, effect="looks",
        description="List the boxes that you may use. A box is a persistent Linux computer: its "
        "disk stays until it is destroyed.",
    ),
    Tool(
        name="create_box", title="Create a box", arguments=CreateBox, answer=BoxTold,
        run=create_box, effect="adds",
        description="Make a new box and start it; this takes well under a second. Keep the id that "
        "it tells, and say it as box_id in later calls.",
    ),
    Tool(
        name="get_box", title="Look at a box", arguments=OnBox, answer=BoxInUse, run=get_box,
        effect="looks",
        description="Tell a box's id, status, limits and web address, and what it uses now.",
    ),
    Tool(
        name="destroy_box", title="Destroy a box", arguments=OnBox, answer=Done, run=destroy_box,
        effect="loses",
        description="End a box and all that runs in it. Ask the user first if the box holds work. "
        "For a while (a day, unless set otherwise) undo_destroy brings it back.",
    ),
    Tool(
        name="undo_destroy", title="Bring back a destroyed box", arguments=UndoDestroy,
        answer=BoxTold, run=undo_destroy, effect="changes",
        description="Bring a destroyed box back, with its disk and checkpoints.",
    ),
    Tool(
        name="start_box", title="Start a box", arguments=OnBox, answer=BoxTold, run=start_box,
        effect="changes", repeatable=True,
        description="Start a box, or wake it. Seldom needed: whatever uses a box wakes it.",
    ),
    Tool(
        name="stop_box", title="Stop a box", arguments=OnBox, answer=BoxTold, run=stop_box,
        effect="loses", repeatable=True,
        description="End everything that runs in a box. Its disk stays; the next use starts it "
        "again, its services with it.",
    ),
    Tool(
        name="fork_box", title="Fork a box", arguments=ForkBox, answer=BoxTold, run=fork_box,
        effect="adds",
        description="Make a new box with the same disk as this one has now, or had at a "
        "checkpoint. Cheap: data is shared until it changes. What runs does not come along. Good "
        "for trying several ways at once.",
    ),
    Tool(
        name="why", title="Why a box is awake", arguments=OnBox, answer=wire.Why, run=why,
        effect="looks",
        description="Tell what keeps a box awake, or when it will sleep. A box without a sign of "
        "life is frozen, later stopped; what runs in a frozen one goes on when it wakes.",
    ),
    Tool(
        name="hold", title="Keep a box awake", arguments=HoldBox, answer=wire.Hold, run=hold,
        effect="changes", repeatable=True,
        description="Keep a box awake for so long although nobody uses it, for work that goes on in "
        "the background. It costs what an awake box costs.",
    ),
)  # fmt: skip

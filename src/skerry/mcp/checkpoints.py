"""Tools about checkpoints: the disk of a box at one instant."""

from typing import Annotated

from msgspec import Meta, Struct

from skerry import wire
from skerry.mcp.tool import Call, OnBox, Tool

CheckpointName = Annotated[
    str,
    Meta(pattern="^(v|auto-)[1-9][0-9]{0,8}$", description="As checkpoint_list tells it: v1."),
]


class CheckpointCreate(OnBox, kw_only=True):
    """What to say of a new checkpoint."""

    comment: Annotated[str, Meta(max_length=1000, description="What the disk holds now.")] = ""


class CheckpointList(OnBox, kw_only=True):
    """Which checkpoints to list."""

    automatic: Annotated[
        bool, Meta(description="Those too that were made by themselves, before each restore.")
    ] = False


class OnCheckpoint(OnBox, kw_only=True):
    """Names a checkpoint."""

    checkpoint: CheckpointName


class CheckpointsTold(Struct):
    """Checkpoints, the oldest first."""

    checkpoints: list[wire.Checkpoint]


class Restored(Struct, kw_only=True):
    """What a restore did. kept: the checkpoint that has the state that was replaced."""

    restored: str
    kept: str


async def checkpoint_create(call: Call, asked: CheckpointCreate) -> wire.Checkpoint:
    """Make a checkpoint."""
    return await (await call.box(asked)).checkpoint(asked.comment)


async def checkpoint_list(call: Call, asked: CheckpointList) -> CheckpointsTold:
    """List checkpoints."""
    box = await call.box(asked)
    return CheckpointsTold(await box.checkpoints(automatic=asked.automatic))


async def checkpoint_get(call: Call, asked: OnCheckpoint) -> wire.Checkpoint:
    """Tell a checkpoint."""
    return await (await call.box(asked)).checkpoint_info(asked.checkpoint)


async def checkpoint_restore(call: Call, asked: OnCheckpoint) -> Restored:
    """Put a box back."""
    kept = await (await call.box(asked)).restore(asked.checkpoint)
    return Restored(restored=asked.checkpoint, kept=kept)


TOOLS: tuple[Tool, ...] = (
    Tool(
        name="checkpoint_create", title="Make a checkpoint", arguments=CheckpointCreate,
        answer=wire.Checkpoint, run=checkpoint_create, effect="adds",
        description="Keep the disk of a box as it is now, while it runs on. Quick and cheap: make "
        "one before anything risky, and checkpoint_restore is the way back.",
    ),
    Tool(
        name="checkpoint_list", title="List checkpoints", arguments=CheckpointList,
        answer=CheckpointsTold, run=checkpoint_list, effect="looks",
        description="List the checkpoints of a box, the oldest first.",
    ),
    Tool(
        name="checkpoint_get", title="Look at a checkpoint", arguments=OnCheckpoint,
        answer=wire.Checkpoint, run=checkpoint_get, effect="looks",
        description="Tell when a checkpoint was made, and its comment.",
    ),
    Tool(
        name="checkpoint_restore", title="Restore a checkpoint", arguments=OnCheckpoint,
        answer=Restored, run=checkpoint_restore, effect="loses",
        description="Put the disk of a box back to a checkpoint. Everything that runs in it ends; "
        "its services start again. The state that is replaced is kept as a checkpoint of its own.",
    ),
)  # fmt: skip

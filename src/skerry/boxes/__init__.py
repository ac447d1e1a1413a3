"""Boxes: persistent computers, their checkpoints, forks, execs and images.

Words: a *box* lives until it is destroyed, is in the *trash* until it is purged, *runs* or is
*cold*; a *checkpoint* is its disk at one instant; a *ready box* is one that was started before
anybody asked. Every verb is a function over a `Boxes` context. Knows no wire format and no Linux.
"""

from skerry.boxes.checkpoints import (
    changes,
    checkpoint,
    delete_checkpoint,
    find_checkpoint,
    list_checkpoints,
    restore,
)
from skerry.boxes.context import Boxes, settled
from skerry.boxes.execs import (
    attach,
    disk_ended,
    end_session,
    events,
    execute,
    open_files,
    sessions,
)
from skerry.boxes.forks import fork
from skerry.boxes.images import build_image, delete_image, import_image, list_images, save_image
from skerry.boxes.life import (
    counts,
    create,
    destroy,
    made_up_name,
    page,
    purge,
    start,
    stop,
    trash,
    undo,
    update,
    usage,
)
from skerry.boxes.model import (
    Box,
    BoxView,
    Checkpoint,
    CreateSpec,
    Image,
    PartialLimits,
    Rules,
    Status,
    is_disk_full,
)
from skerry.boxes.store import MIGRATIONS
from skerry.boxes.upkeep import discard_ready, empty_trash, keep_ready, keep_watch, recover

__all__ = [
    "MIGRATIONS",
    "Box",
    "BoxView",
    "Boxes",
    "Checkpoint",
    "CreateSpec",
    "Image",
    "PartialLimits",
    "Rules",
    "Status",
    "attach",
    "build_image",
    "changes",
    "checkpoint",
    "counts",
    "create",
    "delete_checkpoint",
    "delete_image",
    "destroy",
    "discard_ready",
    "disk_ended",
    "empty_trash",
    "end_session",
    "events",
    "execute",
    "find_checkpoint",
    "fork",
    "import_image",
    "is_disk_full",
    "keep_ready",
    "keep_watch",
    "list_checkpoints",
    "list_images",
    "made_up_name",
    "open_files",
    "page",
    "purge",
    "recover",
    "restore",
    "save_image",
    "sessions",
    "settled",
    "start",
    "stop",
    "trash",
    "undo",
    "update",
    "usage",
]

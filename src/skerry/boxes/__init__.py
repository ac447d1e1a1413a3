"""Boxes: persistent computers, their checkpoints, forks, execs and images.

Words: a *box* lives until it is destroyed, is in the *trash* until it is purged, *runs* or is
*cold*; a *checkpoint* is its disk at one instant; a *ready box* is one that was started before
anybody asked. Every verb is a function over a `Boxes` context. Knows no wire format and no Linux.
"""

from skerry.boxes.changes import update
from skerry.boxes.checkpoints import (
    changes,
    checkpoint,
    delete_checkpoint,
    find_checkpoint,
    list_checkpoints,
    restore,
)
from skerry.boxes.context import Boxes, Turns, settled, whole
from skerry.boxes.execs import (
    attach,
    disk_end,
    end_session,
    execute,
    open_files,
    sessions,
)
from skerry.boxes.forks import fork
from skerry.boxes.holds import find_hold, list_holds, release_hold, take_hold
from skerry.boxes.idle import Hold, PartialSleepRule, SleepRule
from skerry.boxes.images import (
    build_image,
    check_recipe,
    delete_image,
    import_image,
    list_images,
    save_image,
)
from skerry.boxes.life import (
    awake,
    counts,
    create,
    destroy,
    find_in_trash,
    made_up_name,
    page,
    purge,
    start,
    stop,
    trash,
    undo,
    usage,
)
from skerry.boxes.metered import keep_metering
from skerry.boxes.model import (
    LOCAL,
    Access,
    Box,
    BoxChange,
    BoxView,
    Checkpoint,
    CreateSpec,
    Image,
    PartialLimits,
    Publication,
    Rules,
    Status,
    is_disk_full,
)
from skerry.boxes.policies import find_policy, refusals, set_policy
from skerry.boxes.ports import PortChange, connection, listening, port_changes
from skerry.boxes.published import list_published, publish, published_of, unpublish
from skerry.boxes.sleeping import Wakefulness, freeze, keep_asleep, put_to_sleep, why
from skerry.boxes.store import MIGRATIONS
from skerry.boxes.upkeep import (
    discard_ready,
    empty_trash,
    keep_ready,
    keep_watch,
    notice_ends,
    recover,
)
from skerry.boxes.urls import domains_of, end_shares, set_domains, share, signing_key

__all__ = [
    "LOCAL",
    "MIGRATIONS",
    "Access",
    "Box",
    "BoxChange",
    "BoxView",
    "Boxes",
    "Checkpoint",
    "CreateSpec",
    "Hold",
    "Image",
    "PartialLimits",
    "PartialSleepRule",
    "PortChange",
    "Publication",
    "Rules",
    "SleepRule",
    "Status",
    "Turns",
    "Wakefulness",
    "attach",
    "awake",
    "build_image",
    "changes",
    "check_recipe",
    "checkpoint",
    "connection",
    "counts",
    "create",
    "delete_checkpoint",
    "delete_image",
    "destroy",
    "discard_ready",
    "disk_end",
    "domains_of",
    "empty_trash",
    "end_session",
    "end_shares",
    "execute",
    "find_checkpoint",
    "find_hold",
    "find_in_trash",
    "find_policy",
    "fork",
    "freeze",
    "import_image",
    "is_disk_full",
    "keep_asleep",
    "keep_metering",
    "keep_ready",
    "keep_watch",
    "list_checkpoints",
    "list_holds",
    "list_images",
    "list_published",
    "listening",
    "made_up_name",
    "notice_ends",
    "open_files",
    "page",
    "port_changes",
    "publish",
    "published_of",
    "purge",
    "put_to_sleep",
    "recover",
    "refusals",
    "release_hold",
    "restore",
    "save_image",
    "sessions",
    "set_domains",
    "set_policy",
    "settled",
    "share",
    "signing_key",
    "start",
    "stop",
    "take_hold",
    "trash",
    "undo",
    "unpublish",
    "update",
    "usage",
    "whole",
    "why",
]

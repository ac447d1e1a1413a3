"""The daemon's end of a connection to a holder: a `SessionLink` on an asyncio transport.

It keeps no rule of sessions: those are the holder's. What it adds is back-pressure in both
directions, so that neither a client that does not read nor one that writes a lot fills memory.
"""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Literal, cast

from skerry.base import Failed, NotAvailable, SkerryError
from skerry.holder import frames
from skerry.host.seam import Exit, Output, SessionState

# Reading stops above it; the holder then keeps as much again before the command itself must wait.
_QUEUED_BYTES_MAX = 256 * 1024
_STREAMS: dict[int, Literal["stdout", "stderr"]] = {
    frames.STDOUT: "stdout",
    frames.STDERR: "stderr",
}
...

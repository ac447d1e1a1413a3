"""The inotify calls, bare: a queue, watches on descriptors, and what the kernel says (inotify(7)).

The standard library has none. Errors are OSError. What is watched and why, this file does not know.
"""

import ctypes
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from skerry.host.rooted import handle_path

MODIFY, ATTRIB = 0x2, 0x4
MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF = 0x400, 0x800
OVERFLOW, IGNORED = 0x4000, 0x8000
IS_DIRECTORY = 0x40000000
_EXCLUDE_UNLINKED = 0x04000000

NAMED = MODIFY | ATTRIB | MOVED_FROM | MOVED_TO | CREATE | DELETE
"""What happens to a name in a watched directory; an event carries one of them."""

_MASK = NAMED | DELETE_SELF | MOVE_SELF | _EXCLUDE_UNLINKED
_EVENT = struct.Struct("=iIII")  # inotify_event: watch, mask, cookie, length of the name

# Room for some 1,300 events with names of 32 bytes; the kernel queues 16,384.
_READ_BYTES = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Event:
    """What happened to a watched thing, or to name in it; two events of one move share a cookie."""

    watch: int
    mask: int
    cookie: int
    name: str


def open_queue() -> int:
    """Return a descriptor that events come from. Raises OSError, EMFILE beyond the instances."""
    queue: int = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if queue < 0:
        raise _last_error()
    return queue


def add_watch(queue: int, handle: int) -> int:
    """Watch what a descriptor stands for; return the number of the watch, one for each thing.

    Raises OSError, ENOSPC beyond the watches that the host allows.
    """
    watch: int = _libc.inotify_add_watch(queue, os.fsencode(handle_path(handle)), _MASK)
    if watch < 0:
        raise _last_error()
    return watch


def end_watch(queue: int, watch: int) -> None:
    """End a watch. If the kernel has ended it by itself, that comes to the same."""
    _libc.inotify_rm_watch(queue, watch)


def read_events(queue: int) -> Iterator[Event]:
    """Yield what is in the queue, about 64 kB of it, without waiting. Raises OSError."""
    try:
        data = os.read(queue, _READ_BYTES)
    except BlockingIOError:
        return
    position = 0
    while position < len(data):
        watch, mask, cookie, length = _EVENT.unpack_from(data, position)
        position += _EVENT.size
        name = data[position : position + length].rstrip(b"\0")
        position += length
        yield Event(watch, mask, cookie, os.fsdecode(name))


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))

"""Reading and writing this process's own descriptors without blocking the event loop.

Never sets O_NONBLOCK: that would belong to the open file, which the shell and other processes
share, and they would meet errors that they do not expect.
"""

import asyncio
import os
import select
import stat

STDIN, STDOUT, STDERR = range(3)

_READ_BYTES = 64 * 1024
# A pipe or terminal that polls writable takes this much without blocking (PIPE_BUF).
_WRITE_BYTES = 4096
_FILE_WRITE_BYTES = 1024 * 1024


def is_input(descriptor: int) -> bool:
    """Return whether somebody put a pipe, socket or file there to be read (not a terminal)."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False  # closed
    return not stat.S_ISCHR(mode) or not os.isatty(descriptor)


async def read_some(descriptor: int) -> bytes:
    """Return what can be read next, nothing at the end. May be cancelled; loses nothing then."""
    await _ready(descriptor, for_writing=False)
    try:
        return os.read(descriptor, _READ_BYTES)
    except OSError:
        if os.isatty(descriptor):
            return b""  # a terminal that hung up
        raise


async def write_all(descriptor: int, data: bytes) -> None:
    """Write data; wait as long as nobody takes it. Raises BrokenPipeError when nobody can."""
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    rest = memoryview(data)
    while rest:
        if not regular and not poll.poll(0):
            await _ready(descriptor, for_writing=True)
        piece = rest[: _FILE_WRITE_BYTES if regular else _WRITE_BYTES]
        rest = rest[os.write(descriptor, piece) :]


async def _ready(descriptor: int, *, for_writing: bool) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    add = loop.add_writer if for_writing else loop.add_reader
    remove = loop.remove_writer if for_writing else loop.remove_reader
    try:
        add(descriptor, ready.set)
    except PermissionError:
        return  # epoll takes no regular files: they are always ready
    try:
        # However long it takes: who is at the other end, a person maybe, is not ours to hurry.
        await ready.wait()
    finally:
        remove(descriptor)

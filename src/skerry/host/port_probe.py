"""Whether something in a box answers at a port: on the box's own localhost, from inside it."""

import asyncio
import re
from asyncio import StreamReader, StreamWriter

from skerry.base import Conflict, NotAvailable
from skerry.host.box_socket import connect
from skerry.host.seam import Running

_WAIT_S = 1.0  # in all, however slowly it speaks
_HEAD_BYTES = 64
_GOOD = re.compile(rb"HTTP/1\.[01] [23]\d\d[ \r\n]")


async def answers(first: Running, port: int, path: str | None) -> bool:
    """Tell whether a port of a box listens; with a path, whether it answers that below 400.

    first: the box's first process. Takes a second at most.
    """
    try:
        async with asyncio.timeout(_WAIT_S):
            reader, writer = await connect(first, port)
            try:
                return path is None or await _answers_well(reader, writer, path)
            finally:
                writer.close()
    except (OSError, NotAvailable, Conflict):
        return False


async def _answers_well(reader: StreamReader, writer: StreamWriter, path: str) -> bool:
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    writer.write(request.encode())
    head = b""
    while len(head) < _HEAD_BYTES and b"\n" not in head:
        data = await reader.read(_HEAD_BYTES - len(head))
        if not data:
            break
        head += data
    return _GOOD.match(head) is not None

"""A connection to a port inside a box, as its own localhost sees it.

The socket is made inside the box's network namespace, which takes no more than a thread for a
moment, and connects to 127.0.0.1: what listens on the box's localhost alone is reached too, and no
policy, address or route between host and box matters.
"""

import asyncio
import socket

from skerry.base import NotAvailable
from skerry.host.namespace_socket import stream_socket
from skerry.host.seam import Running

_CONNECT_S_MAX = 10.0
_BUFFER_BYTES = 256 * 1024


async def connect(first: Running, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a port of a box, whose first process is given.

    Raises NotAvailable(port_closed) where nothing listens, Conflict(box_not_running).
    """
    made = await asyncio.to_thread(stream_socket, first, socket.AF_INET)
    try:
        async with asyncio.timeout(_CONNECT_S_MAX):
            await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", port))
        return await asyncio.open_connection(sock=made, limit=_BUFFER_BYTES)
    except (OSError, TimeoutError) as error:
        made.close()
        raise NotAvailable(
            "port_closed",
            f"Nothing in the box listens on its port {port}. Start what should, on 127.0.0.1 or "
            "0.0.0.0.",
        ) from error
    except BaseException:
        made.close()
        raise

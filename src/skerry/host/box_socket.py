"""A connection to a port inside a box, as its own localhost sees it.

The socket is made inside the box's network namespace, which takes no more than a thread for a
moment, and connects to 127.0.0.1: what listens on the box's localhost alone is reached too, and no
policy, address or route between host and box matters.
"""

import asyncio
import socket

from skerry.base import Conflict, NotAvailable
from skerry.host.monitors import started_ticks
from skerry.host.network_namespace import in_network_namespace, network_namespace_of
from skerry.host.seam import Running

_CONNECT_S_MAX = 10.0
_BUFFER_BYTES = 256 * 1024


async def connect(first: Running, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a port of a box, whose first process is given.

    Raises NotAvailable(port_closed) where nothing listens, Conflict(box_not_running).
    """
    made = await asyncio.to_thread(_socket_in, first)
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


def _socket_in(first: Running) -> socket.socket:
    with network_namespace_of(first.init_pid) as namespace:
        # Asked after the namespace was opened: now it is that of this process for sure.
        if started_ticks(first.init_pid) != first.started_ticks:
            raise Conflict("box_not_running", "The box was stopped just now. Start it again.")
        made = in_network_namespace(
            namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        )
    made.settimeout(0)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made

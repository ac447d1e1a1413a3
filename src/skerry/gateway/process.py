"""The process of the gateway: its arguments, the socket it is given, its signals."""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket

import uvloop

from skerry.gateway.access_log import AccessLog
from skerry.gateway.gateway import Gateway, Start
from skerry.gateway.opening import connect_in_box
from skerry.host.clock import SystemClock
from skerry.host.daemon import prepare_process


def main(arguments: list[str] | None = None) -> int:
    """Be the gateway; return the exit code."""
    parser = argparse.ArgumentParser(prog="skerry.gateway", description=__doc__)
    parser.add_argument("--listener", type=int, required=True, metavar="DESCRIPTOR")
    # What a daemon tells the gateways of its former self by; nothing here depends on them.
    parser.add_argument("--address", metavar="ADDRESS:PORT")
    parser.add_argument("--version", metavar="VERSION")
    parser.add_argument("--control", required=True, metavar="SOCKET")
    parser.add_argument("--base-domain", default="localhost", metavar="NAME")
    parser.add_argument("--access-log", metavar="FILE")
    asked = parser.parse_args(arguments)
    prepare_process()
    # Bound by the daemon, which keeps it: while a gateway is replaced, callers wait and lose nothing.
    listener = socket.socket(fileno=asked.listener)
    listener.set_inheritable(False)
    listener.settimeout(0)
    log = AccessLog(asked.access_log) if asked.access_log else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(listener, asked, log))
    return 0


async def _serve(listener: socket.socket, asked: argparse.Namespace, log: AccessLog | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gateway = Gateway(
        listener=listener,
        start=Start(asked.control, asked.base_domain),
        clock=SystemClock(),
        connector=connect_in_box,
        log=log,
    )
    await gateway.run(stop)

"""The process that serves S3 and nothing else: its settings, its store, its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvloop

from skerry.base import Conflict
from skerry.host.clock import SystemClock, entropy
from skerry.host.daemon import prepare_process
from skerry.host.listener import listen_tcp
from skerry.host.object_disk import connect_index, object_disk
from skerry.objects import Objects, buckets, open_objects
from skerry.objects.scrubbing import Scrubbed
from skerry.s3.access import ANONYMOUS
from skerry.s3.background import Telling, background
from skerry.s3.catalog import door
from skerry.s3.keyring import ACCOUNT, Key, Keyring
from skerry.s3.metrics import Metrics
from skerry.s3.root_key import FILE, master_keys, root_key, session_secret
from skerry.s3.server import router, serve
from skerry.s3.service import Service
from skerry.s3.sessions import Sessions
from skerry.s3.startup import Start
from skerry.tables import running


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to serve and what. directory: of the store. domain: see `Service`.

    descriptor: a socket that is bound to `listen` already, None where none is.
    """

    directory: Path
    listen: str
    start: Start
    region: str = "us-east-1"
    domain: str = "localhost"
    descriptor: int | None = None


def run(settings: Settings, say: Callable[[str], None]) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code. say: writes a line for its owner.

    Raises Invalid(bad_setting), NotAvailable(address_in_use, data_unwritable, store_in_use),
    LimitReached(data_full), Failed(bad_root_key, bad_master_keys, log_broken, index_broken,
    data_unreadable).
    """
    prepare_process()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, say))
    return 0


async def _serve(settings: Settings, say: Callable[[str], None]) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    listener = _listener(settings)
    clock = SystemClock()

    def now_s() -> int:
        return clock.now_ns() // 10**9

    with object_disk(settings.directory) as disk:
        objects = open_objects(
            disk, functools.partial(connect_index, settings.directory), clock, entropy
        )
        try:
            key = _key(settings, say)
            await _make_buckets(objects, settings.start)
            secret = session_secret(settings.directory, entropy)
            objects.masters = master_keys(settings.directory, entropy)
            keyring = Keyring(objects, {key.access_key: key}, Sessions(secret, entropy, now_s))
            scrubbed = Scrubbed()
            telling = Telling(settings.start.webhooks, settings.region)
            async with (
                running(settings.directory, objects, say) as tables,
                background(objects, scrubbed, telling, say),
            ):
                service = Service(
                    objects=objects, router=router(), region=settings.region,
                    domain=settings.domain, keyring=keyring, now_s=now_s,
                    metrics=Metrics(objects, scrubbed, settings.start.metrics_token),
                    catalog=door(tables, keyring, settings.region, now_s),
                )  # fmt: skip
                host, port = listener.getsockname()[:2]
                ready = f"skerry s3 is ready: http://{host}:{port}"
                await serve(service.serve, listener, lambda: say(ready), stop)
        finally:
            await objects.close()


def _listener(settings: Settings) -> socket.socket:
    if settings.descriptor is None:
        return listen_tcp(settings.listen, "--listen")
    listener = socket.socket(fileno=settings.descriptor)
    listener.set_inheritable(False)
    return listener


def _key(settings: Settings, say: Callable[[str], None]) -> Key:
    access_key, secret = settings.start.access_key, settings.start.secret
    if not access_key:
        access_key, secret = root_key(settings.directory, entropy)
        say(f"access key {access_key}, its secret is in {settings.directory / FILE}")
    return Key(access_key=access_key, secret=secret)


async def _make_buckets(objects: Objects, start: Start) -> None:
    for name, access in start.buckets.items():
        settings = {ANONYMOUS: access.encode()} if access else {}
        with contextlib.suppress(Conflict):  # it is there, as it is after every other start
            await buckets.make(objects, name, ACCOUNT, settings=settings)

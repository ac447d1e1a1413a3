"""A real server of the API over the simulated machine, on sockets of its own."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from skerry import accounts, api, boxes, metering
from skerry import services as services_domain
from skerry.accounts import Accounts
from skerry.host.database import Database
from skerry.testing import House


@dataclass
class Served:
    """Where it listens, and tokens by scope."""

    url: str
    socket_path: Path
    tokens: dict[str, str]
    house: House
    limits: api.Limits
    meter: metering.Meter


LIMITS = api.Limits(
    json_bytes_max=64 * 1024,
    file_bytes_max=1024 * 1024,
    output_bytes_max=64 * 1024,
    header_bytes_max=256 * 1024,
    header_wait_ns=500_000_000,
    idle_wait_ns=5 * 10**9,
    connections_max=50,
    failed_logins_per_minute=1000,
)


async def _serve(
    folder: Path, told: "list[Served]", up: threading.Event, stop: asyncio.Event
) -> None:
    house = House(folder)
    async with house.open() as context:
        await boxes.build_image(context, "base", "base", lambda _: None)
        database = Database.open(
            folder / "accounts.db",
            {"accounts": accounts.MIGRATIONS, "metering": metering.MIGRATIONS},
        )
        known = Accounts(database=database, clock=house.clock, entropy=house.entropy)
        tokens = {
            scope: (await accounts.create(known, scope, (scope,)))[1]
            for scope in ("read", "write", "admin")
        }
        meter = metering.Meter(
            database=database, clock=house.clock,
            books=metering.price_books(metering.OwnMachine()),
            interval_ns=30 * 10**9, keep_ns=90 * 24 * metering.HOUR_NS,
        )  # fmt: skip
        services = api.Services(
            boxes=context,
            accounts=known,
            meter=meter,
            services=services_domain.Services(
                boxes=context, log_bytes_max=1 << 20, log_files_max=3
            ),
            limits=LIMITS,
            instance="test",
            doctor=list,
        )

        def ready(url: str) -> None:
            told.append(Served(url, folder / "admin.sock", tokens, house, LIMITS, meter))
            up.set()

        await api.serve(
            *api.build(services),
            listen="127.0.0.1:0",
            socket_path=folder / "admin.sock",
            limits=LIMITS,
            ready=ready,
            stop=stop,
        )
        await services_domain.close(services.services)
        await boxes.settled(context, 10**10)
        database.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A running server; it ends with the test."""
    told: list[Served] = []
    up = threading.Event()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            loop.run_until_complete(_serve(tmp_path, told, up, stop))
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            failed.append(error)
            up.set()
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert up.wait(20)
    if failed:
        raise failed[0]
    yield told[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join(20)
    assert not thread.is_alive()
    assert not failed

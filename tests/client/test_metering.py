"""The SDK's calls of the meter, against the real API over the simulated machine."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import skerry
from skerry.base import Invalid, NotFound
from skerry.client import metering
from skerry.client.calls import Calls
from skerry.wire.metering import SetBudget
from tests.api.site import Site, tell
from tests.api.test_metering import use


def ask(folder: Path, work: Callable[[Site, Calls], Awaitable[None]]) -> None:
    """Run work as the administrator, after a box was used for two hours."""

    async def story(site: Site) -> None:
        await use(site)
        async with skerry.connect(data=str(site.socket_path.parent)) as cloud:
            await work(site, cloud.calls)

    tell(folder, story)


def test_use_and_its_csv_say_the_same(tmp_path: Path) -> None:
    async def work(site: Site, calls: Calls) -> None:
        report = await metering.usage(calls, since="7d", by="box")
        text = await metering.usage_csv(calls, since="7d", by="box")

        assert report.rows[0].cpu_seconds == 7170
        assert "7170.0" in text.splitlines()[1].split(",")

    ask(tmp_path, work)


def test_a_bill_at_the_prices_of_others(tmp_path: Path) -> None:
    async def work(site: Site, calls: Calls) -> None:
        own = await metering.bill(calls, since="all")
        theirs = await metering.bill(calls, prices="exe.dev", since="all", box="dev")
        text = await metering.bill_csv(calls, prices="exe.dev", since="all")

        assert (own.prices, own.amount_nanodollars) == ("own-machine", 0)
        assert theirs.amount_nanodollars > 2 * 50_000_000 * 99 // 100
        assert len(text.splitlines()) == 1 + len(theirs.lines[0].charges)
        assert (await metering.prices(calls))[0].name == "own-machine"

    ask(tmp_path, work)


def test_a_budget_comes_and_goes(tmp_path: Path) -> None:
    async def work(site: Site, calls: Calls) -> None:
        made = await metering.set_budget(calls, SetBudget(account="me", cap_cpu_seconds=60))
        assert (made.state, made.spent_cpu_seconds) == ("reached", 7170)
        assert [each.account for each in await metering.budgets(calls)] == ["me"]

        await metering.clear_budget(calls, account="me")
        with pytest.raises(NotFound):
            await metering.clear_budget(calls, account="me")
        with pytest.raises(Invalid):
            await metering.usage(calls, since="never")

    ask(tmp_path, work)

"""Budgets: boxes sleep at the cap, say why, and are warned before."""

from pathlib import Path

import pytest

from skerry import metering
from skerry.base import NANO, Invalid, NotFound
from skerry.metering import HOUR_NS, Meter, Period, Scope, Standing, moment_ns, period_of
from skerry.testing import HandClock
from tests.metering.test_ledger import a_reading, tell

CPU_HOUR_NS = HOUR_NS
DAY_NS = 24 * HOUR_NS
NOON_NS = 1_700_049_600 * 10**9  # 2023-11-15T12:00:00Z


async def a_budget(
    meter: Meter,
    cap: int,
    *,
    scope: Scope = "box",
    target: str = "box_a",
    period: Period = "day",
    book: str | None = "sprites",
) -> Standing:
    return await metering.set_budget(
        meter, scope=scope, target=target, name=target.removeprefix("box_"), period=period, cap=cap,
        book=book,
    )  # fmt: skip


async def work(meter: Meter, clock: HandClock, hours: float, box: str = "a") -> None:
    """Let a box have used that many CPU hours since it was started."""
    clock.turn(10**9)
    await metering.record(meter, [a_reading(clock, box, cpu_ns=round(hours * CPU_HOUR_NS))])


def test_a_box_sleeps_at_its_cap_and_says_why(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        await a_budget(meter, 14 * NANO // 100)
        await work(meter, clock, 1.9)
        assert metering.over_budget(meter) == {}
        assert metering.refusal(meter, "box_a", "me") is None

        await work(meter, clock, 2)
        assert metering.over_budget(meter) == {
            "box_a": "The budget of a for today is used up: $0.14 of $0.14 at the prices of "
            "sprites. The box sleeps until 2023-11-15 00:00 UTC, or until `skerry budget set a ...` "
            "gives more."
        }
        assert metering.refusal(meter, "box_a", "me") == metering.over_budget(meter)["box_a"]

    tell(tmp_path, story)


def test_a_new_day_brings_a_new_budget_and_more_money_too(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        await a_budget(meter, 3600 * 10**6, book=None)
        await work(meter, clock, 1)
        assert "1" in metering.over_budget(meter)["box_a"]
        clock.turn(DAY_NS)
        assert metering.over_budget(meter) == {}

        await work(meter, clock, 2)
        assert metering.refusal(meter, "box_a", "me") is not None
        await a_budget(meter, 2 * 3600 * 10**6, book=None)
        assert metering.refusal(meter, "box_a", "me") is None

    tell(tmp_path, story)


def test_an_account_that_is_over_its_cap_puts_all_its_boxes_to_sleep(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        await a_budget(meter, 7 * NANO // 100, scope="account", target="me", period="total")
        await work(meter, clock, 0.5, "a")
        await work(meter, clock, 0.6, "b")

        assert set(metering.over_budget(meter)) == {"box_a", "box_b"}
        assert metering.refusal(meter, "box_new", "me") is not None
        assert metering.refusal(meter, "box_new", "you") is None

    tell(tmp_path, story)


def test_what_a_cap_has_seen_before_this_hour_counts(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        clock.turn(NOON_NS - clock.now_ns())
        await a_budget(meter, 5 * 3600 * 10**6, book=None)
        for hour in range(1, 5):
            await work(meter, clock, hour)
            clock.turn(HOUR_NS)
            assert metering.over_budget(meter) == {}

        await work(meter, clock, 5)
        assert set(metering.over_budget(meter)) == {"box_a"}

    tell(tmp_path, story)


async def busy(meter: Meter, clock: HandClock, minutes: int) -> None:
    """Let a box use half a CPU for some minutes."""
    for minute in range(1, minutes + 1):
        clock.turn(60 * 10**9)
        await metering.record(meter, [a_reading(clock, cpu_ns=minute * 30 * 10**9)])


@pytest.mark.parametrize(
    ("cpu_hours", "state", "says"),
    [
        (20, "ok", ""),
        (3, "warning", "will be used up in 5 h 30 m if it goes on like this: 15 m of 3 h 0 m of"),
        (0.3, "warning", "The budget of a for today is 83 % used: 15 m of 18 m of CPU."),
        (0.25, "reached", "used up"),
    ],
)  # fmt: skip
def test_a_forecast_warns_before_the_period_ends(
    tmp_path: Path, cpu_hours: float, state: str, says: str
) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        clock.turn(NOON_NS - clock.now_ns())
        await metering.record(meter, [a_reading(clock, cpu_ns=0)])
        await busy(meter, clock, 30)
        await a_budget(meter, round(cpu_hours * 3600 * 10**6), book=None)

        standing = metering.forecast(meter)[0]
        assert standing.state == state
        assert says in standing.says
        assert standing.resets_at_ns == NOON_NS + DAY_NS // 2

    tell(tmp_path, story)


def test_an_idle_box_is_never_forecast_to_reach_its_cap(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        await work(meter, clock, 1)
        clock.turn(5 * HOUR_NS)
        standing = await a_budget(meter, 10 * 3600 * 10**6, book=None, period="total")

        assert (standing.state, standing.reached_at_ns, standing.resets_at_ns) == ("ok", None, None)

    tell(tmp_path, story)


@pytest.mark.parametrize("cap", [0, -1, 1 << 63])
def test_a_cap_is_an_amount(tmp_path: Path, cap: int) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        with pytest.raises(Invalid):
            await a_budget(meter, cap)

    tell(tmp_path, story)


def test_a_budget_is_cleared_once_and_goes_with_its_box(tmp_path: Path) -> None:
    async def story(meter: Meter, clock: HandClock) -> None:
        with pytest.raises(NotFound):
            await a_budget(meter, 5, book="none")
        for target in ("box_a", "box_b"):
            await a_budget(meter, 5, target=target)
        await metering.clear_budget(meter, "box", "box_a")
        with pytest.raises(NotFound):
            await metering.clear_budget(meter, "box", "box_a")
        await metering.forget(meter, ["box_b"])

        assert metering.forecast(meter) == []

    tell(tmp_path, story)


def test_a_month_ends_where_the_next_begins() -> None:
    for month, text in enumerate(("2024-01-31T23:00:00Z", "2024-02-29", "2023-12-31"), start=0):
        at_ns = moment_ns(text, 0)
        begin_ns, end_ns = period_of("month", at_ns)
        assert begin_ns <= at_ns
        assert end_ns is not None
        assert period_of("month", end_ns)[0] == end_ns, month
    assert (moment_ns("24h", DAY_NS * 3), moment_ns("all", 5)) == (DAY_NS * 2, 0)


@pytest.mark.parametrize("text", ["", "yesterday", "5", "24x", "2024-13-01", "9" * 30 + "h"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        moment_ns(text, 0)

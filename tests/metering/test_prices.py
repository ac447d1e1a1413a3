"""What use costs: bills to the nano-dollar."""

import pytest

from skerry.base import NANO, Invalid, exact_dollars, format_dollars, nanodollars
from skerry.metering.model import FIELDS, Usage
from skerry.metering.prices import (
    CPU_HOUR_US,
    GB_HOUR_KIB_S,
    GIB_HOUR_KIB_S,
    HOUR_MS,
    PRESETS,
    OwnMachine,
    charges,
    cost,
    own_machine,
    price_books,
)

GIB = 1 << 30
BOOKS = price_books(OwnMachine())
# Four hours of work: 2.4 CPU hours, 1.5 GB of RAM, 10 GB on disk, then 20 hours asleep.
A_DAY = Usage(
    cpu_us=CPU_HOUR_US * 24 // 10,
    memory_kib_seconds=GB_HOUR_KIB_S * 6,
    warm_memory_kib_seconds=GB_HOUR_KIB_S // 2,
    stored_kib_seconds=GB_HOUR_KIB_S * 240,
    hot_kib_seconds=GB_HOUR_KIB_S * 40,
    running_ms=4 * HOUR_MS,
    warm_ms=HOUR_MS,
    cold_ms=19 * HOUR_MS,
    machine_ms=2 * HOUR_MS,
)


def a_machine() -> OwnMachine:
    return OwnMachine(
        price_nanodollars=2190 * NANO,
        years=5,
        watts_idle=20,
        watts_busy=100,
        power_price_nanodollars_per_kwh=NANO // 4,
        cpus=8,
        memory_bytes=32 * GIB,
        disk_bytes=1000 * GIB,
    )


@pytest.mark.parametrize(
    ("name", "amounts"),
    [
        ("sprites", [168_000_000, 262_500_000, 27_320_000, 6_480_000]),
        ("exe.dev", [120_000_000, 96_857_548, 24_495_059]),
        ("shellbox", [80_000_000, 13_698_630]),
        ("own-machine", [0, 0, 0, 0, 0]),
    ],
)
def test_a_day_costs_what_the_price_list_says(name: str, amounts: list[int]) -> None:
    assert [each.amount_nanodollars for each in charges(BOOKS[name], A_DAY)] == amounts
    assert cost(BOOKS[name], A_DAY) == sum(amounts)


def test_a_machine_that_is_full_for_its_whole_life_earns_its_price_and_its_power() -> None:
    machine, hours = a_machine(), 5 * 8760
    everything = Usage(
        cpu_us=8 * hours * CPU_HOUR_US,
        memory_kib_seconds=20 * hours * GIB_HOUR_KIB_S,
        warm_memory_kib_seconds=12 * hours * GIB_HOUR_KIB_S,
        stored_kib_seconds=1000 * hours * GIB_HOUR_KIB_S,
        machine_ms=hours * HOUR_MS,
    )
    paid = cost(own_machine(machine), everything)
    power = hours * 100 * NANO // 4 // 1000

    assert paid == pytest.approx(2190 * NANO + power, rel=1e-6)


def test_an_hour_of_half_a_machine_costs_its_part() -> None:
    used = Usage(cpu_us=4 * CPU_HOUR_US, memory_kib_seconds=16 * GIB_HOUR_KIB_S, machine_ms=HOUR_MS)
    cpu, busy, memory, disk, idle = (
        each.amount_nanodollars for each in charges(own_machine(a_machine()), used)
    )

    # The machine is five cents an hour; a third of that for each of CPU, memory and disk.
    assert (cpu, memory, disk) == (8_333_333, 8_333_333, 0)
    assert (busy, idle) == (10_000_000, 5_000_000)


def test_a_sum_of_bills_is_the_bill_of_the_sum_but_for_rounding() -> None:
    for book in BOOKS.values():
        parts = 100 * cost(book, A_DAY)
        whole = cost(book, sum([A_DAY] * 100, Usage()))

        assert abs(parts - whole) <= 50 * len(book.rates)


def test_every_rate_is_for_something_that_is_metered() -> None:
    for book in BOOKS.values():
        assert {name for rate in book.rates for name in rate.of} <= set(FIELDS)


def test_every_preset_says_where_it_is_from() -> None:
    assert all(book.source and book.dated for book in PRESETS)


def test_what_is_not_told_costs_nothing() -> None:
    unknown = Usage(cpu_us=None, memory_kib_seconds=None, stored_kib_seconds=None)

    assert cost(BOOKS["exe.dev"], unknown) == 0


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "$0.00"), (12_300_000_000, "$12.30"), (4_200_000, "$0.0042"), (99_999_999, "$0.100"),
        (100_000_000, "$0.10"), (1, "$0.000000001"), (-1_500_000_000, "-$1.50"),
        (999_999_999, "$1.00"), (12_345, "$0.000012"),
    ],
)  # fmt: skip
def test_money_is_shown_with_the_digits_that_count(amount: int, shown: str) -> None:
    assert format_dollars(amount) == shown


def test_money_for_programs_has_all_its_digits() -> None:
    assert [exact_dollars(each) for each in (1, 5 * NANO, -2)] == [
        "0.000000001", "5.000000000", "-0.000000002",
    ]  # fmt: skip


@pytest.mark.parametrize(("text", "amount"), [("5", 5 * NANO), ("$0.50", NANO // 2), ("1e-9", 1)])
def test_money_is_read_as_people_write_it(text: str, amount: int) -> None:
    assert nanodollars(text) == amount


@pytest.mark.parametrize("text", ["", "x", "-1", "nan", "inf", "1e99", "5 EUR"])
def test_what_is_no_money_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        nanodollars(text)

"""Price books: what use costs, as data. Pure.

A rate is integer nano-dollars for an amount in the ledger's own units, so that nothing drifts.
The presets are public prices of hosted systems, to compare with; each names its source and date.
They charge for what a meter counts and leave out plans, minimums and free allowances. A GB is 10^9
bytes where the price list says GB, a month is 730 hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from skerry.metering.model import Usage

OWN_MACHINE = "own-machine"

HOUR_MS = 3600 * 1000
CPU_HOUR_US = HOUR_MS * 1000
GIB_HOUR_KIB_S = 3600 << 20
GB_HOUR_KIB_S = 3600 * 10**9 // 1024  # divides without a rest
MONTH_HOURS = 730
_YEAR_HOURS = 8760
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Rate:
    """One line of a price list.

    of: the amounts of use that it is for, added up. per: how much of them, in the ledger's units,
    is one unit. price_nanodollars: of `per`.
    """

    label: str
    unit: str
    of: tuple[str, ...]
    per: int
    price_nanodollars: int


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A named list of rates. source and dated: where the prices are from, and when they were."""

    name: str
    title: str
    source: str
    dated: str
    rates: tuple[Rate, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one rate makes of an amount of use; quantity in the ledger's units."""

    rate: Rate
    quantity: int
    amount_nanodollars: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMachine:
    """What a machine cost and costs its owner. Prices in nano-dollars, power in watts."""

    price_nanodollars: int = 0
    years: float = 5.0
    watts_idle: float = 0.0
    watts_busy: float = 0.0
    power_price_nanodollars_per_kwh: int = 0
    cpus: int = 1
    memory_bytes: int = _GIB
    disk_bytes: int = _GIB


def charges(book: PriceBook, usage: Usage) -> list[Charge]:
    """Return what use costs, by rate. Each is rounded to the nano-dollar by itself."""
    made: list[Charge] = []
    for rate in book.rates:
        quantity = sum(getattr(usage, name) or 0 for name in rate.of)
        amount = (2 * quantity * rate.price_nanodollars + rate.per) // (2 * rate.per)
        made.append(Charge(rate, quantity, amount))
    return made


def cost(book: PriceBook, usage: Usage) -> int:
    """Return what use costs, in nano-dollars."""
    return sum(charge.amount_nanodollars for charge in charges(book, usage))


def own_machine(machine: OwnMachine) -> PriceBook:
    """Return the price book of one's own machine.

    With C = price / (years * 8760), its price an hour, a third of C is for each of CPU, memory and
    disk, and a box pays of each third the share of the machine that it used:

        C/3 * (CPU hours / cpus  +  GiB hours in RAM / GiB of RAM  +  GiB hours stored / GiB of disk)

    so that boxes that fill a machine for its whole life pay its price, and what nobody used stays
    the owner's. Power beyond idle follows the CPU: (busy - idle) watts / cpus for a CPU hour. Idle
    power is shared by time: boxes that run at the same time pay equal parts of it, and while none
    runs the owner does. Nothing here is rounded before a thousand hours are together.
    """
    hours = 1000
    third = machine.price_nanodollars * hours / (3 * machine.years * _YEAR_HOURS)
    kilowatt_hours = machine.power_price_nanodollars_per_kwh * hours / 1000
    busy = max(0.0, machine.watts_busy - machine.watts_idle) * kilowatt_hours / machine.cpus
    memory = third / (machine.memory_bytes / _GIB)
    disk = third / (machine.disk_bytes / _GIB)

    def rate(label: str, unit: str, of: tuple[str, ...], per: int, price: float) -> Rate:
        return Rate(label, f"1000 {unit}", of, per * hours, round(price))

    in_ram = ("memory_kib_seconds", "warm_memory_kib_seconds")
    stored = ("stored_kib_seconds",)
    return PriceBook(
        OWN_MACHINE,
        "This machine",
        "its price over its life, and its power, as the settings say",
        "",
        (
            rate("CPU", "CPU hours", ("cpu_us",), CPU_HOUR_US, third / machine.cpus),
            rate("power of the CPU", "CPU hours", ("cpu_us",), CPU_HOUR_US, busy),
            rate("memory", "GiB hours", in_ram, GIB_HOUR_KIB_S, memory),
            rate("disk", "GiB hours", stored, GIB_HOUR_KIB_S, disk),
            rate(
                "idle power", "hours", ("machine_ms",), HOUR_MS, machine.watts_idle * kilowatt_hours
            ),
        ),
        "" if machine.price_nanodollars else "Nothing is set yet: see --machine-price.",
    )


def price_books(machine: OwnMachine) -> Mapping[str, PriceBook]:
    """Return all price books by name, that of one's own machine first."""
    books = (own_machine(machine), *PRESETS)
    return MappingProxyType({book.name: book for book in books})


PRESETS: Sequence[PriceBook] = (
    PriceBook(
        "sprites",
        "Sprites (Fly.io), pay as you go",
        "sprites.dev, its public price list",
        "2026-11",
        (
            Rate("CPU", "CPU hour", ("cpu_us",), CPU_HOUR_US, 70_000_000),
            Rate("memory", "GB hour", ("memory_kib_seconds",), GB_HOUR_KIB_S, 43_750_000),
            Rate("hot storage", "GB hour", ("hot_kib_seconds",), GB_HOUR_KIB_S, 683_000),
            Rate("stored", "GB hour", ("stored_kib_seconds",), GB_HOUR_KIB_S, 27_000),
        ),
        "No charge for the CPU and memory of boxes that sleep.",
    ),
    PriceBook(
        "exe.dev",
        "exe.dev, by use",
        "exe.dev, its public price list",
        "2026-09-29",
        (
            Rate("CPU", "core hour", ("cpu_us",), CPU_HOUR_US, 50_000_000),
            Rate(
                "memory", "GiB hour", ("memory_kib_seconds", "warm_memory_kib_seconds"),
                GIB_HOUR_KIB_S, 16_000_000,
            ),
            Rate(
                "disk", "GiB month", ("stored_kib_seconds",),
                GIB_HOUR_KIB_S * MONTH_HOURS, 80_000_000,
            ),
        ),
        "Its machines never sleep.",
    ),
    PriceBook(
        "shellbox",
        "shellbox, the smallest size",
        "shellbox.dev, its public price list",
        "2026-11",
        (
            Rate("running", "hour", ("running_ms",), HOUR_MS, 20_000_000),
            Rate("parked", "month", ("warm_ms", "cold_ms"), HOUR_MS * MONTH_HOURS, 500_000_000),
        ),
        "By time, whatever is used.",
    ),
)  # fmt: skip

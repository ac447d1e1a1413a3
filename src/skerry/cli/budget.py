"""`skerry budget`: caps on what boxes and accounts may cost or use."""

import argparse

from skerry.base import format_dollars, format_duration, nanodollars
from skerry.cli.connection import connect, seconds
from skerry.cli.output import print_json, print_table, say, until
from skerry.cli.parser import Parser, WrongUsage
from skerry.client import metering
from skerry.wire.metering import Budget, SetBudget


def declare_budget(parser: Parser) -> None:
    """Declare the commands below `skerry budget`."""
    give = parser.command("set", "Set a budget; boxes that have used it up sleep", _set)
    _declare_owner(give)
    give.argument("--money", metavar="DOLLARS", help="how much it may cost, such as 5 or 0.50")
    give.argument("--cpu", metavar="TIME", type=seconds, help="or how much CPU time, such as 10h")
    give.argument(
        "--per", choices=("day", "month", "total"), default="month",
        help="of UTC, after which it begins anew; total never does (default: month)",
    )  # fmt: skip
    give.argument(
        "--as", dest="prices", metavar="PRICES",
        help="at whose prices; `skerry bill --prices` lists them (default: own-machine)",
    )  # fmt: skip
    parser.command("list", "List budgets, how far they are used, and until when they last", _list)
    _declare_owner(parser.command("clear", "Take a budget away", _clear))


def _declare_owner(parser: Parser) -> None:
    parser.argument("box", metavar="BOX", nargs="?", help="a box")
    parser.argument("--account", metavar="ACCOUNT", help="or an account, all its boxes together")


async def _set(options: argparse.Namespace) -> int:
    _check_owner(options)
    if (options.money is None) == (options.cpu is None):
        raise WrongUsage("bad_budget", "Say either --money or --cpu.")
    body = SetBudget(
        box=options.box,
        account=options.account,
        period=options.per,
        cap_nanodollars=None if options.money is None else nanodollars(options.money),
        cap_cpu_seconds=options.cpu,
        prices=options.prices,
    )
    async with connect(options) as cloud:
        made = await metering.set_budget(cloud.calls, body)
    if options.json:
        print_json(made)
    elif made.says:
        say(made.says)
    return 0


async def _list(options: argparse.Namespace) -> int:
    async with connect(options) as cloud:
        budgets = await metering.budgets(cloud.calls)
    if options.json:
        print_json(budgets)
        return 0
    head = ["OF", "PER", "BUDGET", "USED", "PRICES", "STATE", "LASTS UNTIL", "RESETS"]
    print_table(head, [_row(each) for each in budgets])
    for each in budgets:
        if each.says:
            say(each.says)
    return 0


async def _clear(options: argparse.Namespace) -> int:
    _check_owner(options)
    async with connect(options) as cloud:
        await metering.clear_budget(cloud.calls, box=options.box, account=options.account)
    return 0


def _check_owner(options: argparse.Namespace) -> None:
    if (options.box is None) == (options.account is None):
        raise WrongUsage("bad_budget", "Say whose budget: a box, or --account ACCOUNT.")


def _row(budget: Budget) -> list[str]:
    cap, used = _amounts(budget)
    return [
        budget.box or f"account {budget.account}",
        budget.period,
        cap,
        used,
        budget.prices or "-",
        budget.state,
        "-" if budget.reached_at is None else until(budget.reached_at),
        "never" if budget.resets_at is None else until(budget.resets_at),
    ]


def _amounts(budget: Budget) -> tuple[str, str]:
    if budget.cap_cpu_seconds is not None:
        used_s = budget.spent_cpu_seconds or 0
        return _cpu(budget.cap_cpu_seconds), _cpu(used_s)
    return format_dollars(budget.cap_nanodollars or 0), format_dollars(
        budget.spent_nanodollars or 0
    )


def _cpu(used_s: float) -> str:
    return format_duration(round(used_s * 1e9))

"""From options to a Skerry. The SDK is imported here, late, by the commands that need it."""

import argparse
import re
from collections.abc import Callable
from typing import TypeVar

from skerry import client
from skerry.base import Invalid, duration_ns, format_size, size_bytes
from skerry.cli.parser import WrongUsage

_N = TypeVar("_N", int, float)


def connect(options: argparse.Namespace) -> client.Cloud:
    """Return the Skerry that the options name. Raises Invalid(bad_url, bad_token)."""
    return client.connect(options.url, options.token, data=options.data)


def size(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a size in bytes within those bounds; for argparse."""
    return _within(lambda text: _converted(size_bytes, text), low, high, format_size)


def count(low: int, high: int) -> Callable[[str], int]:
    """Return what reads a whole number within those bounds; for argparse."""
    return _within(_number(int), low, high, str)


def fraction(high: float) -> Callable[[str], float]:
    """Return what reads a number above 0 and up to high; for argparse."""
    return _within(_number(float), 0.001, high, lambda value: f"{value:g}")


def _number(kind: Callable[[str], _N]) -> Callable[[str], _N]:
    def read(text: str) -> _N:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None

    return read


def _within(
    convert: Callable[[str], _N], low: _N, high: _N, shown: Callable[[_N], str]
) -> Callable[[str], _N]:
    def read(text: str) -> _N:
        value = convert(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} is out of range: {shown(low)} to {shown(high)}"
            )
        return value

    return read


def seconds(text: str) -> float:
    """Return the seconds that an option says, such as `30s`; for argparse."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    return _converted(duration_ns, text) / 1e9


def variables(assignments: list[str]) -> dict[str, str]:
    """Return `NAME=VALUE` words as a dict. Raises WrongUsage(bad_environment)."""
    found: dict[str, str] = {}
    for each in assignments:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise WrongUsage("bad_environment", f"{each!r} sets no variable. Write NAME=VALUE.")
        found[name] = value
    return found


def _converted(convert: Callable[[str], int], text: str) -> int:
    try:
        return convert(text)
    except Invalid as error:
        raise argparse.ArgumentTypeError(error.message) from None

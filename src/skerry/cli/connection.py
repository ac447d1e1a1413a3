"""From options to a Skerry. The SDK is imported here, late, by the commands that need it."""

import argparse
import re
from collections.abc import Callable

from skerry import client
from skerry.base import Invalid, duration_ns, size_bytes


def connect(options: argparse.Namespace) -> client.Cloud:
    """Return the Skerry that the options name. Raises Invalid(bad_url, bad_token)."""
    return client.connect(options.url, options.token, data=options.data)


def size(text: str) -> int:
    """Return the bytes that an option says; for argparse."""
    return _converted(size_bytes, text)


def seconds(text: str) -> float:
    """Return the seconds that an option says, such as `30s`; for argparse."""
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text):
        return float(text)
    return _converted(duration_ns, text) / 1e9


def variables(assignments: list[str]) -> dict[str, str]:
    """Return `NAME=VALUE` words as a dict. Raises Invalid(bad_environment)."""
    found: dict[str, str] = {}
    for each in assignments:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise Invalid("bad_environment", f"{each!r} sets no variable. Write NAME=VALUE.")
        found[name] = value
    return found


def _converted(convert: Callable[[str], int], text: str) -> int:
    try:
        return convert(text)
    except Invalid as error:
        raise argparse.ArgumentTypeError(error.message) from None

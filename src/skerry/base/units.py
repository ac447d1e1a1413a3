"""Sizes and durations as people write them. Sizes are bytes, durations integer nanoseconds."""

import re

from skerry.base.errors import Invalid

_SIZE = re.compile(r"([0-9]{1,12})(\.[0-9]{1,3})?\s*([kmgtp]?)(i?b?)", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}
_DURATION_PART = re.compile(r"([0-9]{1,15})(\.[0-9]{1,9})?(ns|us|ms|s|m|h|d)")
_NS = {
    "ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9,
    "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9,
}  # fmt: skip


def size_bytes(text: str) -> int:
    """Return the bytes that text says, such as `512M`, `1.5GiB` or `4096`; K is 1024.

    Raises Invalid(bad_size).
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise Invalid("bad_size", f"{text[:40]!r} is no size. Write it like 512M, 1.5G or 4096.")
    number = float(match[1] + (match[2] or ""))
    return int(number * 1024 ** _POWER[match[3].lower()])


def format_size(size: int) -> str:
    """Return size in bytes as a person writes it, such as `1.5 GiB`."""
    value = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or unit == "TiB":
            return (
                f"{value:.0f} {unit}"
                if value >= 100 or value.is_integer()
                else f"{value:.1f} {unit}"
            )
        value /= 1024
    raise AssertionError("unreachable")


def duration_ns(text: str) -> int:
    """Return the nanoseconds that text says, in Go's style: `5s`, `1m30s`, `100ms`; `0` is none.

    Raises Invalid(bad_duration).
    """
    if text.strip() == "0":
        return 0
    total, position = 0, 0
    while match := _DURATION_PART.match(text, position):
        total += int(float(match[1] + (match[2] or "")) * _NS[match[3]])
        position = match.end()
    if position == 0 or position != len(text):
        raise Invalid(
            "bad_duration", f"{text[:40]!r} is no duration. Write it like 5s, 1m30s or 7d."
        )
    return total


def written_duration(time_ns: int) -> str:
    """Return time_ns in the units that `duration_ns` reads, exactly: `90s`, `24h`."""
    for unit, size_ns in (("h", 3600 * 10**9), ("m", 60 * 10**9), ("s", 10**9), ("ms", 10**6)):
        if time_ns and time_ns % size_ns == 0:
            return f"{time_ns // size_ns}{unit}"
    return f"{time_ns}ns" if time_ns else "0s"


def format_duration(duration: int) -> str:
    """Return duration in nanoseconds as a person writes it: `12 ms`, `3.4 s`, `2 h 5 m`."""
    seconds = duration / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = int(seconds // 60)
    if minutes < 120:
        return f"{minutes} m"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} m"
    return f"{hours // 24} d {hours % 24} h"

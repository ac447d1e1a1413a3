"""How large the store is, for who watches it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skerry.objects import segments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skerry.objects.context import Objects


def facts(objects: Objects) -> Mapping[str, tuple[int, str]]:
    """Return numbers by their names, each with what it is; quickly, whatever the store's size."""
    buckets, versions, size = segments.totals(objects.reader)
    there = objects.disk.segments()
    return {
        "buckets": (buckets, "Buckets"),
        "versions": (versions, "Versions that are no delete markers"),
        "bytes": (size, "Bytes of all versions"),
        "log_bytes": (sum(map(objects.disk.size, there)), "Bytes of the log"),
        "log_dead_bytes": (
            segments.dead_bytes(objects.reader), "Bytes of the log that count no more",
        ),
        "broken": (int(objects.writer.is_broken), "Whether the disk refuses writes for good"),
    }  # fmt: skip

"""Tokens in several files, read as one sequence: llm.c's shards.

It does not know which files make a split.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from skerry_train.errors import BadData

Numbers = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]

_HEADER_BYTES = 256 * 4
# By magic number and version. Source: llm.c, dev/data/data_common.py.
_KINDS = {(20240520, 1): "<u2", (20240801, 7): "<u4"}


class Joined:
    """Tokens of several files, one after another. A slice is a view, but where two files meet."""

    def __init__(self, parts: Sequence[Numbers]) -> None:
        self._parts = parts
        self._ends = np.array(list(accumulate(len(each) for each in parts)))

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, wanted: slice) -> Numbers:
        begin, end, step = wanted.indices(len(self))
        assert step == 1, "batches are sequences of neighbours"
        end = max(begin, end)
        places = np.searchsorted(self._ends, [begin, max(end - 1, begin)], side="right")
        first, last = (min(int(each), len(self._parts) - 1) for each in places)
        taken: list[Any] = []
        for place in range(first, last + 1):
            before = int(self._ends[place - 1]) if place else 0
            taken.append(self._parts[place][max(begin - before, 0) : max(end - before, 0)])
        return taken[0] if len(taken) == 1 else np.concatenate(taken)


def mapped_shard(path: Path) -> Numbers:
    """Return the tokens of one of llm.c's files: 256 numbers of 32 bits, then the tokens."""
    with path.open("rb") as file:
        read = file.read(_HEADER_BYTES)
    size = path.stat().st_size
    header = np.frombuffer(read.ljust(_HEADER_BYTES, b"\0"), "<i4")
    kind = _KINDS.get((int(header[0]), int(header[1])))
    if kind is None:
        raise BadData(f"{path} is no file of llm.c's tokens")
    count = int(header[2])
    if count < 1 or size != _HEADER_BYTES + count * np.dtype(kind).itemsize:
        raise BadData(f"{path} is not as long as it says; was it cut off?")
    return np.memmap(path, kind, "r", _HEADER_BYTES, (count,))

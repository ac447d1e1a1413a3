"""Opening the tokens of a data set, mapped into memory: the posts' layout, nanoGPT's, llm.c's.

Nothing is read but what is asked for. It does not know what the tokens mean.
"""

from __future__ import annotations

import json
import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from skerry_train.data.batches import Tokens
from skerry_train.data.shards import Joined, Numbers, mapped_shard
from skerry_train.errors import BadData

Split = Literal["train", "validation"]

_HEADER_BYTES_MAX = 1 << 20
_KINDS = {"U16": "<u2", "U32": "<u4", "I32": "<i4", "I64": "<i8"}


@dataclass(frozen=True)
class TokenFile:
    """The tokens of a split. `tokens`: one dimension; a view of the file."""

    path: Path
    tokens: Tokens

    def __len__(self) -> int:
        return len(self.tokens)


def open_split(folder: Path, split: Split) -> TokenFile:
    """Open a split of a data set. Raises BadData if it is missing or is in no format that is read."""
    if shards := sorted(folder.glob("*_train_*.bin" if split == "train" else "*_val_*.bin")):
        return TokenFile(folder, Joined([mapped_shard(each) for each in shards]))
    for name in (f"{split}.safetensors", *_plain(split)):
        path = folder / name
        if path.exists():
            return TokenFile(
                path, _mapped_tensor(path) if path.suffix == ".safetensors" else _mapped_plain(path)
            )
    raise BadData(
        f"there is no {split} split in {folder}; it would be {split}.safetensors or {_plain(split)[0]}:"
        " make one with `skerry-train prepare`"
    )


def _plain(split: Split) -> tuple[str, ...]:
    return ("train.bin",) if split == "train" else ("val.bin", "validation.bin")


def _mapped_plain(path: Path) -> Numbers:
    size = path.stat().st_size
    if size % 2 or not size:
        raise BadData(f"{path} is {size} bytes; tokens of 16 bits fill an even number of them")
    return np.memmap(path, "<u2", "r")


def _mapped_tensor(path: Path) -> Numbers:
    """Return the tensor `tokens` of a safetensors file.

    Source: the format's description; 8 bytes with the length of a JSON header, the header, the data.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(_HEADER_BYTES_MAX, size - 8):
            raise BadData(f"{path} is no safetensors file; was it cut off?")
        try:
            header: dict[str, Any] = json.loads(file.read(length))
            told = header["tokens"]
            begin, end = told["data_offsets"]
            (count,), kind = told["shape"], np.dtype(_KINDS[told["dtype"]])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise BadData(
                f"{path} has no tensor `tokens` of one dimension of whole numbers"
            ) from None
        if not (0 <= begin <= end <= size - 8 - length and end - begin == count * kind.itemsize):
            raise BadData(f"{path} is not as long as it says; was it cut off?")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(data, kind, count, 8 + length + begin)

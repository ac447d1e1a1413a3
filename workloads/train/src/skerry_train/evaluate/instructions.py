"""The rows of the instruction test: read, split, made into prompts and batches, as in Raschka's book.

Source of the formats: Sebastian Raschka, "Build a Large Language Model (From Scratch)", chapter 7.
It does not know the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from skerry_train.errors import BadData

IGNORED = -100  # what PyTorch's cross-entropy leaves out of its mean
_FILE_BYTES_MAX = 1 << 28
_ROWS_MIN = 10  # fewer leave a part of the split empty


class Row(msgspec.Struct, frozen=True):
    """One exercise: what to do, with what, and a good answer."""

    instruction: str
    output: str
    input: str = ""


@dataclass(frozen=True)
class Split:
    """Rows in their order: the first 85 % to train on, the next 10 % to test, the rest to validate."""

    train: list[Row]
    test: list[Row]
    validation: list[Row]
    sha256: str


def read_rows(path: Path) -> Split:
    """Read a JSON list of rows. Raises BadData if it can not be read or is too short to be split."""
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise BadData(
                f"{path} is larger than 256 MiB; the instruction test takes a few thousand rows"
            )
        data = path.read_bytes()
    except OSError as error:
        raise BadData(
            f"{path} can not be read ({error.strerror}); name a JSON list of rows with instruction,"
            " input and output"
        ) from None
    try:
        rows = msgspec.json.decode(data, type=list[Row])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadData(
            f"{path} is no list of rows with instruction, input and output: {error}"
        ) from None
    if len(rows) < _ROWS_MIN:
        raise BadData(f"{path} has {len(rows)} rows, and a split needs {_ROWS_MIN} or more")
    # In whole numbers: as fractions, 85 % of some counts come out one too small.
    train, test = len(rows) * 85 // 100, len(rows) * 10 // 100
    return Split(
        rows[:train],
        rows[train : train + test],
        rows[train + test :],
        hashlib.sha256(data).hexdigest(),
    )


def prompt_of(row: Row) -> str:
    """Return the exercise as a text that ends where the response begins: Alpaca's format."""
    text = (
        "Below is an instruction that describes a task."
        " Write a response that appropriately completes the request."
        f"\n\n### Instruction:\n{row.instruction}"
    )
    return text + (f"\n\n### Input:\n{row.input}" if row.input else "")


def text_of(row: Row) -> str:
    """Return the exercise with its good answer."""
    return f"{prompt_of(row)}\n\n### Response:\n{row.output}"


def answer_in(written: str) -> str:
    """Return the answer in what a model wrote after a prompt: its heading is no part of it."""
    return written.replace("### Response:", "").strip()


def collate(rows: Sequence[Sequence[int]], pad: int, length_max: int) -> tuple[Tensor, Tensor]:
    """Return inputs and targets, [B, T] each, of texts of different length.

    Every text is followed by one `pad`, which is the end it has to learn; what is filled up after that
    is not looked at. Both are cut to length_max after they were filled up.
    """
    width = max(map(len, rows)) + 1
    filled = torch.tensor([[*row, *[pad] * (width - len(row))] for row in rows])
    inputs, targets = filled[:, :-1], filled[:, 1:].clone()
    is_pad = targets == pad
    targets[is_pad & (is_pad.cumsum(1) > 1)] = IGNORED
    return inputs[:, :length_max].contiguous(), targets[:, :length_max].contiguous()

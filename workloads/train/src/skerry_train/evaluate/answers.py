"""A tuned model's answers to the test rows, and the file that holds all that is needed to judge them.

It does not know who judges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from skerry_train.errors import BadData
from skerry_train.evaluate.findings import read_object, write_object
from skerry_train.evaluate.instructions import Row, answer_in, prompt_of
from skerry_train.evaluate.sampling import continue_texts
from skerry_train.evaluate.tuning import Epoch
from skerry_train.model import GPT

ANSWERS = Path("instruct", "answers.json")  # in a run directory
TOKENS_MAX = 256


class Words(Protocol):
    """What is needed of a tokenizer."""

    @property
    def eot(self) -> int:
        """Return the id of the token that ends a text."""
        ...

    def encode(self, text: str) -> Sequence[int]:
        """Return a text's tokens."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text that tokens stand for."""
        ...


class Item(msgspec.Struct, frozen=True):
    """A test row and what the model answered."""

    instruction: str
    input: str
    output: str
    answer: str


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """What one model answered, and how it was made ready for it.

    epochs: the epoch whose weights answered. trained: all of them, with their losses.
    """

    model: str
    checkpoint: str
    data: str
    data_sha256: str
    seed: int
    epochs: int
    trained: list[Epoch]
    plan: dict[str, float]
    items: list[Item]


def answer(
    model: GPT,
    words: Words,
    rows: Sequence[Row],
    *,
    batch: int = 16,
    tokens_max: int = TOKENS_MAX,
    tell: Callable[[int], object] = lambda _: None,
) -> list[Item]:
    """Have a model answer rows greedily. tell: called with the rows done since the last call."""
    items: list[Item] = []
    # Prompts of like length share a batch, so that little of it is filling.
    prompts = [list(words.encode(prompt_of(row))) for row in rows]
    order = sorted(range(len(rows)), key=lambda i: len(prompts[i]))
    written: dict[int, str] = {}
    for begin in range(0, len(order), batch):
        part = order[begin : begin + batch]
        texts = continue_texts(model, [prompts[i] for i in part], tokens_max, end=words.eot)
        written |= {i: words.decode(text) for i, text in zip(part, texts, strict=True)}
        tell(len(part))
    for place, row in enumerate(rows):
        text = answer_in(written[place])
        items.append(Item(row.instruction, row.input, row.output, text))
    return items


def write_answers(path: Path, answers: Answers) -> None:
    """Write an answers file, whole or not at all."""
    write_object(path, msgspec.to_builtins(answers))


def read_answers(path: Path) -> Answers:
    """Read an answers file, or that of a run directory. Raises BadData if it is none."""
    file = path / ANSWERS if path.is_dir() else path
    if not file.exists():
        raise BadData(f"there is no {file}; make it with `skerry-train instruct`")
    try:
        return msgspec.convert(read_object(file), Answers)
    except msgspec.ValidationError as error:
        raise BadData(f"{file} is no file of answers: {error}") from None

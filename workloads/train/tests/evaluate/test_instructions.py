"""Rows are split, written and filled up as in the book."""

import json
from pathlib import Path

import pytest
import torch

from skerry_train.errors import BadData
from skerry_train.evaluate import Row, collate, prompt_of, read_rows, text_of


def rows_file(folder: Path, count: int) -> Path:
    path = folder / "data.json"
    rows = [{"instruction": f"Say {i}.", "input": "", "output": str(i)} for i in range(count)]
    path.write_text(json.dumps(rows))
    return path


@pytest.mark.parametrize(
    ("count", "parts"), [(1100, (935, 110, 55)), (20, (17, 2, 1)), (10, (8, 1, 1))]
)
def test_rows_are_split_in_their_order(tmp_path: Path, count: int, parts: tuple[int, ...]) -> None:
    split = read_rows(rows_file(tmp_path, count))

    assert (len(split.train), len(split.test), len(split.validation)) == parts
    in_order = [*split.train, *split.test, *split.validation]
    assert [row.output for row in in_order] == [str(i) for i in range(count)]


def test_prompts_are_alpacas() -> None:
    row = Row(instruction="Add.", input="1 and 2", output="3")

    head = "Below is an instruction that describes a task. Write a response that appropriately completes the request."
    assert prompt_of(row) == f"{head}\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2"
    assert prompt_of(Row("Go.", "ok")) == f"{head}\n\n### Instruction:\nGo."
    assert text_of(row) == prompt_of(row) + "\n\n### Response:\n3"


def test_one_end_stays_a_target_and_what_is_filled_up_is_ignored() -> None:
    inputs, targets = collate([[0, 1, 2, 3, 4], [5, 6], [7, 8, 9]], pad=50256, length_max=1024)

    # The book's own example.
    assert inputs.tolist() == [
        [0, 1, 2, 3, 4],
        [5, 6, 50256, 50256, 50256],
        [7, 8, 9, 50256, 50256],
    ]
    assert targets.tolist() == [
        [1, 2, 3, 4, 50256],
        [6, 50256, -100, -100, -100],
        [8, 9, 50256, -100, -100],
    ]


def test_long_rows_are_cut() -> None:
    inputs, targets = collate([list(range(10)), [1]], pad=60, length_max=4)

    assert inputs.tolist() == [[0, 1, 2, 3], [1, 60, 60, 60]]
    assert targets.tolist() == [[1, 2, 3, 4], [60, -100, -100, -100]]
    assert targets.dtype == torch.int64


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no list of rows"),
        ("[1]", "no list of rows"),
        ('[{"instruction": "x"}]', "output"),
        ("[]", "0 rows"),
        ("\xff", "no list of rows"),
    ],
)
def test_a_file_that_is_no_list_of_rows_is_told(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "data.json"
    path.write_text(text, encoding="latin-1")

    with pytest.raises(BadData, match=told):
        read_rows(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="can not be read"):
        read_rows(tmp_path / "none.json")

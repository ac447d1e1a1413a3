"""A folder is whole or not there, and the card says what is known."""

from pathlib import Path
from typing import Any

import pytest

from skerry_train.errors import BadSettings, TrainerError
from skerry_train.export import Told, card, write_folder
from skerry_train.record import Clock, Summary
from skerry_train.settings import PRESETS, ModelSettings, TrainSettings, convert

SUMMARY = Summary(
    run="r", reason="done", steps=33165, tokens=3_260_252_160, tokens_per_s=4e5, final_train_loss=3.7,
    final_val_loss=None, best_step=33165, best_loss=3.7, clock_s=Clock(train=7200), world_size=8,
    device="A100", machine=None, price_usd_micros_per_hour=None, cost_usd_micros=35_560_000,
    cost_without_validation_usd_micros=None, parameters=1, global_batch=96, microbatch=12,
)  # fmt: skip
TRAIN = convert(PRESETS["stacked"]["train"], TrainSettings, "preset")


def told(**changed: Any) -> str:
    facts: dict[str, Any] = {
        "name": "small",
        "where": "me/small",
        "model": ModelSettings(drop_rate=0),
    }
    return card(Told(**(facts | changed)))


def test_a_folder_is_written_with_its_links(tmp_path: Path) -> None:
    write_folder(tmp_path / "made", {"a": b"1", "deep/b": b"2"}, {"link": "deep"})

    assert (tmp_path / "made" / "link" / "b").read_bytes() == b"2"
    assert [each.name for each in tmp_path.iterdir()] == ["made"]


def test_a_folder_that_is_there_is_replaced_only_when_told(tmp_path: Path) -> None:
    write_folder(tmp_path / "made", {"a": b"1", "old": b""})
    with pytest.raises(BadSettings, match="--replace"):
        write_folder(tmp_path / "made", {"a": b"2"})
    assert (tmp_path / "made" / "a").read_bytes() == b"1"

    write_folder(tmp_path / "made", {"a": b"2", "old": b""}, replaces=True)

    assert (tmp_path / "made" / "a").read_bytes() == b"2"
    assert [each.name for each in tmp_path.iterdir()] == ["made"]


def test_nothing_is_lost_that_is_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(tmp_path / "made", {"a": b"1", "thesis": b"years of work"})

    monkeypatch.chdir(tmp_path / "made")
    with pytest.raises(BadSettings, match="'thesis'"):
        write_folder(Path(), {"a": b"2"}, replaces=True)

    assert (tmp_path / "made" / "a").read_bytes() == b"1"
    with pytest.raises(BadSettings, match="is a file"):
        write_folder(tmp_path / "made" / "a", {"a": b""}, replaces=True)


def test_a_failure_in_the_middle_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    write_folder(tmp_path / "made", {"a": b"1"})

    with pytest.raises(TrainerError, match="can not be written: File name too long"):
        write_folder(tmp_path / "made", {"a": b"2", "b" * 300: b"3"}, replaces=True)

    assert (tmp_path / "made" / "a").read_bytes() == b"1"
    assert [each.name for each in tmp_path.iterdir()] == ["made"]


def test_a_place_that_can_not_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(TrainerError, match="can not be written"):
        write_folder(tmp_path / "file" / "made", {"a": b""})


def test_a_card_says_what_is_known() -> None:
    text = told(
        train=TRAIN, summary=SUMMARY, evaluation={"held_back_loss": 3.577761}, licence="mit"
    )

    rows = ["163,009,536", "1,024 tokens", "| Gradient clipping | 3.5 |", "| Learning rate | 0.0014 |",
            "| Weight decay | 0.01 |", "| Dropout | 0 |", "3,260,252,160", "| Cost | $35.56 |",
            "3.577761", "| Global batch | 96 sequences |", "| 2 h 0 min |"]  # fmt: skip
    assert [row for row in rows if row not in text] == []
    assert text.startswith('---\nlibrary_name: "transformers"\n')
    assert 'license: "mit"\n' in text
    assert 'datasets: ["gpjt/fineweb-gpt2-tokens"]\n' in text


def test_a_card_leaves_out_what_is_not_known() -> None:
    text = told()

    assert "license:" not in text
    assert "None" not in text
    assert "Nothing is recorded." in text


def test_a_card_counts_no_padding() -> None:
    assert "163,009,536" in told(model=ModelSettings(vocab_padding=128))


def test_a_name_can_not_break_the_card() -> None:
    text = told(name='evil"\n---\nlicense: x', where='a")\nimport os', licence="l\n## Heading")

    assert "\n## Heading" not in text
    assert "\nimport os" not in text
    assert text.count("---\n") == 2

"""The posts' settings are read unchanged; a mistake in them is told in one sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from skerry_train.errors import BadSettings
from skerry_train.settings import (
    PRESETS,
    ModelSettings,
    TrainSettings,
    convert,
    read_model,
    read_train,
)

POSTS_MODEL: dict[str, Any] = {
    "vocab_size": 50257, "context_length": 1024, "emb_dim": 768, "n_heads": 12, "n_layers": 12,
    "drop_rate": 0.1, "qkv_bias": False,
}  # fmt: skip
POSTS_TRAIN: dict[str, Any] = {
    "microbatch_size": 13, "dataset": "gpjt/fineweb-gpt2-tokens", "min_train_tokens": 3260190720,
    "start_train_token": 0, "start_val_token": 0, "validation_interval": 617, "validation_batches": 300,
}  # fmt: skip
LATER_TRAIN: dict[str, Any] = {
    "microbatch_size": 12, "dataset": "a/b", "min_train_tokens": 3260190720, "start_train_token": 0,
    "checkpoint_interval": 617, "gradient_accumulation_steps": 1, "clipping_max_norm": 3.5,
    "learning_rate": 0.0014, "weight_decay": 0.01, "schedule_learning_rate": True,
    "warmup_period_percent": 5, "random_seed": 42, "use_amp": True,
}  # fmt: skip


def test_the_posts_settings_are_read_unchanged(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps(POSTS_MODEL))
    assert read_model(tmp_path) == ModelSettings()
    for train in (POSTS_TRAIN, LATER_TRAIN):
        (tmp_path / "train.json").write_text(json.dumps(train))
        told = read_train(tmp_path)
        assert {name: getattr(told, name) for name in train} == train
        assert told.numbers == "fp16"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"microbatchsize": 3}, "unknown key 'microbatchsize'; did you mean 'microbatch_size'"),
        ({"quux": 3}, "unknown key 'quux'; known are"),
        ({"microbatch_size": "12"}, r"Expected `int`, got `str` - at `\$.microbatch_size`"),
        ({"microbatch_size": 0}, ">= 1"),
        ({"learning_rate": -1}, "> 0"),
        ({"random_seed": -1}, ">= 0"),
        ({"validation_batches": 3}, "give both or neither"),
        ({"min_train_tokens": 0}, "or -1 for all"),
        ({"dataset": ""}, "has to name a data set"),
        ({"global_batch_size": 96, "gradient_accumulation_steps": 2}, "give one"),
        ({"precision": "fp8"}, "Invalid enum value 'fp8'"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(BadSettings, match=words):
        convert({"microbatch_size": 12, "dataset": "d"} | changed, TrainSettings, "train.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 100_000, '{"drop_rate": NaN}', " " * (1 << 20) + "{}"]
)
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)

    with pytest.raises(BadSettings, match=r"model\.json"):
        read_model(tmp_path)


def test_a_run_without_settings_is_told_which_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=r"there is no .*model\.json"):
        read_model(tmp_path / "nowhere")


def test_heads_that_do_not_divide_are_refused_with_a_number_that_does() -> None:
    with pytest.raises(BadSettings, match="768 does not divide by n_heads 11; 12 heads would fit"):
        ModelSettings(n_heads=11)


@pytest.mark.parametrize(("world_size", "accumulation"), [(1, 8), (2, 4), (8, 1)])
def test_accumulation_follows_from_the_global_batch(world_size: int, accumulation: int) -> None:
    train = TrainSettings(microbatch_size=12, dataset="d", global_batch_size=96)

    assert train.accumulation(world_size) == accumulation


def test_a_global_batch_that_does_not_divide_is_refused_with_one_that_does() -> None:
    train = TrainSettings(microbatch_size=13, dataset="d", global_batch_size=96)

    with pytest.raises(BadSettings, match="a micro-batch that divides is 12"):
        train.accumulation(8)
    with pytest.raises(BadSettings, match="the number of processes does not divide it"):
        train.accumulation(7)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_settings(name: str) -> None:
    convert(PRESETS[name]["model"], ModelSettings, name)

    assert convert(PRESETS[name]["train"], TrainSettings, name).accumulation(1) in {1, 8}

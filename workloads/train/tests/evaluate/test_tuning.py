"""A tuning stops when the validation loss rises, and leaves the best epoch's weights."""

import copy
import json
from pathlib import Path

import pytest
import torch

from skerry_train.errors import BadData, Diverged
from skerry_train.evaluate import (
    Answers,
    Epoch,
    Item,
    Plan,
    Row,
    answer,
    read_answers,
    text_of,
    tune,
    validation_loss,
    write_answers,
)
from tests.evaluate.letters import Letters
from tests.small import model

# What the model learns of these it can not use for those: the validation loss rises soon.
TRAIN = [[i, i + 1, i + 2, i] for i in range(0, 40, 2)]
VALIDATION = [[50, 3, 50, 9, 1], [44, 43, 42]]
PLAN = Plan(learning_rate=3e-3, epochs_max=12)


def test_the_best_epoch_is_restored_and_no_later_one() -> None:
    net = model()

    tuned = tune(net, TRAIN, VALIDATION, 60, PLAN)

    losses = [each.validation_loss for each in tuned.epochs]
    assert 1 <= tuned.best < len(losses) < PLAN.epochs_max
    assert losses[-1] >= losses[-2] == min(losses) == losses[tuned.best - 1]
    assert validation_loss(net, VALIDATION, 60, PLAN) == losses[tuned.best - 1]


def test_a_tuning_that_never_gets_worse_ends_at_its_last_epoch() -> None:
    net = model()

    tuned = tune(net, TRAIN, TRAIN[:3], 60, Plan(learning_rate=3e-3, epochs_max=3))

    assert tuned.best == len(tuned.epochs) == 3
    assert tuned.epochs[2].train_loss < tuned.epochs[0].train_loss


def test_the_same_seed_tunes_to_the_same_weights() -> None:
    first = model(drop_rate=0.1, tie_weights=True)
    second = copy.deepcopy(first)

    losses = [tune(net, TRAIN, VALIDATION, 60, PLAN).epochs for net in (first, second)]

    assert losses[0] == losses[1]
    assert all(
        torch.equal(*both) for both in zip(first.parameters(), second.parameters(), strict=True)
    )


def test_the_validation_loss_does_not_depend_on_the_batch() -> None:
    net = model()

    alone = validation_loss(net, VALIDATION, 60, Plan(batch=1))

    assert validation_loss(net, VALIDATION, 60, Plan(batch=2)) == pytest.approx(alone, abs=1e-6)


def test_a_tuning_that_diverges_is_told() -> None:
    with pytest.raises(Diverged, match="learning-rate"):
        tune(model(), TRAIN, VALIDATION, 60, Plan(learning_rate=float("inf")))


def test_answers_come_in_the_order_of_the_rows_whatever_the_batch() -> None:
    net, words = model(context_length=64, vocab_size=200), Letters()
    rows = [Row("a" * length, "good") for length in (9, 1, 30, 4)]

    together = answer(net, words, rows, batch=3, tokens_max=12)

    assert [each.instruction for each in together] == [row.instruction for row in rows]
    assert together == [answer(net, words, [row], tokens_max=12)[0] for row in rows]


def test_a_tuned_model_answers_as_it_was_taught_and_ends() -> None:
    net, words = model(context_length=256, vocab_size=200, initialization="gpt2"), Letters()
    rows = [Row(f"Ask {i}.", "yes") for i in range(64)]
    texts = [words.encode(text_of(row)) for row in rows]

    tune(net, texts, texts[:4], words.eot, Plan(learning_rate=5e-3, epochs_max=25))

    assert [each.answer for each in answer(net, words, rows[:3])] == ["yes"] * 3


def test_an_answers_file_comes_back_as_it_was(tmp_path: Path) -> None:
    answers = Answers(
        model="m", checkpoint="best", data="d.json", data_sha256="00", seed=42, epochs=1,
        trained=[Epoch(1, 2.0, 3.0)], plan={"batch": 8}, items=[Item("do", "", "good", "été")],
    )  # fmt: skip
    write_answers(tmp_path / "instruct" / "answers.json", answers)

    assert read_answers(tmp_path) == read_answers(tmp_path / "instruct" / "answers.json") == answers
    assert (
        json.loads((tmp_path / "instruct" / "answers.json").read_text())["items"][0]["answer"]
        == "été"
    )


def test_what_is_no_answers_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"model": 3}')

    with pytest.raises(BadData, match="no file of answers"):
        read_answers(tmp_path / "a.json")
    with pytest.raises(BadData, match="skerry-train instruct"):
        read_answers(tmp_path)

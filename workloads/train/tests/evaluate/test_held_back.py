"""The loss on held-back text is the exact mean, and of text that the run did not see."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skerry_train.errors import BadData, BadSettings, Diverged
from skerry_train.evaluate import held_back_slice, mean_loss, validated
from skerry_train.settings import TrainSettings
from tests.small import model

TOKENS = np.random.default_rng(5).integers(0, 61, 16 * 7 + 5 + 1).astype(np.uint16)


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 100])
def test_the_mean_is_over_every_token_whatever_the_batch(batch: int) -> None:
    net = model(vocab_padding=64)

    parts = [TOKENS[i : i + 17].astype(np.int64) for i in range(0, len(TOKENS) - 1, 16)]
    losses = [
        F.cross_entropy(
            net(torch.tensor(part[:-1])[None])[0, :, :61], torch.tensor(part[1:]), reduction="none"
        )
        for part in parts
    ]

    assert mean_loss(net, TOKENS, batch=batch) == pytest.approx(
        torch.cat(losses).mean().item(), abs=1e-6
    )


def test_dropout_is_off_and_progress_is_told() -> None:
    net, told = model(drop_rate=0.5), []

    first = mean_loss(net.train(), TOKENS, tell=told.append)

    assert first == mean_loss(net.train(), TOKENS)
    assert sum(told) == len(TOKENS) - 1


def test_half_precision_is_close_to_the_whole() -> None:
    net = model()

    assert mean_loss(net, TOKENS, precision="bf16") == pytest.approx(
        mean_loss(net, TOKENS), abs=0.05
    )


def test_a_loss_that_is_no_number_is_told() -> None:
    net = model()
    with torch.no_grad():
        net.pos_emb.weight[3] = torch.nan

    with pytest.raises(Diverged):
        mean_loss(net, TOKENS)


def test_tokens_of_another_vocabulary_are_told() -> None:
    with pytest.raises(BadData, match="token 61"):
        mean_loss(model(vocab_padding=64), np.array([3, 61, 4], dtype=np.uint16))


def test_a_slice_that_the_run_validated_on_is_refused() -> None:
    train = TrainSettings(
        microbatch_size=2,
        dataset="d",
        start_val_token=100,
        validation_interval=5,
        validation_batches=3,
    )
    used = validated(train, context_length=16, global_batch=4)

    assert (used.start, used.stop) == (100, 100 + 3 * 4 * 16 + 1)
    assert held_back_slice(0, 99, 1000, used) == slice(0, 100)
    assert held_back_slice(293, 50, 1000, used) == slice(293, 344)
    for start, tokens in ((0, 100), (292, 50), (150, 1), (0, 900)):
        with pytest.raises(BadSettings, match="293"):
            held_back_slice(start, tokens, 1000, used)


def test_a_run_without_validation_has_used_nothing() -> None:
    used = validated(TrainSettings(microbatch_size=2, dataset="d"), 16, 4)

    assert held_back_slice(0, 999, 1000, used) == slice(0, 1000)


def test_a_split_that_is_too_short_is_told() -> None:
    with pytest.raises(BadData, match=r"1,000 tokens.*1,001"):
        held_back_slice(0, 1000, 1000, range(0))

"""A GPT-2 answers the same however it computes, and no position sees what comes after it."""

from typing import Any

import pytest
import torch

from skerry_train.errors import BadSettings
from skerry_train.model import GPT, from_stored, parameters, to_stored
from tests.small import ids, model, settings

WAYS = [
    {"attention": "plain"}, {"parts": "plain"}, {"fused_qkv": False},
    {"attention": "plain", "parts": "plain", "fused_qkv": False}, {"loss": "chunked"},
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_every_way_of_computing_gives_the_same_loss(way: dict[str, Any]) -> None:
    first, inputs, targets = model(qkv_bias=True), ids((2, 16)), ids((2, 16), seed=3)
    other = GPT(first.settings, **way)
    shapes = {name: each.shape for name, each in other.state_dict().items()}
    stored = to_stored(first.state_dict(), first.settings)
    other.load_state_dict(from_stored(stored, first.settings, shapes))

    torch.testing.assert_close(other(inputs, targets), first(inputs, targets))


def test_no_position_sees_what_comes_after_it() -> None:
    net, inputs = model(), ids((1, 16))
    changed = inputs.clone()
    changed[0, 9] = (changed[0, 9] + 1) % 61

    before, after = net(inputs), net(changed)

    torch.testing.assert_close(before[:, :9], after[:, :9])
    assert not torch.allclose(before[:, 9:], after[:, 9:])


def test_padding_of_the_vocabulary_changes_nothing() -> None:
    plain, padded = model(), model(vocab_padding=64)
    shapes = {name: each.shape for name, each in padded.state_dict().items()}
    stored = to_stored(plain.state_dict(), plain.settings)
    padded.load_state_dict(from_stored(stored, padded.settings, shapes))
    inputs, targets = ids((2, 16)), ids((2, 16), seed=3)

    loss = padded(inputs, targets)
    loss.backward()

    torch.testing.assert_close(loss, plain(inputs, targets))
    for weight in (padded.tok_emb.weight, padded.out_head.weight):
        assert weight.grad is not None
        assert not weight.grad[61:].any()
        assert not weight[61:].any()


def test_tied_weights_are_one() -> None:
    net = model(tie_weights=True)

    assert net.out_head.weight is net.tok_emb.weight
    assert sum(each.numel() for each in net.parameters()) == parameters(net.settings)


def test_the_paper_s_initialization_begins_near_the_loss_of_a_guess() -> None:
    net = model(initialization="gpt2", tie_weights=True)

    loss = net(ids((4, 16)), ids((4, 16), seed=3)).item()

    assert loss == pytest.approx(torch.log(torch.tensor(61.0)).item(), abs=0.1)


def test_what_does_not_fit_the_context_is_refused() -> None:
    with pytest.raises(BadSettings, match="17 tokens are more than the model's context of 16"):
        model()(ids((1, 17)))


def test_a_model_counts_its_own_parameters() -> None:
    kinds: list[dict[str, Any]] = [
        {},
        {"qkv_bias": True},
        {"vocab_padding": 64},
        {"tie_weights": True},
    ]
    for changed in kinds:
        net = model(**changed)

        assert sum(each.numel() for each in net.parameters()) == parameters(settings(**changed))

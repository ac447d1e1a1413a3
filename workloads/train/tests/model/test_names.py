"""Weights go to the names that are stored, and to Hugging Face's, and come back as they were."""

from typing import Any

import pytest
import torch

from skerry_train.errors import BadCheckpoint
from skerry_train.model import GPT, from_hub, from_stored, to_hub, to_stored
from tests.small import ids, model

KINDS = [{}, {"qkv_bias": True}, {"tie_weights": True}, {"vocab_padding": 64}]


def shapes(net: GPT) -> dict[str, torch.Size]:
    return {name: each.shape for name, each in net.state_dict().items()}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("changed", KINDS, ids=str)
def test_what_is_stored_comes_back_bit_for_bit(changed: dict[str, Any], fused: bool) -> None:  # noqa: FBT001 - a case gives it
    net = model(computing={"fused_qkv": fused}, **changed)

    stored = to_stored(net.state_dict(), net.settings)
    back = from_stored(stored, net.settings, shapes(net))

    assert back.keys() == net.state_dict().keys()
    assert all(torch.equal(back[name], each) for name, each in net.state_dict().items())


def test_stored_names_are_the_posts() -> None:
    stored = to_stored(model(n_layers=1).state_dict(), model(n_layers=1).settings)

    assert sorted(stored) == sorted([
        "tok_emb.weight", "pos_emb.weight", "final_norm.scale", "final_norm.shift", "out_head.weight",
        *(f"trf_blocks.0.{name}" for name in [
            "norm1.scale", "norm1.shift", "norm2.scale", "norm2.shift", "att.W_query.weight",
            "att.W_key.weight", "att.W_value.weight", "att.out_proj.weight", "att.out_proj.bias",
            "ff.layers.0.weight", "ff.layers.0.bias", "ff.layers.2.weight", "ff.layers.2.bias"])])  # fmt: skip


def test_masks_among_the_posts_weights_are_passed_over() -> None:
    net = model()
    stored = to_stored(net.state_dict(), net.settings) | {"trf_blocks.0.att.mask": ids((16, 16))}

    assert from_stored(stored, net.settings, shapes(net)).keys() == net.state_dict().keys()


def test_the_weights_of_another_model_are_told_apart() -> None:
    net, wide, deep = model(), model(emb_dim=64), model(n_layers=3)
    stored = to_stored(net.state_dict(), net.settings)

    for other, words in ((wide, "another model.json"), (deep, "no weight 'trf_blocks.2")):
        with pytest.raises(BadCheckpoint, match=words):
            from_stored(stored, other.settings, shapes(other))
    with pytest.raises(BadCheckpoint, match="weights that the model has not"):
        from_stored(to_stored(deep.state_dict(), deep.settings), net.settings, shapes(net))


@pytest.mark.parametrize("changed", KINDS, ids=str)
def test_the_hub_s_names_and_back(changed: dict[str, Any]) -> None:
    net = model(**changed)
    stored = to_stored(net.state_dict(), net.settings)

    back = from_hub(to_hub(stored, net.settings), net.settings.n_layers)

    assert stored.keys() <= back.keys()
    assert all(torch.equal(back[name], each) for name, each in stored.items())
    assert not any(back[name].any() for name in back.keys() - stored.keys())

"""An exported model is a plain GPT-2 that answers the same; one that is taken in does too."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from skerry_train.errors import BadCheckpoint, BadData
from skerry_train.export import (
    model_files,
    read_hub_folder,
    settings_of,
    write_folder,
    write_reference_run,
)
from skerry_train.model import from_stored
from skerry_train.settings import read_model
from tests.small import ids, model

KINDS = [
    {"tie_weights": tied, "qkv_bias": bias, "vocab_padding": padding}
    for tied in (False, True)
    for bias in (False, True)
    for padding in (1, 64)
]


@pytest.mark.parametrize("changed", KINDS, ids=str)
def test_an_exported_model_answers_the_same(tmp_path: Path, changed: dict[str, Any]) -> None:
    ours = model(drop_rate=0.1, **changed).eval()
    write_folder(tmp_path / "hub", model_files(ours, 60))

    loaded: Any = AutoModelForCausalLM.from_pretrained(
        tmp_path / "hub", output_loading_info=True, attn_implementation="eager"
    )
    theirs, report = loaded

    assert isinstance(theirs, GPT2LMHeadModel)
    assert not any(report[each] for each in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    seen = ids((3, 16))
    torch.testing.assert_close(
        theirs.eval()(seen).logits, ours(seen)[..., :61], rtol=1e-5, atol=1e-5
    )
    tied = theirs.lm_head.weight.data_ptr() == theirs.transformer.wte.weight.data_ptr()
    assert tied == theirs.config.tie_word_embeddings == changed["tie_weights"]


def hub_folder(folder: Path, **changed: Any) -> GPT2LMHeadModel:
    """Make a folder as Hugging Face makes it, its weights far from what GPT-2's begin with."""
    torch.manual_seed(3)
    sizes = {"vocab_size": 61, "n_positions": 16, "n_embd": 32, "n_layer": 2, "n_head": 4,
             "bos_token_id": 60, "eos_token_id": 60}  # fmt: skip
    theirs = GPT2LMHeadModel(GPT2Config(**(sizes | changed)))  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        for each in theirs.parameters():
            each.add_(torch.randn_like(each) * 0.1)
    theirs.save_pretrained(folder)
    return theirs.eval()


@pytest.mark.parametrize("tied", [True, False])
def test_a_model_taken_in_answers_the_same(tmp_path: Path, tied: bool) -> None:  # noqa: FBT001 - a case gives it
    theirs = hub_folder(tmp_path, tie_word_embeddings=tied)

    ours = read_hub_folder(tmp_path).eval()

    seen = ids((3, 16))
    torch.testing.assert_close(ours(seen), theirs(seen).logits, rtol=1e-5, atol=1e-5)
    assert (ours.settings.tie_weights, ours.settings.qkv_bias) == (tied, True)


def test_weights_are_taken_from_a_pickle_without_prefix_and_with_masks(tmp_path: Path) -> None:
    theirs = hub_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    weights = {
        name.removeprefix("transformer."): each for name, each in theirs.state_dict().items()
    }
    weights["h.0.attn.bias"] = torch.ones(1, 1, 16, 16)  # as OpenAI's files have it
    torch.save(weights, tmp_path / "pytorch_model.bin")

    seen = ids((2, 9))
    torch.testing.assert_close(
        read_hub_folder(tmp_path).eval()(seen), theirs(seen).logits, rtol=1e-5, atol=1e-5
    )


def test_weights_in_several_files_are_put_together(tmp_path: Path) -> None:
    theirs = hub_folder(tmp_path)
    theirs.save_pretrained(tmp_path / "parts", max_shard_size="20KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1

    seen = ids((2, 9))
    taken = read_hub_folder(tmp_path / "parts").eval()
    torch.testing.assert_close(taken(seen), theirs(seen).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "held", [{"x": Path("anything but a tensor")}, [torch.ones(1)], {"x": 3}, None], ids=str
)
def test_a_pickle_with_anything_but_tensors_is_not_taken(tmp_path: Path, held: object) -> None:
    hub_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(held, tmp_path / "pytorch_model.bin")

    with pytest.raises(BadCheckpoint, match=r"can not be read|something else"):
        read_hub_folder(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"weight_map": 3}', '{"weight_map": {"a": "../model.safetensors"}}']
)
def test_a_list_of_files_that_leads_nowhere_is_told(tmp_path: Path, text: str) -> None:
    hub_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "model.safetensors.index.json").write_text(text)

    with pytest.raises(BadCheckpoint):
        read_hub_folder(tmp_path)


def test_a_model_taken_in_becomes_a_run_with_a_checkpoint(tmp_path: Path) -> None:
    hub_folder(tmp_path / "hub")
    taken = read_hub_folder(tmp_path / "hub")
    write_reference_run(taken, tmp_path / "run")

    shapes = {name: each.shape for name, each in taken.state_dict().items()}
    assert read_model(tmp_path / "run") == taken.settings
    for name in ("best", "latest"):
        stored = load_file(tmp_path / "run" / "checkpoints" / name / "model.safetensors")
        state = from_stored(stored, taken.settings, shapes)
        assert all(torch.equal(state[each], tensor) for each, tensor in taken.state_dict().items())


def test_what_is_taken_in_and_exported_again_has_the_same_weights(tmp_path: Path) -> None:
    hub_folder(tmp_path / "hub")
    write_folder(tmp_path / "again", model_files(read_hub_folder(tmp_path / "hub"), 60))

    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("hub", "again"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    "changed",
    [
        {"model_type": "llama"},
        {"activation_function": "relu"},
        {"n_inner": 7},
        {"scale_attn_by_inverse_layer_idx": True},
        {"n_embd": "wide"},
        {"layer_norm_epsilon": 1e-6},
    ],
)
def test_what_is_no_plain_gpt_2_is_told(changed: dict[str, Any]) -> None:
    with pytest.raises(BadData, match=r"config\.json"):
        settings_of({"model_type": "gpt2"} | changed)


def test_gpt_2_itself_has_the_known_settings() -> None:
    settings = settings_of({"model_type": "gpt2"})

    assert (settings.vocab_size, settings.context_length, settings.n_layers) == (50257, 1024, 12)
    assert settings.tie_weights
    assert settings.qkv_bias


def test_folders_that_can_not_be_taken_in_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="can not be read"):
        read_hub_folder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "n_layer": 1}))
    with pytest.raises(BadCheckpoint, match=r"no model\.safetensors"):
        read_hub_folder(tmp_path)
    for name in ("pytorch_model.bin", "model.safetensors"):
        for torn in (b"", b"torn"):
            (tmp_path / name).write_bytes(torn)
            with pytest.raises(BadCheckpoint, match="can not be read"):
                read_hub_folder(tmp_path)

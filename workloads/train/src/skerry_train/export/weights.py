"""A model as Hugging Face's GPT2LMHeadModel stores it: its `config.json` and its weights.

Everything there is plain GPT-2, so that it loads without code of ours: a bias of zero where the model
has none for query, key and value, no rows of padding, and a head of its own unless it is tied.
It does not know about folders.
"""

from __future__ import annotations

import json
from typing import Any

from safetensors.torch import save
from torch import Tensor

from skerry_train.model import GPT, to_hub, to_stored
from skerry_train.settings import ModelSettings


def config_of(model: ModelSettings, end: int | None) -> dict[str, Any]:
    """Return `config.json`. end: the token that ends a text, and begins one; None if there is none.

    Source of the names: transformers, GPT2Config.
    """
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": model.vocab_size,
        "n_positions": model.context_length,
        "n_ctx": model.context_length,
        "n_embd": model.emb_dim,
        "n_layer": model.n_layers,
        "n_head": model.n_heads,
        "n_inner": 4 * model.emb_dim,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "resid_pdrop": model.drop_rate,
        "embd_pdrop": model.drop_rate,
        "attn_pdrop": model.drop_rate,
        "initializer_range": 0.02,
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "reorder_and_upcast_attn": False,
        "tie_word_embeddings": model.tie_weights,
        "use_cache": True,
        "bos_token_id": end,
        "eos_token_id": end,
        "torch_dtype": "float32",
    }


def generation_of(end: int | None) -> dict[str, Any]:
    """Return `generation_config.json`: where a text ends, and what fills rows up."""
    return {"bos_token_id": end, "eos_token_id": end, "pad_token_id": end}


def weights_of(model: GPT) -> dict[str, Tensor]:
    """Return the weights under Hugging Face's names, on the CPU in float32, none sharing memory."""
    stored = to_stored(model.state_dict(), model.settings)
    return {
        name: tensor.detach().cpu().float().contiguous().clone()
        for name, tensor in to_hub(stored, model.settings).items()
    }


def files_of(model: GPT, end: int | None) -> dict[str, bytes]:
    """Return the files of a model by name."""
    return {
        "config.json": as_json(config_of(model.settings, end)),
        "generation_config.json": as_json(generation_of(end)),
        # transformers asks which library's tensors they are.
        "model.safetensors": save(weights_of(model), {"format": "pt"}),
    }


def as_json(document: dict[str, Any]) -> bytes:
    """Return a document as a person may read it."""
    return (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode()

"""Weights made elsewhere, as a run: a folder of Hugging Face's GPT2LMHeadModel becomes one that can be tested.

So GPT-2 itself goes through the same tests as a model of one's own. Nothing in the folder is run: weights
are read as safetensors, or as a pickle that may hold tensors only. It does not know the tests.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from pathlib import Path
from typing import Any, cast

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from skerry_train.errors import BadCheckpoint, BadData
from skerry_train.export.folder import write_folder
from skerry_train.export.weights import as_json
from skerry_train.model import GPT, from_hub, from_stored, to_stored
from skerry_train.record import Clock
from skerry_train.run import MODEL, Meta
from skerry_train.settings import ModelSettings

_CHECKPOINT = "00000000Z000000-iteration-0"  # no date: it was not made by a run
_UNREADABLE = (
    OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError,
    pickle.UnpicklingError,
)  # fmt: skip
_TANH_GELU = ("gelu_new", "gelu_pytorch_tanh")
# What GPT2Config can say that changes the network, and all that is computed here.
_ONLY = {
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False,
    "layer_norm_epsilon": 1e-5,
}


def read_hub_folder(folder: Path) -> GPT:
    """Return the model in a folder of Hugging Face's. Raises BadData or BadCheckpoint if it is no GPT-2."""
    settings = settings_of(_config(folder))
    stored = from_hub(_weights(folder), settings.n_layers)
    if settings.tie_weights:
        stored.pop("out_head.weight", None)
    model = GPT(settings)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    try:
        state = from_stored({name: each.float() for name, each in stored.items()}, settings, shapes)
    except BadCheckpoint as error:
        raise BadCheckpoint(
            f"the weights in {folder} are not those of its config.json: {error}"
        ) from None
    model.load_state_dict(state)
    return model


def settings_of(config: dict[str, Any]) -> ModelSettings:
    """Return the settings that a `config.json` stands for. Raises BadData if it is no plain GPT-2.

    Source of names and defaults: transformers, GPT2Config.
    """
    if config.get("model_type") != "gpt2":
        raise BadData(
            f"config.json is of a {config.get('model_type')!r}; only gpt2 can be taken in"
        )
    activation, width = config.get("activation_function", "gelu_new"), config.get("n_embd", 768)
    if activation not in _TANH_GELU:
        raise BadData(f"config.json wants the activation {activation!r}; GPT-2's is gelu_new")
    for name, value in _ONLY.items():
        if config.get(name, value) != value:
            raise BadData(
                f"config.json wants {name} {config[name]!r}; only {value!r} can be taken in"
            )
    if config.get("n_inner") not in (None, 4 * width):
        raise BadData(
            f"config.json wants n_inner {config['n_inner']}; only 4 x n_embd can be taken in"
        )
    try:
        return msgspec.convert(
            {
                "vocab_size": config.get("vocab_size", 50257),
                "context_length": config.get("n_positions", 1024),
                "emb_dim": width,
                "n_heads": config.get("n_head", 12),
                "n_layers": config.get("n_layer", 12),
                "drop_rate": config.get("resid_pdrop", 0.1),
                "qkv_bias": True,
                "tie_weights": config.get("tie_word_embeddings", True),
            },
            ModelSettings,
        )
    except msgspec.ValidationError as error:
        raise BadData(f"config.json can not be taken in: {error}") from None


def write_reference_run(
    model: GPT, run: Path, extra: dict[str, bytes] | None = None, *, replaces: bool = False
) -> None:
    """Write a run directory whose only checkpoint is the model; all of it or nothing.

    extra: more files by name, such as a tokenizer's.
    """
    stored = to_stored(model.state_dict(), model.settings)
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in stored.items()}
    weights = save(tensors)
    checkpoint = f"checkpoints/{_CHECKPOINT}"
    write_folder(
        run,
        {
            "model.json": as_json(msgspec.to_builtins(model.settings)),
            f"{checkpoint}/{MODEL}": weights,
            f"{checkpoint}/meta.json": _meta(model.settings, weights),
            **(extra or {}),
        },
        {"checkpoints/best": _CHECKPOINT, "checkpoints/latest": _CHECKPOINT},
        replaces=replaces,
    )


def _meta(settings: ModelSettings, weights: bytes) -> bytes:
    """Return what the checkpoint says of itself: nothing was trained here."""
    meta = Meta(
        global_step=0, is_best=True, avg_train_loss=None, min_train_loss=None, max_train_loss=None,
        val_loss=None, lr=0.0, avg_grad_norm=None, max_grad_norm=None, frac_clipped=0.0, tokens_seen=0,
        next_token=0, steps=0, tokens_per_step=0, best_loss=None, best_step=None,
        model=msgspec.to_builtins(settings), train={}, clock_s=Clock(),
        sha256={MODEL: hashlib.sha256(weights).hexdigest()},
    )  # fmt: skip
    return as_json(msgspec.to_builtins(meta))


def _config(folder: Path) -> dict[str, Any]:
    try:
        document = json.loads((folder / "config.json").read_bytes())
    except OSError as error:
        raise BadData(f"{folder}/config.json can not be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadData(f"{folder}/config.json is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise BadData(f"{folder}/config.json has to hold one JSON object")
    return cast("dict[str, Any]", document)


def _weights(folder: Path) -> dict[str, Tensor]:
    try:
        weights = _read_weights(folder)
    except _UNREADABLE as error:
        told = " ".join(str(error).split())[:200]
        raise BadCheckpoint(f"the weights in {folder} can not be read: {told}") from None
    if not isinstance(weights, dict) or not all(
        isinstance(each, Tensor) for each in weights.values()
    ):
        raise BadCheckpoint(
            f"pytorch_model.bin in {folder} holds something else than weights by name"
        )
    return cast("dict[str, Tensor]", weights)


def _read_weights(folder: Path) -> object:
    whole, parts = folder / "model.safetensors", folder / "model.safetensors.index.json"
    pickled = folder / "pytorch_model.bin"
    if whole.exists():
        return load_file(whole)
    if parts.exists():
        names = sorted(set(json.loads(parts.read_bytes())["weight_map"].values()))
        if any(Path(name).name != name for name in names):
            raise BadCheckpoint(f"{parts} names files outside its folder")
        return {k: v for name in names for k, v in load_file(folder / name).items()}
    if pickled.exists():
        return torch.load(pickled, map_location="cpu", weights_only=True)
    raise BadCheckpoint(
        f"{folder} has no model.safetensors and no pytorch_model.bin; is it a model's folder?"
    )

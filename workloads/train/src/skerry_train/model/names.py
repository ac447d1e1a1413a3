"""The names and shapes under which weights are stored: the posts' and Hugging Face's.

What is stored has the posts' names, three matrices for query, key and value, and no padding, however
the model computes. The same goes for what an optimizer holds for each weight. Exact both ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor

from skerry_train.errors import BadCheckpoint
from skerry_train.settings import ModelSettings

_QKV = ("W_query", "W_key", "W_value")
_STORED = {
    "norm1.weight": "norm1.scale", "norm1.bias": "norm1.shift",
    "norm2.weight": "norm2.scale", "norm2.bias": "norm2.shift",
    "att.out_proj.weight": "att.out_proj.weight", "att.out_proj.bias": "att.out_proj.bias",
    "ff.up.weight": "ff.layers.0.weight", "ff.up.bias": "ff.layers.0.bias",
    "ff.down.weight": "ff.layers.2.weight", "ff.down.bias": "ff.layers.2.bias",
}  # fmt: skip
_TOP = {"final_norm.weight": "final_norm.scale", "final_norm.bias": "final_norm.shift"}
_ROWS = ("tok_emb.weight", "out_head.weight")


def to_stored(state: dict[str, Tensor], model: ModelSettings) -> dict[str, Tensor]:
    """Return a model's state under the names that are stored; views where they can be."""
    stored: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block = re.match(r"blocks\.(\d+)\.(.*)", name)
        if block is None:
            rows = tensor[: model.vocab_size] if name in _ROWS else tensor
            if not (name == "out_head.weight" and model.tie_weights):
                stored[_TOP.get(name, name)] = rows
            continue
        prefix, rest = f"trf_blocks.{block[1]}.", block[2]
        qkv = re.match(r"att\.qkv\.(\d)\.(weight|bias)", rest)
        if qkv is None:
            stored[prefix + _STORED[rest]] = tensor
        elif tensor.shape[0] == 3 * model.emb_dim:
            for each, part in zip(_QKV, tensor.chunk(3), strict=True):
                stored[f"{prefix}att.{each}.{qkv[2]}"] = part
        else:
            stored[f"{prefix}att.{_QKV[int(qkv[1])]}.{qkv[2]}"] = tensor
    return stored


def from_stored(
    stored: dict[str, Tensor], model: ModelSettings, shapes: dict[str, torch.Size]
) -> dict[str, Tensor]:
    """Return what is stored under the names, and in the shapes, of a model that computes in its own way.

    shapes: those of the model's state. Raises BadCheckpoint if a weight is missing, is of another
    shape, or belongs to no such model.
    """
    state: dict[str, Tensor] = {}
    used: set[str] = set()

    def take(name: str, shape: torch.Size) -> Tensor:
        tensor = stored.get(name)
        if tensor is None:
            raise BadCheckpoint(f"it has no weight {name!r}; was it made with another model.json?")
        if tensor.shape != shape:
            raise BadCheckpoint(
                f"its weight {name!r} is {list(tensor.shape)} and the model's is {list(shape)};"
                " it was made with another model.json"
            )
        used.add(name)
        return tensor

    for name, shape in shapes.items():
        block = re.match(r"blocks\.(\d+)\.(.*)", name)
        if block is None:
            state[name] = _top(name, shape, model, take)
            continue
        prefix, rest = f"trf_blocks.{block[1]}.", block[2]
        qkv = re.match(r"att\.qkv\.(\d)\.(weight|bias)", rest)
        if qkv is None:
            state[name] = take(prefix + _STORED[rest], shape)
        elif shape[0] == 3 * model.emb_dim:
            part = torch.Size((model.emb_dim, *shape[1:]))
            state[name] = torch.cat([take(f"{prefix}att.{each}.{qkv[2]}", part) for each in _QKV])
        else:
            state[name] = take(f"{prefix}att.{_QKV[int(qkv[1])]}.{qkv[2]}", shape)
    # The posts' models hold their masks among the weights; a tied head may be stored twice.
    left = {name for name in stored if not name.endswith("att.mask")} - used
    if left - ({"out_head.weight"} if model.tie_weights else set()):
        raise BadCheckpoint(f"it has weights that the model has not, {min(left)!r} among them")
    return state


def _top(
    name: str, shape: torch.Size, model: ModelSettings, take: Callable[[str, torch.Size], Tensor]
) -> Tensor:
    """Return a weight outside the blocks, its rows padded with zeros to the shape."""
    if name not in _ROWS:
        return take(_TOP.get(name, name), shape)
    source = "tok_emb.weight" if model.tie_weights else name
    rows = take(source, torch.Size((model.vocab_size, *shape[1:])))
    padding = rows.new_zeros((shape[0] - model.vocab_size, *shape[1:]))
    return torch.cat([rows, padding]) if len(padding) else rows


_HUB_BLOCK = {
    "norm1.scale": "ln_1.weight", "norm1.shift": "ln_1.bias",
    "norm2.scale": "ln_2.weight", "norm2.shift": "ln_2.bias",
    "att.out_proj.weight": "attn.c_proj.weight", "att.out_proj.bias": "attn.c_proj.bias",
    "ff.layers.0.weight": "mlp.c_fc.weight", "ff.layers.0.bias": "mlp.c_fc.bias",
    "ff.layers.2.weight": "mlp.c_proj.weight", "ff.layers.2.bias": "mlp.c_proj.bias",
}  # fmt: skip
_HUB_TOP = {
    "tok_emb.weight": "transformer.wte.weight", "pos_emb.weight": "transformer.wpe.weight",
    "final_norm.scale": "transformer.ln_f.weight", "final_norm.shift": "transformer.ln_f.bias",
    "out_head.weight": "lm_head.weight",
}  # fmt: skip


def to_hub(stored: dict[str, Tensor], model: ModelSettings) -> dict[str, Tensor]:
    """Return stored weights as Hugging Face's GPT2LMHeadModel names and shapes them.

    Its matrices stand the other way round, [in, out], and query, key and value are one. Where the
    model has no bias for them, they are zero there.
    """
    made: dict[str, Tensor] = {hub: stored[own] for own, hub in _HUB_TOP.items() if own in stored}
    for layer in range(model.n_layers):
        own, hub = f"trf_blocks.{layer}.", f"transformer.h.{layer}."
        for name, theirs in _HUB_BLOCK.items():
            tensor = stored[own + name]
            made[hub + theirs] = tensor.T.contiguous() if tensor.ndim == 2 else tensor
        matrices = [stored[f"{own}att.{each}.weight"] for each in _QKV]
        made[hub + "attn.c_attn.weight"] = torch.cat(matrices).T.contiguous()
        biases = [stored.get(f"{own}att.{each}.bias") for each in _QKV]
        zero = matrices[0].new_zeros(model.emb_dim)
        made[hub + "attn.c_attn.bias"] = torch.cat([zero if b is None else b for b in biases])
    return made


def from_hub(weights: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Return Hugging Face's weights of a GPT-2 under the names that are stored, with all biases.

    Raises BadCheckpoint if one is missing.
    """
    with_top = {name if name.startswith(("transformer.", "lm_head.")) else f"transformer.{name}": tensor
                for name, tensor in weights.items()}  # fmt: skip
    try:
        stored = {own: with_top[hub] for own, hub in _HUB_TOP.items() if hub in with_top}
        for layer in range(layers):
            own, hub = f"trf_blocks.{layer}.", f"transformer.h.{layer}."
            for name, theirs in _HUB_BLOCK.items():
                tensor = with_top[hub + theirs]
                stored[own + name] = tensor.T.contiguous() if tensor.ndim == 2 else tensor
            for kind in ("weight", "bias"):
                whole = with_top[f"{hub}attn.c_attn.{kind}"]
                parts = (whole.T if kind == "weight" else whole).chunk(3)
                for each, part in zip(_QKV, parts, strict=True):
                    stored[f"{own}att.{each}.{kind}"] = part.contiguous()
    except KeyError as error:
        raise BadCheckpoint(f"it has no weight {error}; is it a GPT-2?") from None
    return stored

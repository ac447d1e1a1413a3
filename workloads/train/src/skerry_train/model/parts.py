"""The parts of a block: attention, the feed-forward net, the norm; fast, or written out as in the posts.

It does not know how blocks are put together.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from skerry_train.settings import Attention, ModelSettings, Parts


class PlainNorm(nn.LayerNorm):
    """Layer normalisation written out. The variance is that of the whole, not of a sample."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name that torch gives it
        """Return the normalised, scaled and shifted input. [..., C]."""
        mean = input.mean(dim=-1, keepdim=True)
        variance = input.var(dim=-1, keepdim=True, unbiased=False)
        return self.weight * ((input - mean) / torch.sqrt(variance + self.eps)) + self.bias


def plain_gelu(inputs: Tensor) -> Tensor:
    """Return GELU by its tanh formula, written out. Source: Hendrycks and Gimpel 2016."""
    inner = math.sqrt(2.0 / math.pi) * (inputs + 0.044715 * torch.pow(inputs, 3))
    return 0.5 * inputs * (1 + torch.tanh(inner))


def native_gelu(inputs: Tensor) -> Tensor:
    """Return GELU by its tanh formula, in one kernel."""
    return F.gelu(inputs, approximate="tanh")


def make_norm(width: int, parts: Parts) -> nn.LayerNorm:
    """Return a layer normalisation over the last dimension."""
    return (PlainNorm if parts == "plain" else nn.LayerNorm)(width, eps=1e-5)


def plain_attention(query: Tensor, key: Tensor, value: Tensor, drop_rate: float) -> Tensor:
    """Return causal attention written out: scores and weights of T x T are held. [B, H, T, D]."""
    length = query.shape[-2]
    future = torch.ones(length, length, dtype=torch.bool, device=query.device).triu(1)
    scores = (query @ key.transpose(-2, -1)).masked_fill(future, -torch.inf)
    weights = torch.softmax(scores / math.sqrt(query.shape[-1]), dim=-1)
    return F.dropout(weights, drop_rate, training=drop_rate > 0) @ value


def kernel_attention(query: Tensor, key: Tensor, value: Tensor, drop_rate: float) -> Tensor:
    """Return causal attention by the kernel of PyTorch's that is chosen around it. [B, H, T, D]."""
    return F.scaled_dot_product_attention(query, key, value, dropout_p=drop_rate, is_causal=True)


class SelfAttention(nn.Module):
    """Causal attention of several heads, with one matrix for query, key and value, or with three."""

    def __init__(self, model: ModelSettings, attention: Attention, *, fused_qkv: bool) -> None:
        super().__init__()
        width, bias = model.emb_dim, model.qkv_bias
        outs = [3 * width] if fused_qkv else [width, width, width]
        self.qkv = nn.ModuleList([nn.Linear(width, out, bias=bias) for out in outs])
        self.out_proj = nn.Linear(width, width)
        self.heads, self.drop_rate = model.n_heads, model.drop_rate
        self.attend: Callable[[Tensor, Tensor, Tensor, float], Tensor] = (
            plain_attention if attention == "plain" else kernel_attention
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what each position takes from those before it. [B, T, C] to [B, T, C]."""
        batch, length, width = inputs.shape
        made = (
            torch.cat([each(inputs) for each in self.qkv], -1)
            if len(self.qkv) > 1
            else self.qkv[0](inputs)
        )
        heads = made.view(batch, length, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = self.attend(query, key, value, self.drop_rate if self.training else 0.0)
        return self.out_proj(mixed.transpose(1, 2).reshape(batch, length, width))


class FeedForward(nn.Module):
    """Two matrices with GELU between them, four times as wide inside."""

    def __init__(self, width: int, parts: Parts) -> None:
        super().__init__()
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)
        self.gelu = plain_gelu if parts == "plain" else native_gelu

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the net's answer for each position. [..., C] to [..., C]."""
        return self.down(self.gelu(self.up(inputs)))

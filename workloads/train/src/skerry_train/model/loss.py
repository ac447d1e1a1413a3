"""The loss of a next token: over all logits at once, or over a chunk of them at a time.

Rows of the head that only pad it are left out. It does not know what made the hidden states.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK_ROWS = 4096  # logits of as many positions, in float32, are 0.8 GB at GPT-2's vocabulary


def whole_loss(hidden: Tensor, head: Tensor, targets: Tensor, vocab_size: int) -> Tensor:
    """Return the mean loss in nats, a scalar.

    hidden: [N, C]; head: [padded V, C]; targets: [N] of int64 below vocab_size.
    """
    logits = F.linear(hidden, head)[:, :vocab_size]
    return F.cross_entropy(logits.float(), targets)


def chunked_loss(
    hidden: Tensor, head: Tensor, targets: Tensor, vocab_size: int, rows: int = _CHUNK_ROWS
) -> Tensor:
    """Return what `whole_loss` does, but hold the logits of few positions at a time.

    The gradients are made on the way forward, while a chunk's logits are there.
    """
    dtype = hidden.dtype
    if torch.is_autocast_enabled(hidden.device.type):
        dtype = torch.get_autocast_dtype(hidden.device.type)
    return _Chunked.apply(hidden, head, targets, vocab_size, rows, dtype)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401 - the context is what autograd makes of it
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        vocab_size: int,
        rows: int,
        dtype: torch.dtype,
    ) -> Tensor:
        count = hidden.shape[0]
        weights = head.detach().to(dtype)
        total = hidden.new_zeros((), dtype=torch.float32)
        # In float32: in half precision they would be lost before a scaler made them larger.
        to_hidden = torch.empty(hidden.shape, dtype=torch.float32, device=hidden.device)
        to_head = torch.zeros(head.shape, dtype=torch.float32, device=head.device)
        with torch.autocast(hidden.device.type, enabled=False):
            for begin in range(0, count, rows):
                part = slice(begin, min(begin + rows, count))
                inputs, wanted = hidden[part].detach().to(dtype), targets[part, None]
                logits = F.linear(inputs, weights).float()
                logits[:, vocab_size:] = -torch.inf
                logs = torch.log_softmax(logits, 1)
                total -= logs.gather(1, wanted).sum()
                wrong = logs.exp_().scatter_add_(1, wanted, -torch.ones_like(logs[:, :1])).to(dtype)
                to_hidden[part] = (wrong @ weights).float()
                to_head += (wrong.T @ inputs).float()
        ctx.save_for_backward(to_hidden.div_(count), to_head.div_(count))
        ctx.dtypes = (hidden.dtype, head.dtype)
        return total / count

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 - the context is what autograd makes of it
        to_hidden, to_head = ctx.saved_tensors
        kinds = ctx.dtypes
        (scale,) = outputs
        return (
            (to_hidden * scale).to(kinds[0]),
            (to_head * scale).to(kinds[1]),
            None,
            None,
            None,
            None,
        )

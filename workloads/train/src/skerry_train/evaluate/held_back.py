"""The loss on text that was held back: an exact mean over a slice that the run never looked at.

It does not know where tokens are stored.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from skerry_train.errors import BadData, BadSettings, Diverged
from skerry_train.model import GPT
from skerry_train.run import autocast
from skerry_train.settings import Precision, TrainSettings

TOKENS = 3200 * 6 * 1024  # the posts' slice
START = 50_000_000  # and where it begins in their validation split
_LOGIT_ROWS = 4096  # logits of as many positions, in float32, are 0.8 GB at GPT-2's vocabulary


def validated(train: TrainSettings, context_length: int, global_batch: int) -> range:
    """Return the positions of the validation split that a run looked at; empty if it did not look.

    global_batch: sequences of a step, over all processes.
    """
    if train.validation_batches is None:
        return range(0)
    tokens = train.validation_batches * global_batch * context_length
    return range(train.start_val_token, train.start_val_token + tokens + 1)


def held_back_slice(start: int, tokens: int, there: int, used: range) -> slice:
    """Return the slice to measure: its tokens, and one more for the last target.

    there: tokens of the split. used: positions that the run looked at. Raises BadData if the split is
    too short, BadSettings if the run has looked at a part of the slice.
    """
    stop = start + tokens + 1
    if stop > there:
        raise BadData(
            f"the validation split has {there:,} tokens, and a slice of {tokens:,} from {start:,} ends"
            f" at {stop:,}; give another --start or --tokens"
        )
    if used and start < used.stop and used.start < stop:
        raise BadSettings(
            f"the run validated on tokens {used.start:,} to {used.stop:,}, and the slice is {start:,} to"
            f" {stop:,}; give a --start of {used.stop:,} or more, or --overlap to measure it all the same"
        )
    return slice(start, stop)


def mean_loss(
    model: GPT,
    tokens: NDArray[np.integer],
    *,
    batch: int = 6,
    precision: Precision = "fp32",
    tell: Callable[[int], object] = lambda _: None,
) -> float:
    """Return the mean loss in nats over all tokens but the first, each seen once.

    tokens: [N + 1], of any integer type. They are cut into windows of the model's context, and what
    is left at the end is a shorter one, so every token counts the same whatever the batch is.
    tell: called with the tokens done since the last call. Raises Diverged if the loss is no
    number, BadData if a token is none of the model's.
    """
    model.eval()
    device = next(model.parameters()).device
    total = torch.zeros((), dtype=torch.float64, device=device)
    with torch.inference_mode(), autocast(precision, device):
        for part in _windows(len(tokens) - 1, model.settings.context_length, batch):
            begin, rows, width = part
            chunk = np.asarray(tokens[begin : begin + rows * width + 1], dtype=np.int64)
            if (highest := int(chunk.max())) >= model.settings.vocab_size:
                raise BadData(
                    f"the data set has a token {highest}, and the model's vocab_size is"
                    f" {model.settings.vocab_size}; they were made for different tokenizers"
                )
            ids = torch.from_numpy(chunk).to(device)
            total += _summed(model, ids[:-1].view(rows, width), ids[1:])
            tell(rows * width)
    mean = total.item() / (len(tokens) - 1)
    if not np.isfinite(mean):
        raise Diverged("the loss on the held-back text is no number; try another checkpoint")
    return mean


def _windows(count: int, width: int, batch: int) -> list[tuple[int, int, int]]:
    """Cut `count` positions into (begin, rows, width), as many rows at once as the batch."""
    whole, rest = divmod(count, width)
    parts = [(row * width, min(batch, whole - row), width) for row in range(0, whole, batch)]
    return [*parts, (whole * width, 1, rest)] if rest else parts


def _summed(model: GPT, inputs: Tensor, targets: Tensor) -> Tensor:
    """Return the sum of the losses, in float64. inputs: [B, T]; targets: [B * T]."""
    hidden = model.hidden(inputs).flatten(0, 1)
    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    for rows, wanted in zip(hidden.split(_LOGIT_ROWS), targets.split(_LOGIT_ROWS), strict=True):
        logits = model.out_head(rows)[:, : model.settings.vocab_size].float()
        total += F.cross_entropy(logits, wanted, reduction="none").sum(dtype=torch.float64)
    return total

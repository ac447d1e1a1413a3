"""The loss on the validation split, measured by all processes together.

It does not know when, nor how long it takes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from skerry_train.data import Feeder, Share, Slice, Tokens
from skerry_train.model import GPT
from skerry_train.run.computing import Net, autocast
from skerry_train.settings import Precision
from skerry_train.world import SUM, World


@dataclass(frozen=True)
class Held:
    """What is validated on."""

    tokens: Tokens
    part: Slice
    share: Share


def validate(model: GPT, net: Net, held: Held, numbers: Precision, world: World) -> float:
    """Return the mean loss over a slice, in nats. net: what computes the model's loss."""
    part, share, vocab_size = held.part, held.share, model.settings.vocab_size
    total = torch.zeros(1, dtype=torch.float64, device=world.device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), Feeder(held.tokens, part, share, world.device, vocab_size) as feeder:
            for _ in range(part.steps * share.accumulation):
                inputs, targets = feeder.next()
                with autocast(numbers, world.device):
                    total += net(inputs, targets)
    finally:
        model.train(was_training)
    world.reduce(total, SUM)
    return total.item() / (part.steps * share.accumulation * world.size)

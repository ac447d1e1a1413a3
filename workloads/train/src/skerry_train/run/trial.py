"""Steps on made-up tokens: what a micro-batch needs, how fast a device is. Nothing is kept.

It does not know what is measured.
"""

from __future__ import annotations

from collections.abc import Generator

import torch

from skerry_train.run.computing import autocast, make_model, make_nets
from skerry_train.run.optimizer import Changer, make_optimizer
from skerry_train.settings import ModelSettings, TrainSettings
from skerry_train.world import World


def train_steps(
    model: ModelSettings, train: TrainSettings, device: torch.device, steps: int
) -> Generator[torch.Tensor]:
    """Train for so many steps of one micro-batch, and yield each one's loss once the device is done.

    Use it inside `computing`.
    """
    world = World(rank=0, local_rank=0, size=1, device=device)
    made = make_model(model, train, device).train()
    net, _ = make_nets(made, train, world)
    changer = Changer(make_optimizer(made, train, device), train, device)
    shape = (train.microbatch_size, model.context_length + 1)
    for _ in range(steps):
        tokens = torch.randint(0, model.vocab_size, shape, device=device)
        with autocast(train.numbers, device):
            loss = net(tokens[:, :-1], tokens[:, 1:])
        changer.scale(loss).backward()
        changer.change(train.learning_rate)
        world.synchronize()
        yield loss.detach()

"""The posts' loop, as they have it: every loss is waited for, and nothing is fused. For the ladder."""

from __future__ import annotations

import time

import torch
from torch import Tensor

from skerry_train.run.computing import make_model
from skerry_train.run.optimizer import make_optimizer
from skerry_train.settings import ModelSettings, TrainSettings
from skerry_train.world import World


def posts_steps(
    model: ModelSettings, train: TrainSettings, device: torch.device, steps: int
) -> float:
    """Return the seconds of so many steps by the posts' loop: every loss is waited for."""
    world = World(rank=0, local_rank=0, size=1, device=device)
    made = make_model(model, train, device).train()
    optimizer = make_optimizer(made, train, device)
    scaler = torch.amp.GradScaler(device.type, enabled=train.numbers == "fp16")
    seconds = 0.0
    for warm in (True, False):
        world.synchronize()
        begin = time.perf_counter()
        for _ in range(min(3, steps) if warm else steps):
            _step(made, optimizer, scaler, _random(model, train, device))
        seconds = time.perf_counter() - begin
    return seconds


def _step(
    made: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    tokens: Tensor,
) -> float:
    optimizer.zero_grad()
    with torch.autocast(tokens.device.type, torch.float16, enabled=scaler.is_enabled()):
        loss = made(tokens[:, :-1], tokens[:, 1:])
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return loss.item()


def _random(model: ModelSettings, train: TrainSettings, device: torch.device) -> Tensor:
    shape = (train.microbatch_size, model.context_length + 1)
    return torch.randint(0, model.vocab_size, shape, device=device)

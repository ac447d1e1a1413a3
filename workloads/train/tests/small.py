"""Small models and runs for tests."""

from __future__ import annotations

from typing import Any

import torch

from skerry_train.model import GPT
from skerry_train.settings import ModelSettings

torch.set_num_threads(1)

SMALL: dict[str, Any] = {
    "vocab_size": 61, "context_length": 16, "emb_dim": 32, "n_heads": 4, "n_layers": 2, "drop_rate": 0.0,
}  # fmt: skip


def settings(**changed: Any) -> ModelSettings:
    return ModelSettings(**(SMALL | changed))


def model(seed: int = 1, computing: dict[str, Any] | None = None, **changed: Any) -> GPT:
    torch.manual_seed(seed)
    return GPT(settings(**changed), **(computing or {}))


def ids(shape: tuple[int, ...], below: int = 61, seed: int = 2) -> torch.Tensor:
    return torch.randint(0, below, shape, generator=torch.Generator().manual_seed(seed))

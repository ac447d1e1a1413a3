"""Small models and runs for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
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


TRAIN: dict[str, Any] = {
    "microbatch_size": 2, "dataset": "set", "min_train_tokens": 12 * 4 * 16, "use_amp": False,
    "learning_rate": 3e-3, "global_batch_size": 4,
}  # fmt: skip


def make_data(datasets: Path, tokens: int = 4000, vocab: int = 61, name: str = "set") -> Path:
    """Make a data set whose tokens follow from those before them, mostly."""
    numbers = np.random.default_rng(7).integers(0, vocab, tokens)
    numbers[1::2] = (numbers[::2][: len(numbers[1::2])] * 5 + 1) % vocab
    folder = datasets / name
    folder.mkdir(parents=True)
    numbers.astype("<u2").tofile(folder / "train.bin")
    numbers[:1000].astype("<u2").tofile(folder / "val.bin")
    return folder


def make_run(folder: Path, model: dict[str, Any] | None = None, **train: Any) -> Path:
    """Make a run's directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.json").write_text(json.dumps(SMALL | (model or {})))
    (folder / "train.json").write_text(json.dumps(TRAIN | train))
    return folder

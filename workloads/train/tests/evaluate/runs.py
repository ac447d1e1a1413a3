"""A run with a tokenizer, a data set and exercises, for commands to work on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from skerry_train.export import write_reference_run
from skerry_train.tokens import from_ranks
from tests.small import model
from tests.tokens.ranks import END_TEXT, ranks

TOKENIZER = from_ranks(ranks(), END_TEXT, 300)
NET = model(
    vocab_size=301,
    context_length=64,
    vocab_padding=128,
    drop_rate=0.1,
    tie_weights=True,
    initialization="gpt2",
).eval()
TOKENS = np.random.default_rng(1).integers(0, 301, 5000).astype(np.uint16)
SETTINGS = {
    "microbatch_size": 2, "dataset": "me/text", "global_batch_size": 4, "validation_interval": 5,
    "validation_batches": 3, "start_val_token": 100, "learning_rate": 1.4e-3,
}  # fmt: skip


def make_run(folder: Path, name: str = "small") -> Path:
    run = folder / name
    write_reference_run(
        NET, run, {"tokenizer.json": TOKENIZER, "train.json": json.dumps(SETTINGS).encode()}
    )
    return run


def make_data(folder: Path) -> Path:
    (folder / "me" / "text").mkdir(parents=True)
    save_file({"tokens": TOKENS}, folder / "me" / "text" / "validation.safetensors")
    return folder


def make_exercises(folder: Path, count: int = 20) -> Path:
    rows = [{"instruction": f"move {i}", "input": "", "output": "you"} for i in range(count)]
    (folder / "data.json").write_text(json.dumps(rows))
    return folder / "data.json"

"""Settings that belong together: the posts' baseline, their best stack, and what is fast.

It knows the numbers only.
"""

from __future__ import annotations

from typing import Any

BASELINE: dict[str, dict[str, Any]] = {
    "model": {
        "vocab_size": 50257, "context_length": 1024, "emb_dim": 768, "n_heads": 12, "n_layers": 12,
        "drop_rate": 0.1, "qkv_bias": False,
    },
    "train": {
        "microbatch_size": 12, "dataset": "gpjt/fineweb-gpt2-tokens",
        "min_train_tokens": 3_260_190_720, "start_train_token": 0, "checkpoint_interval": 617,
        "global_batch_size": 96,
    },
}  # fmt: skip

_STACKED: dict[str, dict[str, Any]] = {
    "model": BASELINE["model"] | {"drop_rate": 0.0},
    "train": BASELINE["train"]
    | {
        "clipping_max_norm": 3.5, "learning_rate": 1.4e-3, "weight_decay": 0.01,
        "schedule_learning_rate": True, "warmup_period_percent": 5,
    },
}  # fmt: skip

# The stack's numbers, with everything that makes it fast, and for text whose neighbours are alike.
_SPEED: dict[str, dict[str, Any]] = {
    "model": _STACKED["model"] | {"vocab_padding": 128},
    "train": _STACKED["train"]
    | {"microbatch_size": 96, "precision": "bf16", "compile": True, "mix_sequences": True},
}

PRESETS = {"baseline": BASELINE, "stacked": _STACKED, "speed": _SPEED}

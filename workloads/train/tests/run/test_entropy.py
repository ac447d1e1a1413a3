"""A model learns a source of known entropy up to that entropy, and no further."""

from pathlib import Path

import numpy as np
import pytest

from tests.run.sessions import session
from tests.small import make_run

SYMBOLS = 16


def source(count: int) -> tuple["np.ndarray[tuple[int], np.dtype[np.int64]]", float]:
    """Return tokens of a Markov chain, and its entropy in nats for each token."""
    random = np.random.default_rng(3)
    chances = random.dirichlet(np.full(SYMBOLS, 0.3), SYMBOLS)
    tokens = np.zeros(count, np.int64)
    draws, sums = random.random(count), chances.cumsum(1)
    for place in range(1, count):
        tokens[place] = min(np.searchsorted(sums[tokens[place - 1]], draws[place]), SYMBOLS - 1)
    counts = np.bincount(tokens, minlength=SYMBOLS) / count
    logs = np.log(chances, out=np.zeros_like(chances), where=chances > 0)
    return tokens, float(-(counts @ (chances * logs).sum(1)))


def test_the_loss_comes_to_the_entropy_of_the_source(tmp_path: Path) -> None:
    tokens, entropy = source(220_000)
    data = tmp_path / "set"
    data.mkdir()
    tokens[:200_000].astype("<u2").tofile(data / "train.bin")
    tokens[200_000:].astype("<u2").tofile(data / "val.bin")
    run = make_run(
        tmp_path / "run",
        model={"vocab_size": SYMBOLS, "context_length": 32, "initialization": "gpt2"},
        microbatch_size=16, global_batch_size=16, min_train_tokens=195_000, learning_rate=1e-2,
        schedule_learning_rate=True, warmup_period_percent=5, clipping_max_norm=1.0,
        validation_interval=200, validation_batches=36,
    )  # fmt: skip

    summary = session(run, data)

    assert summary.final_val_loss == pytest.approx(entropy, rel=0.02)

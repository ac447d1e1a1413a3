"""Sizes are tried in processes of their own; what those do wrong ends in one sentence."""

import sys
from pathlib import Path

import pytest

from skerry_train.fit import FitFailed, Place, find_largest, finder
from skerry_train.fit.child import Order
from skerry_train.settings import TrainSettings
from tests.small import settings

MODEL = settings()
TRAIN = TrainSettings(microbatch_size=1, dataset="d", use_amp=False)


def order(sequences: int = 1, device: str = "cpu") -> Order:
    train = TrainSettings(microbatch_size=sequences, dataset="d", use_amp=False)
    return Order(model=MODEL, train=train, device=device)


def test_a_micro_batch_is_found_for_a_real_model() -> None:
    """A vocabulary that is wide for its model makes each sequence cost megabytes."""
    model = settings(vocab_size=20_000, context_length=64)
    alone = finder.run_child(Order(model=model, train=TRAIN, device="cpu")).peak_bytes
    assert alone is not None

    found = find_largest(model, TRAIN, Place("cpu", alone + 60 * 2**20), print)

    assert found.largest >= 2
    assert found.line is not None
    assert {each.sequences for each in found.attempts} >= {found.largest, found.largest + 1}


def test_a_child_that_fails_is_told_with_its_words() -> None:
    with pytest.raises(FitFailed, match=r"trying 1 sequences failed: \w+: .*nonsense"):
        finder.run_child(order(device="nonsense"))


@pytest.mark.parametrize(
    ("program", "words"),
    [("import time; time.sleep(600)", "took longer"), ("print('{')", "failed")],
)
def test_a_child_that_hangs_or_talks_nonsense_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, words: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\n{program}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    with pytest.raises(FitFailed, match=words):
        finder.run_child(order(), limit_s=0.5)


def test_a_child_that_the_kernel_ends_did_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nkill -9 $$\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))

    assert not finder.run_child(order()).fits

"""Records of runs that never were: lines as a run would write them, the same each time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from skerry_train.bill import Status, clock_so_far
from skerry_train.record import (
    Checkpoint,
    Clock,
    Journal,
    Line,
    Records,
    Session,
    Step,
    Summary,
    Validation,
)

GLOBAL_BATCH_TOKENS = 98_304


def session(**changed: Any) -> Session:
    usual: dict[str, Any] = {
        "at": "2026-11-24T02:00:00Z", "step": 0, "steps": 1000, "world_size": 8,
        "device": "NVIDIA A100-SXM4-40GB", "parameters": 163_009_536, "global_batch": 96,
        "microbatch": 12, "tokens_per_step": GLOBAL_BATCH_TOKENS, "machine": "8xa100m40",
    }  # fmt: skip
    return Session(**(usual | changed))


def step(number: int, **changed: Any) -> Step:
    """Return a step of a run whose loss falls from 10.8 towards 3.5, with a wave for noise."""
    loss = 3.5 + 7.3 / (1 + number / 60) + 0.05 * math.sin(number * 2.1)
    usual: dict[str, Any] = {
        "step": number, "tokens": number * GLOBAL_BATCH_TOKENS, "loss": loss,
        "loss_min": loss - 0.2 - 0.05 * math.cos(number), "loss_max": loss + 0.25 + 0.1 * math.sin(number),
        "lr": 4e-4, "grad_norm": 0.6 + 4 / number, "is_clipped": number % 7 == 0,
        "tokens_per_s": 400_000.0 + 9000 * math.sin(number / 9), "mfu": 0.35, "train_s": number * 0.25,
    }  # fmt: skip
    return Step(**(usual | changed))


def validation(number: int, loss: float = 4.0, seconds: float = 10.0) -> Validation:
    return Validation(step=number, loss=loss, tokens=30_000, seconds=seconds)


def checkpoint(number: int, seconds: float = 2.0, *, is_best: bool = True) -> Checkpoint:
    name = f"20261124Z020000-iteration-{number}"
    return Checkpoint(
        step=number, name=name, is_best=is_best, loss=4.0, loss_min=3.8, loss_max=4.4, seconds=seconds
    )  # fmt: skip


def summary(**changed: Any) -> Summary:
    usual: dict[str, Any] = {
        "run": "8xa100m40", "reason": "done", "steps": 1000, "tokens": 98_304_000,
        "tokens_per_s": 400_000.0, "final_train_loss": 3.9, "final_val_loss": 4.0, "best_step": 900,
        "best_loss": 3.8, "clock_s": Clock(setup=100.0, train=3600.0, validate=360.0),
        "world_size": 8, "device": "NVIDIA A100-SXM4-40GB", "machine": "8xa100m40",
        "price_usd_micros_per_hour": 10_320_000, "cost_usd_micros": None,
        "cost_without_validation_usd_micros": None, "parameters": 163_009_536, "global_batch": 96,
        "microbatch": 12, "peak_memory_bytes": 40 << 30,
    }  # fmt: skip
    return Summary(**(usual | changed))


def write(run: Path, *lines: Line) -> None:
    """Add lines to a run's metrics; the run is made if it is not there."""
    run.mkdir(parents=True, exist_ok=True)
    journal = Journal(run)
    journal.add(lines)
    journal.close()


def records(steps: int, first: int = 1) -> Records:
    """Return the records of a run that has done so many steps."""
    return Records(sessions=[session()], steps=[step(n) for n in range(first, steps + 1)])


def status(run: Records, name: str = "8xa100m40", **changed: Any) -> Status:
    """Return how a run stands that is told by its records alone."""
    usual: dict[str, Any] = {
        "clock_s": clock_so_far(run), "machine": None, "price_usd_micros_per_hour": None, "costs": None,
        "forecast": None, "state": "running",
    }  # fmt: skip
    return Status(name=name, records=run, **(usual | changed))

"""Trying a micro-batch: three steps on made-up tokens, in a process that may die of it.

Reads what to try as JSON from its input and writes how it went as JSON to its output. It does not know
what else was tried.
"""

from __future__ import annotations

import resource
import sys

import msgspec
import torch

from skerry_train.errors import DoesNotFit
from skerry_train.run import Trial, computing
from skerry_train.settings import ModelSettings, TrainSettings

STEPS = 3  # the first may pass and a later one fail: the optimizer takes its memory with the first


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What to try, and on what."""

    model: ModelSettings
    train: TrainSettings
    device: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it went. `other_bytes`: what the device holds that is not this process's tensors."""

    fits: bool
    peak_bytes: int | None = None
    total_bytes: int | None = None
    other_bytes: int = 0
    step_s: float | None = None


def attempt(order: Order) -> Outcome:
    """Train for three steps and return what that needed."""
    device = torch.device(order.device)
    total = torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else None
    try:
        with computing(order.train, device):
            trial = Trial(order.model, order.train, device)
            trial.run(1)
            step_s = trial.run(STEPS - 1) / (STEPS - 1)
    except DoesNotFit:
        return Outcome(fits=False, total_bytes=total)
    if device.type != "cuda":
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return Outcome(fits=True, peak_bytes=peak, step_s=step_s)
    free, total = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device)
    return Outcome(
        fits=True,
        peak_bytes=torch.cuda.max_memory_reserved(device),
        total_bytes=total,
        other_bytes=max(total - free - held, 0),
        step_s=step_s,
    )


def main() -> None:
    """Do what is asked on the input."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(attempt(order)))


if __name__ == "__main__":
    main()

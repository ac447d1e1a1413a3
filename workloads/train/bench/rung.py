"""Measuring one way of computing, in a process of its own: JSON on the input, JSON on the output."""

from __future__ import annotations

import sys
from typing import Any

import msgspec
import torch

from bench.posts_loop import posts_steps
from skerry_train.errors import DoesNotFit
from skerry_train.model import flops_per_token, peak_flops
from skerry_train.run import Trial, computing
from skerry_train.settings import ModelSettings, TrainSettings, convert


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """A way of computing. `loop`: ours, the posts', or a plain one on PyTorch's own layers."""

    name: str
    model: dict[str, Any]
    train: dict[str, Any]
    device: str
    loop: str = "skerry"
    rounds: int = 10
    steps: int = 10
    """In a round; a device is waited for at its end only."""
    warm: int = 10


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How fast it was. Percentiles of tokens per second over rounds: 95 of 100 rounds were faster than p95."""

    name: str
    error: str | None = None
    tokens_per_s_p50: float | None = None
    tokens_per_s_p95: float | None = None
    tokens_per_s_p99: float | None = None
    rounds: int = 0
    steps: int = 0
    microbatch: int = 0
    step_ms: float | None = None
    mfu_palm: float | None = None
    mfu_causal: float | None = None
    peak_bytes: int | None = None
    first_s: float | None = None
    """The seconds of warming up, compiling among them."""


def measure(rung: Rung) -> Result:
    """Measure a rung; one that does not fit says so."""
    model = convert(rung.model, ModelSettings, rung.name)
    train = convert(rung.train | {"dataset": "random"}, TrainSettings, rung.name)
    device = torch.device(rung.device)
    torch.manual_seed(0)
    try:
        with computing(train, device):
            first_s, rounds_s = _times(rung, model, train, device)
    except DoesNotFit:
        return Result(name=rung.name, error="does not fit", microbatch=train.microbatch_size)
    tokens = rung.steps * train.microbatch_size * model.context_length
    speeds = sorted(tokens / each for each in rounds_s)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    peak, middle = peak_flops(name), _percentile(speeds, 50)
    return Result(
        name=rung.name,
        tokens_per_s_p50=middle,
        tokens_per_s_p95=_percentile(speeds, 5),
        tokens_per_s_p99=_percentile(speeds, 1),
        rounds=len(speeds),
        steps=rung.steps,
        microbatch=train.microbatch_size,
        step_ms=1000 * tokens / rung.steps / middle,
        mfu_palm=middle * flops_per_token(model, "palm") / peak if peak else None,
        mfu_causal=middle * flops_per_token(model, "causal") / peak if peak else None,
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
        first_s=first_s,
    )


def _times(
    rung: Rung, model: ModelSettings, train: TrainSettings, device: torch.device
) -> tuple[float, list[float]]:
    if rung.loop == "posts":
        return 0.0, [posts_steps(model, train, device, rung.steps) for _ in range(rung.rounds)]
    if rung.loop == "pytorch":
        from bench.pytorch_loop import PyTorchLoop

        other = PyTorchLoop(model, train, device)
        return other.run(rung.warm), [other.run(rung.steps) for _ in range(rung.rounds)]
    trial = Trial(model, train, device)
    return trial.run(rung.warm), [trial.run(rung.steps) for _ in range(rung.rounds)]


def _percentile(ordered: list[float], percent: int) -> float:
    return ordered[round((len(ordered) - 1) * percent / 100)]


if __name__ == "__main__":
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Rung)
    sys.stdout.buffer.write(msgspec.json.encode(measure(order)))

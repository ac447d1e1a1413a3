"""What a run has come to: its summary, and the lines that are printed of it.

It does not know where they are kept.
"""

from __future__ import annotations

import platform

import msgspec
import torch

from skerry_train.model import parameters
from skerry_train.record import Clock, Summary
from skerry_train.run.course import Course


def summarize(course: Course, name: str, reason: str) -> Summary:
    """Return the summary of a run, over all its sessions."""
    clock = course.before.plus(course.clock.read())
    share, progress = course.plan.share, course.progress
    steps = course.last_step
    tokens = course.plan.tokens_after(steps - 1)
    device = course.world.device
    return Summary(
        run=name,
        reason=reason,
        steps=steps,
        tokens=tokens,
        tokens_per_s=tokens / clock.train if clock.train else None,
        final_train_loss=progress.last_loss,
        final_val_loss=progress.validation_loss,
        best_step=progress.best_step,
        best_loss=progress.best_loss,
        clock_s=clock,
        world_size=course.world.size,
        device=device_name(device),
        machine=course.train.machine,
        price_usd_micros_per_hour=course.price_usd_micros_per_hour,
        cost_usd_micros=course.cost_usd_micros(clock),
        cost_without_validation_usd_micros=course.cost_usd_micros(_without_validation(clock)),
        parameters=parameters(course.model.settings),
        global_batch=share.world_size * share.accumulation * share.microbatch,
        microbatch=share.microbatch,
        peak_memory_bytes=torch.cuda.max_memory_allocated(device)
        if device.type == "cuda"
        else None,
    )


def lines(summary: Summary) -> list[str]:
    """Return what is printed at the end of a run."""
    clock = summary.clock_s
    word = "complete" if summary.reason == "done" else f"ended ({summary.reason})"
    told = [
        f"Training {word} in {clock.total:,.3f} seconds",
        f"Tokens seen: {summary.tokens:,}",
        f"Throughput: {summary.tokens_per_s or 0:,.0f} tokens/second",
        f"Final train loss: {_loss(summary.final_train_loss)}",
    ]
    if summary.final_val_loss is not None:
        told.append(f"Final val loss: {_loss(summary.final_val_loss)}")
    parts = ", ".join(
        f"{name} {s:,.1f} s" for name, s in msgspec.structs.asdict(clock).items() if s >= 0.05
    )
    told.append(f"Time went into: {parts}")
    if (
        summary.cost_usd_micros is not None
        and summary.cost_without_validation_usd_micros is not None
    ):
        told.append(
            f"Cost: ${summary.cost_usd_micros / 1e6:,.2f},"
            f" without validation ${summary.cost_without_validation_usd_micros / 1e6:,.2f}"
        )
    return told


def device_name(device: torch.device) -> str:
    """Return what the device is called."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {torch.get_num_threads()} threads"


def _without_validation(clock: Clock) -> Clock:
    return msgspec.structs.replace(clock, validate=0.0)


def _loss(value: float | None) -> str:
    return "none" if value is None else f"{value:.6f}"

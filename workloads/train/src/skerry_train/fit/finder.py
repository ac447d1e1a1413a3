"""Finding the largest micro-batch of a run on a device: each size is tried in a process of its own.

So what one of them leaves behind, or dies of, touches no other. It does not know how the next size is
chosen.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from skerry_train.errors import TrainerError
from skerry_train.fit.child import Order, Outcome
from skerry_train.fit.search import Attempt, Found, find
from skerry_train.settings import ModelSettings, TrainSettings

_TRY_S_MAX = 600  # compiling a model takes minutes; what takes longer hangs
_PART_OF_FREE = 0.9  # of a machine's free memory: other programs live there too
# NCCL's channels and the communication of gradients, beside what one process needs alone.
_SHARED_BYTES = 1 << 30
_ERROR_CHARACTERS_MAX = 500


class FitFailed(TrainerError):
    """A try ended in a way that says nothing about memory."""


@dataclass(frozen=True)
class Place:
    """Where a batch has to fit. `memory_bytes`: None takes what the device, or the machine, has."""

    device: str
    memory_bytes: int | None
    world_size: int = 1


def find_largest(
    model: ModelSettings, train: TrainSettings, place: Place, say: Callable[[str], None]
) -> Found:
    """Return the largest micro-batch that a run can have. Raises DoesNotFit, FitFailed."""
    most = None
    if train.global_batch_size is not None:
        most = -(-train.global_batch_size // place.world_size)
    one_turn = msgspec.structs.replace(train, global_batch_size=None, gradient_accumulation_steps=1)

    def attempt(sequences: int) -> Attempt:
        order = Order(
            model=model,
            train=msgspec.structs.replace(one_turn, microbatch_size=sequences),
            device=place.device,
        )
        outcome = run_child(order)
        made = _judged(sequences, outcome, place)
        held = f", {made.peak_bytes / 2**30:.2f} GiB" if made.peak_bytes is not None else ""
        say(f"{sequences} sequences: {'fit' if made.fits else 'too many'}{held}")
        return made

    return find(attempt, most)


def run_child(order: Order, limit_s: float = _TRY_S_MAX) -> Outcome:
    """Try one micro-batch. What kills its process did not fit, if it was the machine's memory.

    Raises FitFailed for everything else, and for a process that does not end.
    """
    with _started() as child:
        try:
            said, errors = child.communicate(msgspec.json.encode(order), limit_s)
        except subprocess.TimeoutExpired:
            raise FitFailed(
                f"trying {order.train.microbatch_size} sequences took longer than {limit_s:,.0f} s; it was ended"
            ) from None
    if child.returncode == -signal.SIGKILL:
        return Outcome(fits=False)
    try:
        return msgspec.json.decode(said, type=Outcome)
    except msgspec.DecodeError:
        words = errors.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        last = words[-1][:_ERROR_CHARACTERS_MAX]
        raise FitFailed(f"trying {order.train.microbatch_size} sequences failed: {last}") from None


@contextlib.contextmanager
def _started() -> Generator[subprocess.Popen[bytes]]:
    """Start a child that ends with this, and that the kernel ends first when memory is out."""
    command = [sys.executable, "-m", "skerry_train.fit.child"]
    child = subprocess.Popen(  # noqa: S603 - our own program
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTORCH_ALLOC_CONF": "expandable_segments:True"},
    )  # fmt: skip
    with contextlib.suppress(OSError):  # not everybody may say so
        Path(f"/proc/{child.pid}/oom_score_adj").write_text("1000")
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _judged(sequences: int, outcome: Outcome, place: Place) -> Attempt:
    shared = _SHARED_BYTES if place.world_size > 1 else 0
    total = place.memory_bytes or outcome.total_bytes
    room = (
        total - outcome.other_bytes if total is not None else int(_free_bytes() * _PART_OF_FREE)
    ) - shared
    fits = outcome.fits and (outcome.peak_bytes is None or outcome.peak_bytes <= room)
    return Attempt(sequences, fits, outcome.peak_bytes, room)


def _free_bytes() -> int:
    """Return what a machine has for a program that begins now. Source: proc(5), MemAvailable."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise FitFailed("/proc/meminfo does not tell how much memory is free; give --memory-gib")


def pairs(largest: int, global_batch: int, world_size: int) -> list[tuple[int, int]]:
    """Return the micro-batches that divide a global batch, the largest first, with their accumulation."""
    if global_batch % world_size:
        return []
    share = global_batch // world_size
    return [(n, share // n) for n in range(min(largest, share), 0, -1) if share % n == 0]

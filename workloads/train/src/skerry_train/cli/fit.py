"""`skerry-train fit`: finds the largest micro-batch that fits."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skerry_train.fit import Found
    from skerry_train.settings import TrainSettings
    from skerry_train.world import World


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:  # pyright: ignore[reportPrivateUsage]
    """Add the command."""
    parser = commands.add_parser(
        "fit", help="find the largest micro-batch that fits", description=__doc__
    )
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="default: a GPU where there is one"
    )
    parser.add_argument(
        "--memory-gib", type=float, metavar="N", help="take it that there is so much"
    )
    parser.add_argument(
        "--processes", type=int, default=1, metavar="N", help="how many will train together (1)"
    )
    parser.set_defaults(act=act)


def act(told: argparse.Namespace) -> int:
    """Do it."""
    from skerry_train.world import join

    # The group of processes speaks by the CPU: its own memory on the GPU would be in the way.
    with join("cpu") as world:
        return find(told.run, told.device, told.memory_gib, max(told.processes, world.size), world)


def find(
    run: Path, device: str | None, memory_gib: float | None, processes: int, world: World
) -> int:
    """Find the largest micro-batch that fits each process's device, and print what there is to choose."""
    import torch

    from skerry_train.fit import Place, find_largest
    from skerry_train.settings import read_model, read_train
    from skerry_train.world import MIN

    model, train = read_model(run), read_train(run)
    chosen = device or ("cuda" if torch.cuda.device_count() else "cpu")
    name = (
        f"cuda:{world.local_rank if world.size > 1 else _smallest()}" if chosen == "cuda" else "cpu"
    )
    memory_bytes = None if memory_gib is None else int(memory_gib * 2**30)
    found = find_largest(
        model, train, Place(name, memory_bytes, processes), _say if world.is_first else _hush
    )
    largest = int(world.reduce(torch.tensor(found.largest), MIN).item())
    if world.is_first:
        _tell(run, found, largest, train, processes)
    return 0


def _tell(run: Path, found: Found, largest: int, train: TrainSettings, processes: int) -> None:
    from skerry_train.fit import pairs
    from skerry_train.record import replace

    print(f"Largest micro-batch: {largest} sequences")
    line = found.line
    if line is not None:
        print(
            f"Memory: {line.fixed_bytes / 2**30:.2f} GiB"
            f" + {line.sequence_bytes / 2**30:.3f} GiB for each sequence"
        )
    if train.global_batch_size is not None:
        for microbatch, turns in pairs(largest, train.global_batch_size, processes)[:4]:
            print(f"  microbatch_size {microbatch} x {processes} processes x {turns} turns")
    record = {
        "largest": largest,
        "fixed_bytes": line.fixed_bytes if line else None,
        "sequence_bytes": line.sequence_bytes if line else None,
        "attempts": [
            {"sequences": each.sequences, "fits": each.fits, "peak_bytes": each.peak_bytes}
            for each in found.attempts
        ],
    }
    replace(run / "fit.json", json.dumps(record, indent=2).encode() + b"\n")


def _smallest() -> int:
    """Return the GPU of this machine that has the least memory: what fits there fits them all."""
    import torch

    count = range(torch.cuda.device_count())
    return min(count, key=lambda each: torch.cuda.get_device_properties(each).total_memory)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _hush(_: str) -> None:
    """Say nothing: the first process does."""

"""Running sessions of small runs, here or by torchrun, and looking at what they left."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from skerry_train.record import Summary, read_records
from skerry_train.run import Quiet, Wanted, train
from skerry_train.world import StopRequest, World

ALONE = World(rank=0, local_rank=0, size=1, device=torch.device("cpu"))
SESSION_S_MAX = 120


def session(run: Path, data: Path, resume: str | None = None, price: int | None = None) -> Summary:
    """Train in this process."""
    summary = train(Wanted(run, data, resume, price), ALONE, StopRequest(), Quiet())
    assert summary is not None
    return summary


def torchrun(processes: int, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Train in processes of their own."""
    return subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node",
            str(processes), "-m", "skerry_train", *map(str, words),
        ],
        capture_output=True, text=True, timeout=SESSION_S_MAX, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip


def losses(run: Path) -> list[float | None]:
    return [each.loss for each in read_records(run).steps]


def weights(run: Path, name: str = "latest") -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / name / "model.safetensors")


def are_equal(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)

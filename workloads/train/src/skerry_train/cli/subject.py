"""Which model a command is about: a run, one of its checkpoints, a device.

It does not know what is done with the model.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from skerry_train.model import GPT
    from skerry_train.settings import Precision


@dataclass(frozen=True)
class Subject:
    """A model, ready on its device. name: the run's. checkpoint: the folder's own name, not a link's."""

    run: Path
    name: str
    checkpoint: str
    model: GPT


def add_subject(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say which model."""
    parser.add_argument("run", type=Path, help="the run's directory")
    parser.add_argument(
        "--checkpoint",
        default="best",
        metavar="WHICH",
        help="best, latest or a name (default: best)",
    )
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add the argument that says where to compute."""
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], help="default: a GPU where there is one"
    )


def open_subject(told: argparse.Namespace, *, drop_rate: float | None = None) -> Subject:
    """Return the model that a command line names. drop_rate: in place of that of its training.

    Raises BadSettings or BadCheckpoint if there is none.
    """
    import msgspec
    import torch

    from skerry_train.errors import BadSettings
    from skerry_train.model import GPT
    from skerry_train.run import find, give_model, open_run
    from skerry_train.settings import read_model

    if told.device == "cuda" and not torch.cuda.is_available():
        raise BadSettings("this machine has no GPU that PyTorch can use; leave --device out")
    run = open_run(told.run)
    settings = read_model(run.path)
    if drop_rate is not None:
        settings = msgspec.structs.replace(settings, drop_rate=drop_rate)
    path = find(run.checkpoints, told.checkpoint)
    assert path is not None, "only `auto` finds nothing without an error"
    model = GPT(settings)
    give_model(model, _weights(path))
    device = told.device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Subject(run.path, run.name, path.resolve().name, model.to(device).eval())


@contextmanager
def computing_as(precision: Precision, model: GPT) -> Generator[None]:
    """Have everything inside computed in a precision; a batch that does not fit is told."""
    from skerry_train.errors import DoesNotFit
    from skerry_train.run import computing
    from skerry_train.settings import TrainSettings

    as_in_a_run = TrainSettings(microbatch_size=1, dataset="none", precision=precision)
    try:
        with computing(as_in_a_run, next(model.parameters()).device):
            yield
    except DoesNotFit:
        raise DoesNotFit(
            "the batch needs more memory than the device has; give a smaller --batch"
        ) from None


def _weights(path: Path) -> dict[str, Tensor]:
    """Return a checkpoint's weights. One that the posts' own code wrote has no sum to check them by."""
    import safetensors
    from safetensors.torch import load_file

    from skerry_train.errors import BadCheckpoint
    from skerry_train.run import MODEL, read_meta, read_tensors

    try:
        meta = read_meta(path)
    except BadCheckpoint:
        try:
            return load_file(path / MODEL)
        except (OSError, safetensors.SafetensorError) as error:
            raise BadCheckpoint(
                f"{path / MODEL} can not be read ({error}); take another checkpoint"
            ) from None
    return read_tensors(path, MODEL, meta)

"""Going on from a checkpoint: finding it, reading it in the first process, handing it to all.

It does not know what is done next.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from skerry_train.errors import BadCheckpoint, BadSettings
from skerry_train.model import GPT
from skerry_train.run.checkpoints import (
    MODEL,
    OPTIMIZER,
    Meta,
    complete,
    find,
    read_meta,
    read_tensors,
)
from skerry_train.run.folder import set_aside, utc_now
from skerry_train.run.optimizer import Changer
from skerry_train.run.planning import Done
from skerry_train.run.progress import Progress
from skerry_train.run.snapshots import MOMENTS, give_model, give_optimizer
from skerry_train.settings import ModelSettings, convert
from skerry_train.world import World

Saved = tuple[Meta, dict[str, Tensor], dict[str, Tensor]]


def choose(folder: Path, which: str | None, say: Callable[[str], None]) -> Saved | None:
    """Read the checkpoint to go on from, whole. None begins anew.

    which: `auto`, `latest`, `best`, a name, or `none`. `auto` goes on from the newest that is not
    damaged. `none` sets aside what is there. Without a word nothing is done with it: raises BadSettings.
    """
    if which is None and complete(folder):
        raise BadSettings(
            f"{folder.parent} has checkpoints already: go on with --resume auto, or begin anew with"
            " --resume none"
        )
    if which == "none" and complete(folder):
        say(f"what was there is in {set_aside(folder, utc_now())} now")
    if which in (None, "none"):
        return None
    if which != "auto":
        path = find(folder, which)
        assert path is not None
        return _read(path)
    for path in reversed(complete(folder)):
        try:
            return _read(path)
        except BadCheckpoint as error:
            say(f"{error}; trying the one before it")
    if complete(folder):
        raise BadCheckpoint(f"no checkpoint in {folder} is whole; begin anew with --resume none")
    return None


def share_meta(saved: Saved | None, world: World) -> Meta | None:
    """Return what the first process has found, in every process."""
    said = msgspec.json.encode(saved[0]).decode() if saved is not None else ""
    heard = world.from_first(said)
    return msgspec.json.decode(heard, type=Meta) if heard else None


def done_before(meta: Meta | None) -> Done:
    """Return what was done before this session."""
    if meta is None:
        return Done()
    return Done(meta.global_step, meta.tokens_seen, meta.next_token, meta.mixed_sequences)


def progress_before(meta: Meta | None) -> Progress:
    """Return the course of a run up to a checkpoint."""
    if meta is None:
        return Progress()
    return Progress(meta.best_loss, meta.best_step, meta.val_loss, meta.avg_train_loss)


def check_model(meta: Meta | None, model: ModelSettings) -> None:
    """Raise BadSettings if a checkpoint is of a model that computes something else."""
    if meta is None:
        return
    was = msgspec.structs.asdict(convert(meta.model, ModelSettings, "the checkpoint's model"))
    for name, value in msgspec.structs.asdict(model).items():
        if name not in ("vocab_padding", "initialization", "drop_rate") and was[name] != value:
            raise BadSettings(
                f"model.json has {name} {value}, and the checkpoint was made with {was[name]};"
                " set it back, or begin anew with --resume none"
            )


def restore_model(model: GPT, saved: Saved | None) -> None:
    """Give a model the weights of a checkpoint; the other processes have them from the first."""
    if saved is not None:
        give_model(model, saved[1])


def restore_optimizer(
    model: GPT, changer: Changer, meta: Meta, saved: Saved | None, world: World
) -> None:
    """Give every process's optimizer what the first has read."""
    optimizer = changer.optimizer
    if saved is not None:
        give_optimizer(model, optimizer, saved[2])
    if meta.scaler and changer.scaler is not None:
        changer.scaler.load_state_dict(meta.scaler)
    if world.size == 1:
        return
    for weight in (each for each in model.parameters() if each.requires_grad):
        state = optimizer.state.get(weight) or {
            "step": torch.zeros((), device=weight.device if optimizer.defaults["fused"] else "cpu"),
            **{moment: torch.zeros_like(weight) for moment in MOMENTS},
        }
        optimizer.state[weight] = state
        step = state["step"].to(weight.device)
        for tensor in (step, *(state[moment] for moment in MOMENTS)):
            world.broadcast(tensor)
        state["step"].copy_(step)


def _read(path: Path) -> Saved:
    meta = read_meta(path)
    return meta, read_tensors(path, MODEL, meta), read_tensors(path, OPTIMIZER, meta)

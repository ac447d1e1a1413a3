"""Checkpoints: written whole or not at all, in the background, and found again after any crash.

    checkpoints/20260102Z030405-iteration-617/   model.safetensors optimizer.safetensors meta.json
    checkpoints/latest -> ..., best -> ...       relative links, never missing once they are there

A checkpoint has its name only when all of it is on disk. Weights are stored as `model.names` says, so
one can be gone on from however the next process computes. It does not know when one is due.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor

from skerry_train.errors import BadCheckpoint
from skerry_train.record import Clock, full

META, MODEL, OPTIMIZER = "meta.json", "model.safetensors", "optimizer.safetensors"
_UNDONE = ".undone-"
_MIB = 1 << 20


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """What a checkpoint says of itself. The posts' keys first."""

    global_step: int
    """Steps done."""
    is_best: bool
    avg_train_loss: float | None
    min_train_loss: float | None
    max_train_loss: float | None
    val_loss: float | None
    lr: float
    avg_grad_norm: float | None
    max_grad_norm: float | None
    frac_clipped: float

    tokens_seen: int
    next_token: int
    """Where in the split the next step begins to read."""
    steps: int
    tokens_per_step: int
    best_loss: float | None
    best_step: int | None
    model: dict[str, Any]
    train: dict[str, Any]
    clock_s: Clock
    """Of the whole run so far."""
    mixed_sequences: int | None = None
    """How many the order of sequences has, None if they are read as they lie."""
    scaler: dict[str, Any] = {}
    cost_usd_micros: int | None = None
    sha256: dict[str, str] = {}


class Snapshot(msgspec.Struct, frozen=True):
    """What is to be written: weights and the optimizer's numbers in the computer's own memory."""

    name: str
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    meta: Meta


Watch = Callable[[str], None]
"""Told the name of each operation on files just before it: tests end the process there."""


def save(
    folder: Path, snapshot: Snapshot, keep: int | None, before: Watch = lambda _: None
) -> None:
    """Write a checkpoint, name it latest, and best if it is, and drop what need not be kept.

    keep: how many besides those two stay; None keeps all. Raises NoRoom if the disk is full.
    """
    undone = folder / f"{_UNDONE}{snapshot.name}"
    try:
        before("make")
        _clear(folder)
        undone.mkdir(parents=True)
        sums = {
            MODEL: _write_tensors(undone / MODEL, snapshot.model, before),
            OPTIMIZER: _write_tensors(undone / OPTIMIZER, snapshot.optimizer, before),
        }
        meta = msgspec.structs.replace(snapshot.meta, sha256=sums)
        before("meta")
        (undone / META).write_bytes(msgspec.json.format(msgspec.json.encode(meta), indent=2))
        for each in (undone / META, undone):
            _to_disk(each)
        before("name")
        undone.rename(folder / snapshot.name)
        _to_disk(folder)
    except OSError as error:
        shutil.rmtree(undone, ignore_errors=True)
        raise full(error, f"checkpoint {snapshot.name}") from error
    for link in ["latest", *(["best"] if meta.is_best else [])]:
        before(f"link {link}")
        _link(folder, link, snapshot.name)
    _to_disk(folder)
    _drop(folder, keep, before)


def find(folder: Path, which: str) -> Path | None:
    """Return a checkpoint: `auto`, `latest`, `best` or a name. None if `auto` finds none.

    `auto` takes the newest that is whole. Raises BadCheckpoint if what is named is not there.
    """
    if which == "auto":
        return next(iter(reversed(complete(folder))), None)
    path = folder / which
    if os.sep in which or which.startswith(".") or not (path / META).is_file():
        known = ", ".join(each.name for each in complete(folder)[-5:]) or "none"
        raise BadCheckpoint(f"there is no checkpoint {which!r} in {folder}; the newest are {known}")
    return path


def complete(folder: Path) -> list[Path]:
    """Return the checkpoints that are there, the oldest first."""
    if not folder.is_dir():
        return []
    found = [
        each
        for each in folder.iterdir()
        if not each.is_symlink() and not each.name.startswith(".") and (each / META).is_file()
    ]
    return sorted(found, key=lambda each: (_step(each), each.name))


def read_meta(path: Path) -> Meta:
    """Return what a checkpoint says of itself. Raises BadCheckpoint if that can not be read."""
    try:
        return msgspec.json.decode((path / META).read_bytes(), type=Meta)
    except (OSError, msgspec.DecodeError) as error:
        raise BadCheckpoint(
            f"{path / META} can not be read ({error}); take another checkpoint"
        ) from None


def read_tensors(path: Path, name: str, meta: Meta) -> dict[str, Tensor]:
    """Return the tensors of one of a checkpoint's files, by what it says their sum is.

    Raises BadCheckpoint if they are not what was written.
    """
    file = path / name
    try:
        with file.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
        if (wanted := meta.sha256.get(name)) and found != wanted:
            raise BadCheckpoint(
                f"{file} is damaged: it is not what was written; go on from another with --resume NAME"
            )
        return load_file(file)
    except (OSError, safetensors.SafetensorError) as error:
        raise BadCheckpoint(f"{file} can not be read ({error}); take another checkpoint") from None


class Keeper:
    """Writes checkpoints in a thread, one at a time, and says what went wrong when it is next asked."""

    def __init__(self, folder: Path, keep: int | None) -> None:
        self.folder, self._keep = folder, keep
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(self, snapshot: Snapshot) -> None:
        """Begin to write a checkpoint, once the one before it is written. Raises what that one met."""
        self.wait()
        self._thread = threading.Thread(target=self._write, args=(snapshot,), name="checkpoint")
        self._thread.start()

    def wait(self) -> None:
        """Wait until everything is written. Raises what went wrong."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    @property
    def has_failed(self) -> bool:
        """Tell whether `wait` would raise, without waiting."""
        return self._error is not None

    def _write(self, snapshot: Snapshot) -> None:
        try:
            save(self.folder, snapshot, self._keep)
        except BaseException as error:  # noqa: BLE001 - told to whoever asks next
            self._error = error


def _write_tensors(path: Path, tensors: dict[str, Tensor], before: Watch) -> str:
    """Write tensors and return the sum of the file, which is on disk then."""
    before(f"write {path.name}")
    try:
        save_file({name: each.contiguous() for name, each in tensors.items()}, path)
    except safetensors.SafetensorError as error:
        # It tells the system's errors in words only.
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else errno.EIO, str(error)) from error
    _to_disk(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _link(folder: Path, link: str, target: str) -> None:
    """Let a link point elsewhere in one step, so that it is never missing."""
    new = folder / f".{link}"
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(folder / link)


def _drop(folder: Path, keep: int | None, before: Watch) -> None:
    """Remove the oldest checkpoints. A link keeps what it points to."""
    if keep is None:
        return
    held = {
        os.readlink(folder / link) for link in ("latest", "best") if (folder / link).is_symlink()
    }
    others = [each for each in complete(folder) if each.name not in held]
    for each in others[: max(len(others) - keep, 0)]:
        before(f"drop {each.name}")
        # First out of sight: half a checkpoint must not look like one.
        gone = folder / f"{_UNDONE}{each.name}"
        each.rename(gone)
        shutil.rmtree(gone)


def _clear(folder: Path) -> None:
    """Remove what was not finished."""
    for each in folder.glob(f"{_UNDONE}*"):
        shutil.rmtree(each)


def _step(path: Path) -> int:
    tail = path.name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else -1


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)

"""A checkpoint is there whole or not at all, and what was there before it still loads."""

import errno
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from skerry_train.errors import BadCheckpoint, NoRoom
from skerry_train.record import Clock
from skerry_train.run.checkpoints import (
    MODEL,
    OPTIMIZER,
    Keeper,
    Meta,
    Snapshot,
    complete,
    find,
    read_meta,
    read_tensors,
    save,
)

META: dict[str, Any] = {
    "avg_train_loss": 2.0, "min_train_loss": 1.0, "max_train_loss": 3.0, "val_loss": None, "lr": 1e-3,
    "avg_grad_norm": 1.0, "max_grad_norm": 2.0, "frac_clipped": 0.0, "tokens_seen": 9, "next_token": 9,
    "steps": 99, "tokens_per_step": 1, "best_loss": 2.0, "best_step": 1, "model": {}, "train": {},
    "clock_s": Clock(),
}  # fmt: skip


class Killed(BaseException):
    """The process ends here."""


def snapshot(step: int, *, is_best: bool = False) -> Snapshot:
    tensors = {"weight": torch.full((1000,), float(step))}
    meta = Meta(global_step=step, is_best=is_best, **META)
    return Snapshot(f"20260101Z000000-iteration-{step}", tensors, tensors, meta)


def step_of(path: Path | None) -> int:
    """Load a checkpoint and return its step, once all in it is of that step."""
    assert path is not None
    meta = read_meta(path)
    for name in (MODEL, OPTIMIZER):
        assert read_tensors(path, name, meta)["weight"][0] == meta.global_step
    return meta.global_step


def operations(folder: Path) -> list[str]:
    """Return the names of the operations of saving a third checkpoint that drops the first."""
    seen: list[str] = []
    for step in (1, 2):
        save(folder, snapshot(step), keep=1)
    save(folder, snapshot(3, is_best=True), 0, seen.append)
    return seen


def test_a_kill_at_any_operation_leaves_a_checkpoint_that_loads(tmp_path: Path) -> None:
    names = operations(tmp_path / "all")
    assert len(names) == 9
    for place in range(len(names)):
        folder = tmp_path / str(place)
        for step in (1, 2):
            save(folder, snapshot(step, is_best=True), keep=1)
        left = iter([None] * place)

        def die(_: str, left: Any = left) -> None:
            if next(left, Killed) is Killed:
                raise Killed

        with pytest.raises(Killed):
            save(folder, snapshot(3, is_best=True), 0, die)

        is_named = place >= names.index("link latest")
        assert step_of(find(folder, "auto")) == (3 if is_named else 2)
        assert step_of(find(folder, "latest")) in {2, 3}
        assert step_of(find(folder, "best")) in {2, 3}


def test_what_a_kill_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    def die(name: str) -> None:
        if name == "meta":
            raise Killed

    with pytest.raises(Killed):
        save(tmp_path, snapshot(1), None, die)
    save(tmp_path, snapshot(2), None)

    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "20260101Z000000-iteration-2",
        "latest",
    ]


def test_only_as_many_are_kept_as_are_wanted(tmp_path: Path) -> None:
    for step in range(1, 8):
        save(tmp_path, snapshot(step, is_best=step == 2), keep=2)

    assert [step_of(each) for each in complete(tmp_path)] == [2, 5, 6, 7]
    assert step_of(find(tmp_path, "best")) == 2


def test_links_are_relative(tmp_path: Path) -> None:
    save(tmp_path / "a", snapshot(1, is_best=True), None)
    (tmp_path / "a").rename(tmp_path / "b")

    assert step_of(find(tmp_path / "b", "best")) == step_of(find(tmp_path / "b", "latest")) == 1


@pytest.mark.parametrize("name", [MODEL, OPTIMIZER])
@pytest.mark.parametrize("place", [20, -9, None])
def test_damage_is_told(tmp_path: Path, name: str, place: int | None) -> None:
    save(tmp_path, snapshot(1), None)
    file = tmp_path / "latest" / name
    data = bytearray(file.read_bytes())
    if place is None:
        file.write_bytes(data[:-100])
    else:
        data[place] ^= 1
        file.write_bytes(data)

    with pytest.raises(BadCheckpoint, match="is damaged"):
        step_of(find(tmp_path, "latest"))


@pytest.mark.parametrize("text", [b"", b"{", b"{}", b"\xff"])
def test_a_checkpoint_that_says_nothing_is_told(tmp_path: Path, text: bytes) -> None:
    save(tmp_path, snapshot(1), None)
    (tmp_path / "latest" / "meta.json").write_bytes(text)

    with pytest.raises(BadCheckpoint, match="can not be read"):
        step_of(find(tmp_path, "latest"))


@pytest.mark.parametrize("which", ["latest", "..", "../elsewhere", "nothing", ".latest", ""])
def test_what_is_not_there_is_told_with_what_is(tmp_path: Path, which: str) -> None:
    with pytest.raises(BadCheckpoint, match="the newest are none"):
        find(tmp_path / "checkpoints", which)


@pytest.mark.parametrize("room_bytes", [0, 3000, 6000, 9000])
def test_a_full_disk_is_told_and_leaves_what_was_there(tmp_path: Path, room_bytes: int) -> None:
    """The disk is a file system of its own that is really full."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("only root can make a small file system")
    try:
        save(tmp_path, snapshot(1), None)
        free_bytes = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
        (tmp_path / "filler").write_bytes(bytes(max(free_bytes - room_bytes, 0)))

        with pytest.raises(NoRoom, match="the disk is full"):
            save(tmp_path, snapshot(2), None)

        assert step_of(find(tmp_path, "latest")) == step_of(find(tmp_path, "auto")) == 1
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_keeper_tells_what_went_wrong_when_it_is_next_asked(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    keeper = Keeper(tmp_path / "checkpoints", None)
    keeper.save(snapshot(1))

    with pytest.raises(OSError, match=os.strerror(errno.ENOTDIR)):
        keeper.wait()
    keeper.wait()

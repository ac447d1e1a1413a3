"""A folder that is whole or not there: written beside its place, put on the disk, then moved to it.

It does not know what is in the files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from skerry_train.errors import BadSettings, TrainerError
from skerry_train.record import full


def write_folder(
    folder: Path,
    files: Mapping[str, bytes],
    links: Mapping[str, str] | None = None,
    *,
    replaces: bool = False,
) -> None:
    """Write files, by their path in the folder, and relative links; all of them or none.

    Raises BadSettings if the folder is there already and is not to be replaced, or has something in it
    that the new one has not; NoRoom if the disk is full. A replaced folder is gone for the moment
    between two renames, and is never half of each.
    """
    folder = Path(os.path.abspath(folder))
    if folder.exists():
        _check_replaceable(folder, [*files, *(links or {})], replaces=replaces)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        for name, data in files.items():
            _write(beside / name, data)
        for name, target in (links or {}).items():
            (beside / name).symlink_to(target)
        if folder.exists():
            folder.rename(old)
        beside.rename(folder)
        _settle(folder.parent)
    except OSError as error:
        told = full(error, str(folder))
        if told is error:
            told = TrainerError(
                f"{folder} can not be written: {error.strerror}; name another place"
            )
        raise told from None
    finally:
        if old.exists() and not folder.exists():
            old.rename(folder)
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _check_replaceable(folder: Path, names: Sequence[str], *, replaces: bool) -> None:
    """Raise BadSettings unless all that is lost with a folder is made anew."""
    if not replaces:
        raise BadSettings(f"{folder} is there already; name another folder, or give --replace")
    if not folder.is_dir():
        raise BadSettings(f"{folder} is a file; name a folder")
    made = {name.split("/")[0] for name in names}
    lost = sorted(each.name for each in folder.iterdir() if each.name not in made)
    if lost:
        raise BadSettings(
            f"{folder} has {lost[0]!r} in it, which --replace would lose; name another folder, or"
            " take it away"
        )


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _settle(folder: Path) -> None:
    """Put a folder's list of names on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

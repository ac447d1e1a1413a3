"""Bringing a data set that is named in a run's settings: once on each machine, gone on with after a break.

From a web address that holds data sets by their names, or from Hugging Face's hub (extra `hub`). What is
there already is taken as it is. It does not know what is in the files.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from http.client import HTTPException, HTTPResponse
from pathlib import Path, PurePosixPath

from skerry_train.errors import BadData, BadSettings, NotReachable
from skerry_train.record import full

FILES = ("train.safetensors", "validation.safetensors", "tokenizer.json", "dataset.json")
_NEEDED = FILES[:2]
_SUMS = "SHA256SUMS"
_SMALL_BYTES_MAX = 1 << 20
_FILE_BYTES_MAX = 1 << 40
_BLOCK_BYTES = 1 << 20
_ANSWER_S_MAX = 60
_TRIES = 5
_WAIT_S_MAX = 6 * 3600  # another process of this machine may be bringing a terabyte
_LOOK_S = 0.2

Advance = Callable[[str, int, int | None], None]
"""Told a file's name, how many of its bytes are there, and of how many, if that is known."""


def place(datasets: Path, name: str) -> Path:
    """Return the folder of a data set. Raises BadSettings for a name that leads out of its place."""
    parts = PurePosixPath(name).parts
    if not parts or any(part in {"..", "/", "."} or part.startswith(".") for part in parts):
        raise BadSettings(f"{name!r} is no name of a data set: it is NAME or OWNER/NAME")
    return datasets.joinpath(*parts)


def fetch(datasets: Path, name: str, source: str | None, advance: Advance) -> Path:
    """Return the folder of a data set, which is there then.

    source: the web address that has it below its name; None asks the hub. Of several processes on a
    machine one brings it and the others wait. Raises BadSettings, BadData, NotReachable, NoRoom.
    """
    folder = place(datasets, name)
    if is_there(folder):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / ".lock"):
        if is_there(folder):
            return folder
        if source is None:
            _from_hub(name, folder)
        else:
            _from_web(f"{source.rstrip('/')}/{urllib.parse.quote(name)}", folder, advance)
    if not is_there(folder):
        raise BadData(f"{name} was brought and has no train split; is it a data set of tokens?")
    return folder


def is_there(folder: Path) -> bool:
    """Tell whether a folder holds tokens to train on, in any layout that is read."""
    return any((folder / each).exists() for each in ("train.safetensors", "train.bin")) or any(
        folder.glob("*_train_*.bin")
    )


def _from_hub(name: str, folder: Path) -> None:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError
    except ImportError:
        raise BadData(
            f"there is no data set {name} in {folder.parent}: make it with `skerry-train prepare`, put it"
            " there, name an address that has it by --source, or install skerry-train[hub]"
        ) from None
    try:
        snapshot_download(name, repo_type="dataset", local_dir=folder)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise NotReachable(f"the hub does not give {name}: {str(error).splitlines()[0]}") from None


def _from_web(address: str, folder: Path, advance: Advance) -> None:
    if urllib.parse.urlsplit(address).scheme not in {"http", "https"}:
        raise BadSettings(f"{address} is no web address; it begins with https://")
    sums = _sums(address)
    for name in FILES:
        if not (folder / name).exists():
            _bring(f"{address}/{name}", folder / name, sums.get(name), advance)


def _sums(address: str) -> dict[str, str]:
    """Return what the files' sums have to be, as far as that is told. Source: sha256sum(1)."""
    try:
        with _asked(f"{address}/{_SUMS}", 0) as answer:
            text = answer.read(_SMALL_BYTES_MAX).decode(errors="replace")
    except urllib.error.HTTPError:
        return {}
    except (OSError, HTTPException) as error:
        raise NotReachable(f"{address} does not answer: {error}") from None
    return {
        name: found for found, name in re.findall(r"^([0-9a-f]{64}) [ *](\S+)$", text, re.MULTILINE)
    }


def _bring(address: str, path: Path, wanted: str | None, advance: Advance) -> None:
    """Bring a file, whole or not at all; what came before a break is kept for the next try."""
    part = path.with_name(f".{path.name}.part")
    trouble = ""
    for _ in range(_TRIES):
        try:
            if _go_on(address, part, lambda done, size: advance(path.name, done, size)):
                break
        except urllib.error.HTTPError as error:
            if error.code == 404 and path.name not in _NEEDED:
                return
            raise NotReachable(f"{address} answers {error.code}") from None
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            trouble = str(error)
        except OSError as error:
            raise full(error, str(part)) from error
    else:
        raise NotReachable(
            f"{address} breaks off again and again ({trouble}); run it again to go on"
        )
    if wanted is not None and _sum(part) != wanted:
        part.unlink()
        raise BadData(f"{address} is not what its {_SUMS} says; it was removed")
    part.replace(path)


def _go_on(address: str, part: Path, advance: Callable[[int, int | None], None]) -> bool:
    """Add what is missing to a file, and tell whether it is whole."""
    # The last byte is asked for again: of a file that is whole an answer would have none.
    there = max(part.stat().st_size - 1, 0) if part.exists() else 0
    with _asked(address, there) as answer:
        if answer.status != 206:
            there = 0  # it sends all of it
        length = answer.headers.get("Content-Length")
        size = there + int(length) if length is not None and length.isdecimal() else None
        if (size or 0) > _FILE_BYTES_MAX:
            raise BadData(f"{address} is larger than a terabyte")
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(there)
            file.seek(there)
            while block := answer.read(_BLOCK_BYTES):
                file.write(block)
                there += len(block)
                advance(there, size)
                if there > _FILE_BYTES_MAX:
                    raise BadData(f"{address} is larger than a terabyte")
            file.flush()
            os.fsync(file.fileno())
    return size is None or there == size


@contextlib.contextmanager
def _asked(address: str, begin: int) -> Generator[HTTPResponse]:
    headers = {"User-Agent": "skerry-train"} | ({"Range": f"bytes={begin}-"} if begin else {})
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - its scheme was looked at
    try:
        answer = urllib.request.urlopen(request, timeout=_ANSWER_S_MAX)  # noqa: S310 - as above
    except urllib.error.HTTPError as error:
        error.close()
        raise
    with answer:
        yield answer


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _alone(path: Path) -> Generator[None]:
    """Have no other process of this machine inside. Raises NotReachable after hours of waiting."""
    with path.open("w") as file:
        until = time.monotonic() + _WAIT_S_MAX
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise NotReachable(f"another process holds {path} since hours") from None
                time.sleep(_LOOK_S)
        yield

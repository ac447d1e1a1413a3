"""The root key of a store that was given none: made once, and kept beside it for its owner."""

import os
import re
from collections.abc import Callable
from pathlib import Path

from skerry.base import Failed

FILE = "root-key"
_TEXT = re.compile(r"([A-Z0-9]{20})\n([0-9a-f]{40})\n")


def root_key(directory: Path, entropy: Callable[[int], bytes]) -> tuple[str, str]:
    """Return access key and secret that are kept in directory; they are made if there are none.

    Raises Failed(bad_root_key).
    """
    path = directory / FILE
    try:
        match = _TEXT.fullmatch(path.read_text())
    except FileNotFoundError:
        return _made(path, entropy)
    if match is None:
        raise Failed(
            "bad_root_key", f"{path} holds no key. Bring it back, or remove it for a new one."
        )
    return match[1], match[2]


def _made(path: Path, entropy: Callable[[int], bytes]) -> tuple[str, str]:
    access_key, secret = f"SKERRY{entropy(7).hex().upper()}", entropy(20).hex()
    staged = path.with_name(f".{FILE}-new")
    staged.unlink(missing_ok=True)
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="ascii") as file:
        file.write(f"{access_key}\n{secret}\n")
        file.flush()
        os.fsync(file.fileno())
    staged.rename(path)
    return access_key, secret

"""The secrets of a store: made once, and kept beside it for its owner.

The root key, where none was given, the secret that temporary keys follow from, and the master keys
by which objects are encrypted.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

from skerry.base import Failed
from skerry.objects.masters import KEY_BYTES, Masters
from skerry.s3.sessions import SECRET_BYTES

FILE = "root-key"
SESSION_FILE = "session-secret"
_TEXT = re.compile(r"([A-Z0-9]{20})\n([0-9a-f]{40})\n")
MASTER_FILE = "master-keys"
_MASTER = re.compile(rf"([0-9a-f]{{16}}) ([0-9a-f]{{{2 * KEY_BYTES}}})")
_SESSION_TEXT = re.compile(rf"([0-9a-f]{{{2 * SECRET_BYTES}}})\n")


def root_key(directory: Path, entropy: Callable[[int], bytes]) -> tuple[str, str]:
    """Return access key and secret that are kept in directory; they are made if there are none.

    Raises Failed(bad_root_key).
    """
    path = directory / FILE
    try:
        match = _TEXT.fullmatch(_read(path))
    except FileNotFoundError:
        return _made(path, entropy)
    if match is None:
        raise Failed(
            "bad_root_key", f"{path} holds no key. Bring it back, or remove it for a new one."
        )
    return match[1], match[2]


def session_secret(directory: Path, entropy: Callable[[int], bytes]) -> bytes:
    """Return the secret of temporary keys that is kept in directory; it is made if there is none.

    Raises Failed(bad_session_secret).
    """
    path = directory / SESSION_FILE
    try:
        match = _SESSION_TEXT.fullmatch(_read(path))
    except FileNotFoundError:
        secret = entropy(SECRET_BYTES)
        _keep(path, f"{secret.hex()}\n")
        return secret
    if match is None:
        raise Failed(
            "bad_session_secret",
            f"{path} holds no secret. Bring it back, or remove it: temporary keys end then.",
        )
    return bytes.fromhex(match[1])


def master_keys(directory: Path, entropy: Callable[[int], bytes]) -> Masters:
    """Return the keys of objects that are kept in directory; one is made if there is no file.

    Raises Failed(bad_master_keys).
    """
    path = directory / MASTER_FILE
    try:
        text = _read(path)
    except FileNotFoundError:
        text = f"{entropy(8).hex()} {entropy(KEY_BYTES).hex()}\n"
        _keep(path, text)
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line:
            continue  # people who add a key leave an empty line, or no end of the last one
        match = _MASTER.fullmatch(line)
        if match is None or match[1] in keys:
            raise _no_keys(path, f" in line {number}")
        keys[match[1]] = bytes.fromhex(match[2])
    if not keys:
        raise _no_keys(path, "")
    return Masters(next(iter(keys)), keys)


def _no_keys(path: Path, where: str) -> Failed:
    return Failed(
        "bad_master_keys",
        f"{path} holds no keys{where}: a line is an id that no other has, of 16 hexadecimal digits, "
        "a space and 64 of a key. Bring it back: without it no object that the store encrypted can "
        "be read.",
    )


def _made(path: Path, entropy: Callable[[int], bytes]) -> tuple[str, str]:
    access_key, secret = f"SKERRY{entropy(7).hex().upper()}", entropy(20).hex()
    _keep(path, f"{access_key}\n{secret}\n")
    return access_key, secret


def _read(path: Path) -> str:
    """Return what a file says; bytes that none of ours holds are there as signs that fit nothing."""
    return path.read_text(encoding="ascii", errors="replace")


def _keep(path: Path, text: str) -> None:
    staged = path.with_name(f".{path.name}-new")
    staged.unlink(missing_ok=True)
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with open(handle, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    staged.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)  # or a power cut makes another one of it
    finally:
        os.close(folder)

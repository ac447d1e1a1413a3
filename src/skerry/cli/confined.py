"""The command line for `ssh skerry@host`: one command, as nobody, in an empty directory.

`python -m skerry.cli.confined DIR [WORD ...]`, started as root by the SSH door. It imports what the
command needs, and only then gives up root and moves into DIR, where there is no file to read or
write. So no option of any command can reach one, whatever it is; the list of commands below is for
clear words, not for safety. The API is reached by SKERRY_URL, with the rights of SKERRY_TOKEN.
"""

import ctypes
import fcntl
import importlib
import os
import resource
import signal
import sys
import termios
from collections.abc import Sequence

from skerry.cli.parser import parser_of, print_usage_error
from skerry.cli.table import TABLE, Entry, find

COMMANDS = (
    "create", "list", "info", "update", "why", "hold", "sessions", "policy", "url", "share",
    "service", "logs", "checkpoint", "restore", "fork", "start", "stop", "destroy", "undo", "trash",
    "usage", "bill", "budget", "key", "version",
)  # fmt: skip
# With them one could have this machine connect to others in its own network.
_ELSEWHERE = ("--url", "--data", "--token", "--config")
# What the SDK and the standard library import when they first need it, which here is too late.
_LATE = (
    "asyncio", "encodings.idna", "h11", "skerry.cli.output", "skerry.cli.unwinding",
    "skerry.client.websocket", "shutil", "traceback", "unicodedata",
)  # fmt: skip
_NOBODY = 65_534
_SET_PDEATHSIG = 1
_LIMITS = (
    (resource.RLIMIT_AS, 1 << 30),
    (resource.RLIMIT_CORE, 0),
    (resource.RLIMIT_CPU, 60),
    (resource.RLIMIT_FSIZE, 0),
    (resource.RLIMIT_NOFILE, 64),
)


def main(arguments: Sequence[str]) -> int:
    """Run one command line, the words after the directory; return its exit code."""
    directory, *words = arguments
    name = next((word for word in words if not word.startswith("-")), None)
    if any(word.partition("=")[0] in _ELSEWHERE for word in words):
        print_usage_error(
            f"{', '.join(_ELSEWHERE)} are not for here: this is the Skerry you are at"
        )
        return 2
    if name == "help":
        name = next((word for word in words[words.index("help") + 1 :]), None)
    if name is None:
        print(overview())
        return 0
    entry = find(name)
    if entry is None or entry.name not in COMMANDS:
        print_usage_error(_no_such(name, entry))
        return 2
    _import(entry)
    _confine(directory)
    from skerry.cli import main as run  # noqa: PLC0415 - beside the others, before it was late

    return run(words)


def overview() -> str:
    """Return what is printed when nothing is asked for."""
    shown = [entry for entry in TABLE if entry.name in COMMANDS]
    width = max(len(entry.name) for entry in shown) + 2
    lines = [
        "usage: ssh skerry@HOST COMMAND ...",
        "",
        *(f"  {entry.name:<{width}}{entry.summary}" for entry in shown),
        "",
        "`ssh skerry@HOST COMMAND --help` tells more about a command. `ssh BOX@HOST` is a shell in",
        "a box; scp, sftp and forwarded ports go there too.",
    ]
    return "\n".join(lines)


def _no_such(name: str, entry: Entry | None) -> str:
    if entry is None:
        return f"there is no command {name[:80]!r}"
    if entry.name in ("exec", "console"):
        return f"{entry.name} is not for here: `ssh BOX@HOST [COMMAND]` runs it in a box"
    if entry.name == "file":
        return "file is not for here: `scp` and `sftp` reach files in BOX@HOST"
    return f"{entry.name} is not for here; run it on the machine itself, or from another by --url"


def _import(entry: Entry) -> None:
    for name in _LATE:
        importlib.import_module(name)
    parser_of(entry)


def _confine(directory: str) -> None:
    """Give up root, this machine's files, and the terminal of whoever started us."""
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal here
    for limit, most in _LIMITS:
        resource.setrlimit(limit, (most, most))
    os.chroot(directory)
    os.chdir("/")
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    # After the change of user, which takes it back. What has started us may be gone by now.
    ctypes.CDLL(None).prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""A box's disk of a few programs of this machine: for tests that need a box and not a distribution.

Takes a tenth of a second and some megabytes, where building an image takes the network and a minute.
"""

import os
import re
import shutil
from pathlib import Path

from skerry.host import process

_PROGRAMS = (
    "bash", "cat", "echo", "env", "head", "id", "ls", "nohup", "readlink", "setsid", "sh", "sleep", "stty", "tee",
    "true", "tty", "wc", "yes",
)  # fmt: skip
_USERS = "root:x:0:0:root:/root:/bin/sh\nbox:x:1000:1000::/home/box:/bin/bash\n"
_GROUPS = "root:x:0:\ntty:x:5:\nstaff:x:50:box\nbox:x:1000:\n"
_USER_ID = 1000
_TIMEOUT_NS = 10 * 10**9
_LIBRARY = re.compile(r"(/\S+) \(0x")


def build_small_disk(disk: Path) -> None:
    """Make a root directory at disk: a shell, some commands, the users root and box.

    Ids are the box's own, as on every disk. Raises NotAvailable(command_missing).
    """
    for name in ("bin", "etc", "home/box", "root", "tmp", "proc", "sys", "dev"):
        (disk / name).mkdir(parents=True, mode=0o755)
    (disk / "tmp").chmod(0o1777)
    os.chown(disk / "home" / "box", _USER_ID, _USER_ID)
    (disk / "etc" / "passwd").write_text(_USERS)
    (disk / "etc" / "group").write_text(_GROUPS)
    libraries = set[str]()
    for name in _PROGRAMS:
        program = process.find(name)
        assert program is not None, f"this machine has no {name}"
        shutil.copy(program, disk / "bin" / name)
        needs = process.run(["ldd", program], timeout_ns=_TIMEOUT_NS).stdout.decode()
        libraries.update(_LIBRARY.findall(needs))
    for library in libraries:
        copy = disk / library.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(library, copy)

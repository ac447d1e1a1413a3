"""The box that an exec goes into, pinned by its first process; what must be known before entering.

Runs in the holder, on the host's side. Files read here are the kernel's, never the box's.
"""

import os

from skerry.holder.request import Refusal, Request

_FILE_BYTES_MAX = 65536
_STARTED_FIELD = 21 - 2  # `starttime`, counted after the name, which may hold anything; proc(5)
_APPARMOR_ENABLED = "/sys/module/apparmor/parameters/enabled"


class Box:
    """A running box. pidfd: its first process. capabilities: the mask that it is bound to."""

    def __init__(self, pidfd: int, capabilities: int, confinement: bytes | None) -> None:
        self.pidfd = pidfd
        self.capabilities = capabilities
        self.confinement = confinement  # AppArmor profile of its first process

    def close(self) -> None:
        """Let go of it."""
        os.close(self.pidfd)


def open_box(request: Request) -> Box:
    """Pin the box and make sure that a command may start in it.

    Raises Refusal(box_not_running, box_frozen, processes_limit).
    """
    try:
        # Pinned first, looked at then: the start time that fits is the pinned process's, since
        # whoever had the pid before it was gone when the daemon learned the pair.
        pidfd = os.pidfd_open(request.init_pid)
        try:
            stat = read_file(f"/proc/{request.init_pid}/stat")
            if (
                int(stat[stat.rindex(b")") + 2 :].split(b" ")[_STARTED_FIELD])
                != request.started_ticks
            ):
                raise _not_running()
            _refuse_frozen(request)
            _refuse_full(request)
            status = read_file(f"/proc/{request.init_pid}/status")
            start = status.index(b"CapBnd:") + len(b"CapBnd:")
            capabilities = int(status[start : status.index(b"\n", start)], 16)
            return Box(pidfd, capabilities, _confinement(request.init_pid))
        except BaseException:
            os.close(pidfd)
            raise
    except (FileNotFoundError, ProcessLookupError) as error:
        raise _not_running() from error


def read_file(path: str) -> bytes:
    """Return a small file of the kernel's."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _FILE_BYTES_MAX)
    finally:
        os.close(descriptor)


def write_file(path: str, data: bytes) -> None:
    """Write data into a file of the kernel's, in one call."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def read_count(path: str, name: bytes) -> int:
    """Return N of the line `name N` in a file of the kernel's; 0 where there is none."""
    for line in read_file(path).splitlines():
        key, _, number = line.partition(b" ")
        if key == name:
            return int(number)
    return 0


def _refuse_frozen(request: Request) -> None:
    """Look first: whoever joins a frozen group freezes with it until the holder gives up."""
    for path in request.freeze_files:
        text = read_file(path)
        if b"frozen 1" in text or text.startswith((b"FROZEN", b"FREEZING")):
            raise Refusal("box_frozen", "The box is frozen now. Try again when it is awake.")


def _refuse_full(request: Request) -> None:
    """Look first: a v1 group takes in whoever joins it, full or not, and refuses only forks."""
    directory = request.processes_directory
    if not directory:
        return
    limit = read_file(f"{directory}/pids.max").strip()
    if limit != b"max" and int(read_file(f"{directory}/pids.current")) >= int(limit):
        raise full(limit.decode())


def full(limit: str = "") -> Refusal:
    """Return the refusal of a box that may have no more processes."""
    return Refusal(
        "processes_limit",
        f"The box runs as many processes as it may{limit and f' ({limit})'}. End some of them (the "
        "sessions that run can be listed and killed), or restart the box.",
    )


def _confinement(init_pid: int) -> bytes | None:
    """Return the AppArmor profile that the box is confined by: what enters it wears the same."""
    if not os.path.exists(_APPARMOR_ENABLED):
        return None
    try:
        label = read_file(f"/proc/{init_pid}/attr/current").strip(b"\n\0 ")
    except OSError:
        return None  # EINVAL: another security module is in charge
    profile, _, mode = label.rpartition(b" (")
    return profile if mode else None


def _not_running() -> Refusal:
    return Refusal("box_not_running", "The box does not run any more. Start it and try again.")

"""The zygote: the one process that holders are forked from, so that none has to start Python.

It is a child of the daemon and ends with it; holders belong to nobody. Through its control socket
it is sent first the seccomp program, then one message with one descriptor for each exec: the socket
of the first client, on which the holder reads the request. A holder is forked before it is needed
and takes the next message itself, which spares the exec a fork and what first writes to shared
pages cost, together a millisecond.
"""

import gc
import os
import resource
import select
import sys
from _socket import CMSG_LEN, MSG_CMSG_CLOEXEC, socket

from skerry.holder import frames, kernel
from skerry.holder.box import read_file, write_file
from skerry.holder.holder import hold, rehearse

_PROGRAM_BYTES_MAX = 1024 * 1024
_NO_PROGRAM = b"\0"
_DESCRIPTOR_BYTES = 4
# What distributions give a login: programs that use select(2) break above it, others raise it.
_OPEN_FILES_SOFT = 1024
_OPEN_FILES_HARD = 1048576
# A short command ends sooner, and a fork beside it would only slow it down; unless the next is here.
_REST_MS = 10
_REHEARSALS = 20  # the interpreter adapts code that ran a few times, in place


def main(control_descriptor: int) -> None:
    """Keep one holder ahead of demand until the daemon is gone."""
    control = socket(fileno=control_descriptor)
    _prepare()
    program = control.recv(_PROGRAM_BYTES_MAX)
    if program != _NO_PROGRAM:
        # Once for all holders and commands, which inherit it: loading takes most of a millisecond,
        # and so there is no moment at which a child is in a box without it. The filter forbids
        # nothing that a holder does.
        kernel.confine(program)
    for _ in range(_REHEARSALS):
        rehearse()
    gc.collect()
    gc.freeze()  # so that a collection in a holder does not touch, and thereby copy, our pages
    control.send(b"\0")
    while _fork_holder(control):
        continue


def _prepare() -> None:
    """Become what every command shall begin as: nothing of the daemon's ways is handed on."""
    kernel.hide_memory()
    kernel.unblock_signals()
    for number in kernel.SIGNALS:
        kernel.set_signal(number, kernel.SIGNAL_DEFAULT)
    kernel.reset_library_signals()
    kernel.set_signal(kernel.SIGPIPE, kernel.SIGNAL_IGNORED)
    kernel.set_signal(kernel.SIGCHLD, kernel.SIGNAL_IGNORED)  # holders are not waited for
    os.umask(0o022)
    os.chdir("/")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hard = min(hard, _OPEN_FILES_HARD) if hard != resource.RLIM_INFINITY else _OPEN_FILES_HARD
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(_OPEN_FILES_SOFT, hard), hard))
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if read_file("/proc/self/oom_score_adj").strip() != b"0":
        try:
            write_file("/proc/self/oom_score_adj", b"0")
        except PermissionError:
            return  # lowering it takes CAP_SYS_RESOURCE, which a container may lack


def _fork_holder(control: socket) -> bool:
    """Fork a holder, wait until the next one is wanted. Returns False when the daemon is gone."""
    theirs, ours = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        pid = -1
        _refuse_next(control, error)
    if pid == 0:
        os.close(theirs)
        _become_holder(control, ours)
    os.close(ours)
    try:
        return _wait(theirs, control, 0, None) and _wait(theirs, control, select.POLLIN, _REST_MS)
    finally:
        os.close(theirs)


def _wait(holder: int, control: socket, events: int, wait_ms_max: int | None) -> bool:
    """Wait for a word of the holder, or events on control; return whether there is a daemon."""
    poll = select.poll()
    poll.register(holder, select.POLLIN)
    poll.register(control.fileno(), events)
    for descriptor, happened in poll.poll(wait_ms_max):
        if descriptor == control.fileno() and happened & select.POLLHUP:
            return False
        if descriptor == holder:
            os.read(holder, 1)
    return True


def _become_holder(control: socket, zygote: int) -> None:
    """Wait for an exec and hold it; never returns. zygote hears when it begins and ends."""
    try:
        os.setsid()
        kernel.set_signal(kernel.SIGCHLD, kernel.SIGNAL_DEFAULT)
        rehearse()
        descriptor = _take(control)
        _tell(zygote)
        control.close()
        if descriptor is not None:
            hold(socket(fileno=descriptor), zygote)
    except BaseException as error:  # noqa: BLE001 - the process ends here and says why
        sys.excepthook(type(error), error, error.__traceback__)
        os._exit(1)
    os._exit(0)


def _tell(zygote: int) -> None:
    try:
        os.write(zygote, b"\0")
    except BrokenPipeError:
        return  # it was killed, and the exec goes on


def _refuse_next(control: socket, error: OSError) -> None:
    descriptor = _take(control)
    if descriptor is not None:
        text = f"This machine starts no more processes ({error.strerror}). Try again later."
        os.write(descriptor, frames.frame(frames.FAILED, frames.pack(["machine_busy", text])))
        os.close(descriptor)


def _take(control: socket) -> int | None:
    """Return the descriptor of the next message, None when the daemon is gone."""
    _, rights, _, _ = control.recvmsg(1, CMSG_LEN(_DESCRIPTOR_BYTES), MSG_CMSG_CLOEXEC)
    for _, _, payload in rights:
        return int.from_bytes(payload[:_DESCRIPTOR_BYTES], sys.byteorder)
    return None

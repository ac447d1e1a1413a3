"""System calls that Python 3.11 has no function for, by ctypes. Knows nothing of boxes or execs.

Every function raises OSError with the kernel's error number. Call numbers and ioctls are those of
x86-64 and ARM 64, which share all that are used here but one. The library is opened as `PyDLL`, which keeps
the interpreter's lock: these processes have one thread, and clone3 must not come back in a child
whose interpreter believes that the lock is free.
"""

import ctypes
import os
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

SIGKILL, SIGPIPE, SIGCHLD, SIGXFSZ = 9, 13, 17, 25
SIGNALS = range(1, 65)
SIGNAL_DEFAULT, SIGNAL_IGNORED = 0, 1

TIOCSCTTY = 0x540E
TIOCGPGRP = 0x540F
TIOCSWINSZ = 0x5414
FIONREAD = 0x541B
TIOCGPTPEER = 0x5441
TIOCSPTLCK = 0x40045431

_CLONE_PIDFD = 0x1000
_CLONE_INTO_CGROUP = 0x200000000
_SYS_RT_SIGACTION_X86, _SYS_RT_SIGACTION = 13, 134
_SYS_PIDFD_SEND_SIGNAL = 424
_SYS_CLONE3 = 435
_SYS_CLOSE_RANGE = 436
_CLOSE_RANGE_CLOEXEC = 4
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_SECCOMP_MODE_FILTER = 2
_SIG_SETMASK = 2
_SIGNAL_SET_BYTES = 128
_KERNEL_SIGNAL_SET_BYTES = 8
_SIGNAL_ACTION_BYTES = 32
_LIBRARY_SIGNALS = (32, 33)
_INSTRUCTION_BYTES = 8
_CAPABILITIES = 64
_EINVAL = 22

_libc = ctypes.PyDLL(None, use_errno=True)
# Wide enough for handler addresses: the default of ctypes, int, would cut them to 32 bits.
_libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
_libc.signal.restype = ctypes.c_void_p
_libc.prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)
_libc.syscall.restype = ctypes.c_long


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def set_namespaces(descriptor: int, flags: int) -> None:
    """Enter those namespaces of the process that a pidfd names (Linux 5.8), all or none.

    CLONE_NEWPID changes only where the next children are born.
    """
    _check(_libc.setns(descriptor, flags))


def clone_into(group: int) -> tuple[int, int]:
    """Fork a child that is born in the v2 control group open at group; return its pid and pidfd.

    In the child both are 0. Being born in a group and not moved there spares the lock over all
    processes of the machine that a move takes, which waits for several milliseconds (Linux 5.7).
    """
    pidfd = ctypes.c_int(-1)
    arguments = (ctypes.c_uint64 * 11)(
        _CLONE_PIDFD | _CLONE_INTO_CGROUP, ctypes.addressof(pidfd), 0, 0, SIGCHLD, 0, 0, 0, 0, 0, group
    )  # fmt: skip
    pid = _check(_libc.syscall(_SYS_CLONE3, arguments, ctypes.c_size_t(ctypes.sizeof(arguments))))
    return (pid, pidfd.value) if pid else (0, 0)


def hide_memory() -> None:
    """Make this process and its children, until they exec, unreadable for all but the host's root.

    Between entering a box and exec a child has the ids of the box's users, who may trace what has
    their ids, unless it is marked so.
    """
    _check(_libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0))


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies. A change of ids undoes it."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0))


def confine(program: bytes) -> None:
    """Load a seccomp filter program for good; children inherit it. Needs CAP_SYS_ADMIN."""
    assert len(program) % _INSTRUCTION_BYTES == 0
    filter_program = _FilterProgram(len(program) // _INSTRUCTION_BYTES, program)
    address = ctypes.addressof(filter_program)
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, address, 0, 0))


def bound_capabilities(allowed: int) -> None:
    """Drop every capability that is not in the bit mask allowed from the bounding set."""
    for capability in range(_CAPABILITIES):
        if not allowed >> capability & 1 and _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0):
            error = ctypes.get_errno()
            if error == _EINVAL:  # past the last one that this kernel has
                return
            raise OSError(error, os.strerror(error))


def set_signal(number: int, handling: int) -> None:
    """Handle a signal by SIGNAL_DEFAULT or SIGNAL_IGNORED, behind the interpreter's back."""
    _libc.signal(number, handling)


def reset_library_signals() -> None:
    """Handle by default the two signals that the C library keeps for itself.

    It refuses them to set_signal, and leaves the first ignored in what its posix_spawn starts,
    such as everything below `make`.
    """
    default = ctypes.create_string_buffer(_SIGNAL_ACTION_BYTES)  # SIG_DFL, no flags, nothing masked
    number = _SYS_RT_SIGACTION_X86 if os.uname().machine == "x86_64" else _SYS_RT_SIGACTION
    for signal in _LIBRARY_SIGNALS:
        size = ctypes.c_ulong(_KERNEL_SIGNAL_SET_BYTES)
        _check(_libc.syscall(ctypes.c_long(number), ctypes.c_int(signal), default, None, size))


def unblock_signals() -> None:
    """Let every signal through again."""
    nothing = ctypes.create_string_buffer(_SIGNAL_SET_BYTES)
    _check(_libc.sigprocmask(_SIG_SETMASK, nothing, None))


def send_signal(pidfd: int, number: int) -> None:
    """Send a signal to the very process that pidfd was opened for."""
    zero = ctypes.c_void_p(0)
    _check(_libc.syscall(_SYS_PIDFD_SEND_SIGNAL, pidfd, number, zero, ctypes.c_uint(0)))


def close_all_on_exec() -> None:
    """Mark every descriptor above stderr to be closed by exec, whoever opened it."""
    first, last = ctypes.c_uint(3), ctypes.c_uint(0xFFFFFFFF)
    _check(_libc.syscall(_SYS_CLOSE_RANGE, first, last, ctypes.c_uint(_CLOSE_RANGE_CLOEXEC)))


def window_size(rows: int, columns: int) -> bytes:
    """Return a `struct winsize`, as TIOCSWINSZ takes it."""
    return b"".join(number.to_bytes(2, sys.byteorder) for number in (rows, columns, 0, 0))


def _check(result: int) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result

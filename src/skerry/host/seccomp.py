"""The system calls that nothing in a box may make: one table, and the filter program built of it.

The program is what the kernel runs, so the same bytes confine a box's first process (which inherits
them from the thread that starts it, see `confine_thread`) and every exec. A text profile for liblxc made
from the same table was tried and left: liblxc compiles it anew at every start where an inherited
filter costs nothing, passes over calls that only 32-bit programs have, and two programs would have
to be shown equal. This file knows neither boxes nor the runtime.

What the table does *not* forbid, on purpose: mount, unshare, setns, ptrace, clone with namespaces.
Every box is in a user namespace of its own, where the kernel checks these, and rootless containers,
browsers and the sandboxes of coding agents in a box need them.
"""

import ctypes
import errno
import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass

from skerry.base import NotAvailable
from skerry.holder import kernel

# -- the table ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Match:
    """True where the low 32 bits of an argument, masked, equal value.

    Only 32 bits: the kernel takes the numbers compared here as `int`, and a comparison with all 64
    could be passed by setting a high bit.
    """

    argument: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Rule:
    """Calls that fail with an error number, always or where the match says so."""

    calls: tuple[str, ...]
    error: int
    match: Match | None = None


def all_but(allowed: Iterable[int], bits: int) -> list[tuple[int, int]]:
    """Return (mask, value) pairs that match every number of so many bits except the allowed ones.

    The numbers are cut into aligned blocks, so that a dozen comparisons cover 256 of them, those
    that the kernel does not have yet included.
    """
    kept = frozenset(allowed)
    full = (1 << bits) - 1

    def blocks(low: int, size: int) -> list[tuple[int, int]]:
        inside = sum(low <= number < low + size for number in kept)
        if inside == 0:
            return [(full & ~(size - 1), low)]
        if size == 1:
            return []
        half = size // 2
        return blocks(low, half) + blocks(low + half, half)

    return blocks(0, 1 << bits)


# Root in a box owns its disk, and the kernel lets an owner make subvolumes, which a checkpoint would
# lose in silence. Of the filesystem's own commands only those of `cp --reflink` and of deduplication
# stay: FICLONE, FICLONERANGE, FIDEDUPERANGE. Only type and number are compared and not the size,
# which differs between 32 and 64 bits. ENOTTY ("no such command on this file") and not EPERM:
# programs such as systemd-tmpfiles then make a plain directory. Source: linux/btrfs.h.
_BTRFS_TYPE = 0x94
_BTRFS_ALLOWED = (9, 13, 54)

# A box talks over Unix sockets, IP, netlink (in its own network namespace) and packets. AF_VSOCK
# is not namespaced and reaches the hypervisor; the others load old modules of the host by name.
_SOCKET_FAMILIES_ALLOWED = (1, 2, 10, 16, 17)
_SOCKET_FAMILY_BITS = 6  # the kernel refuses 46 and above itself

# Numbers of the calls inside socketcall(2), by which 32-bit x86 programs reach socket(2). Its
# arguments lie in memory, which no filter can read, so sockets made in this old way are refused as
# a whole; linux/net.h.
_SOCKETCALL_SOCKET, _SOCKETCALL_SOCKETPAIR = 1, 8

_ALL_32_BITS = 0xFFFFFFFF

RULES: tuple[Rule, ...] = (
    *(
        Rule(("ioctl",), errno.ENOTTY, Match(1, 0xFF00 | mask, _BTRFS_TYPE << 8 | value))
        for mask, value in all_but(_BTRFS_ALLOWED, 8)
    ),
    *(
        Rule(("socket", "socketpair"), errno.EAFNOSUPPORT, Match(0, ~0x3F & _ALL_32_BITS | mask, value))
        for mask, value in all_but(_SOCKET_FAMILIES_ALLOWED, _SOCKET_FAMILY_BITS)
    ),
    *(
        Rule(("socketcall",), errno.EAFNOSUPPORT, Match(0, _ALL_32_BITS, number))
        for number in (_SOCKETCALL_SOCKET, _SOCKETCALL_SOCKETPAIR)
    ),
    # ENOSYS for what programs try first and do without. io_uring carries out other calls, and its
    # commands reach filesystems, where no filter sees them.
    Rule(
        ("io_uring_setup", "io_uring_enter", "io_uring_register", "add_key", "keyctl", "request_key"),
        errno.ENOSYS,
    ),
    # What the host has one of: its kernel, modules, log, accounting, swap, quotas. reboot(2) would
    # have the runtime start the box anew by itself.
    Rule(
        (
            "kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module",
            "create_module", "query_module", "get_kernel_syms", "reboot", "syslog", "acct",
            "swapon", "swapoff", "quotactl", "quotactl_fd", "_sysctl", "nfsservctl",
            "lookup_dcookie",
        ),
        errno.EPERM,
    ),
    # Large and often broken parts of the kernel, or ways around path permissions.
    Rule(
        (
            "bpf", "perf_event_open", "userfaultfd", "open_by_handle_at", "uselib", "iopl",
            "ioperm", "vm86", "vm86old",
        ),
        errno.EPERM,
    ),
)  # fmt: skip

# -- the program ----------------------------------------------------------------------------------

# From seccomp.h of libseccomp 2.5, part of its stable interface.
_ACTION_ALLOW = 0x7FFF0000
_ACTION_ERROR = 0x00050000
_ATTRIBUTE_OTHER_ARCHITECTURE = 2
_COMPARE_MASKED_EQUAL = 7
_NO_SUCH_CALL = -1
_X86, _X86_64, _ARM, _ARM_64 = 0x40000003, 0xC000003E, 0x40000028, 0xC00000B7
# The other instruction set whose programs run on each machine. x32 is left out: a call of an
# architecture that the filter does not know fails with ENOSYS.
_SECOND_ARCHITECTURE = {_X86_64: _X86, _ARM_64: _ARM}


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def build_program(rules: Iterable[Rule] = RULES) -> bytes:
    """Return the BPF program of rules for this machine, as SECCOMP_SET_MODE_FILTER takes it.

    Build it once and keep the bytes (1 ms; 20 ms with a table of hundreds of calls). Holds for both instruction sets that a
    64-bit x86 or ARM machine runs.

    Raises NotAvailable(seccomp_missing).
    """
    library = _library()
    context = library.seccomp_init(_ACTION_ALLOW)
    if not context:
        raise NotAvailable("seccomp_missing", "libseccomp made no filter: out of memory?")
    try:
        _check(
            "set the answer for other architectures",
            library.seccomp_attr_set(
                context, _ATTRIBUTE_OTHER_ARCHITECTURE, _ACTION_ERROR | errno.ENOSYS
            ),
        )
        second = _SECOND_ARCHITECTURE.get(library.seccomp_arch_native())
        if second is not None:
            _check("add the 32-bit architecture", library.seccomp_arch_add(context, second))
        for rule in rules:
            for call in rule.calls:
                _add(library, context, rule, call)
        return _export(library, context)
    finally:
        library.seccomp_release(context)


def confine_thread(program: bytes) -> None:
    """Load program into the calling thread, for good; all that it starts from now on inherits it.

    A filter belongs to a thread, so the others of this process stay as they are. Needs
    CAP_SYS_ADMIN instead of no_new_privs, which would break sudo in a box.

    Raises NotAvailable(seccomp_missing).
    """
    try:
        kernel.confine(program)
    except OSError as error:
        raise NotAvailable(
            "seccomp_missing",
            f"The kernel takes no seccomp filter ({error.strerror}). Boxes need one with "
            "CONFIG_SECCOMP_FILTER, and root.",
        ) from error


def libseccomp_version() -> tuple[int, int, int] | None:
    """Return the version of the libseccomp on this machine, None where it has none."""
    try:
        library = _library()
    except NotAvailable:
        return None
    version = ctypes.cast(library.seccomp_version(), ctypes.POINTER(ctypes.c_uint * 3)).contents
    return version[0], version[1], version[2]


def _add(library: ctypes.CDLL, context: int, rule: Rule, call: str) -> None:
    number = library.seccomp_syscall_resolve_name(call.encode())
    if number == _NO_SUCH_CALL:
        raise NotAvailable(
            "seccomp_missing",
            f"libseccomp does not know the call {call}. Install libseccomp2 2.5 or newer.",
        )
    count = 0 if rule.match is None else 1
    comparisons = (_Comparison * 1)()
    if rule.match is not None:
        comparisons[0] = _Comparison(
            rule.match.argument, _COMPARE_MASKED_EQUAL, rule.match.mask, rule.match.value
        )
    action = _ACTION_ERROR | rule.error
    _check(
        f"refuse {call}",
        library.seccomp_rule_add_array(context, action, number, count, comparisons),
    )


def _export(library: ctypes.CDLL, context: int) -> bytes:
    descriptor = os.memfd_create("seccomp")
    try:
        _check("write the program", library.seccomp_export_bpf(context, descriptor))
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
    finally:
        os.close(descriptor)


def _check(what: str, result: int) -> None:
    if result < 0:
        raise NotAvailable(
            "seccomp_missing", f"libseccomp could not {what}: {os.strerror(-result)}."
        )


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    except OSError as error:
        raise NotAvailable(
            "seccomp_missing", "libseccomp is not installed. Run `apt-get install libseccomp2`."
        ) from error
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_init.argtypes = [ctypes.c_uint32]
    library.seccomp_release.argtypes = [ctypes.c_void_p]
    library.seccomp_attr_set.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32]
    library.seccomp_arch_native.restype = ctypes.c_uint32
    library.seccomp_arch_add.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    library.seccomp_syscall_resolve_name.argtypes = [ctypes.c_char_p]
    library.seccomp_rule_add_array.argtypes = [
        ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int, ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    ]  # fmt: skip
    library.seccomp_export_bpf.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.seccomp_version.restype = ctypes.c_void_p
    return library

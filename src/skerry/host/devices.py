"""Which devices the processes of a control group may open, whatever nodes and mounts they have.

Root in a box cannot make device nodes, but a disk may come with some (an image that somebody made),
and it may take `nodev` off its own mounts. So the kernel asks a small program at each opening. It is
attached to a group of the v2 tree and needs no controller; nothing in a box can take it off.
"""

import ctypes
import errno
import functools
import os
import platform
import struct

from skerry.base import NotAvailable

# Character devices: null, zero, full, random, urandom; tty, ptmx; the terminals of devpts.
# Source: Documentation/admin-guide/devices.txt. Not 5:1, which is the console of the host.
_MEMORY_MAJOR, _MEMORY_MINORS = 1, (3, 5, 7, 8, 9)
_TERMINAL_MAJOR, _TERMINAL_MINORS = 5, (0, 2)
_PTS_MAJOR_FIRST, _PTS_MAJORS = 136, 8

# From linux/bpf.h.
_SYSTEM_CALL = {"x86_64": 321, "aarch64": 280}
_PROGRAM_LOAD, _PROGRAM_ATTACH = 5, 8
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE = 15, 6
_KIND_CHARACTER = 2
_ATTRIBUTE_BYTES = 128
_LOAD, _AND, _MOVE, _JUMP_EQUAL, _JUMP_NOT_EQUAL, _EXIT = 0x61, 0x57, 0xB7, 0x15, 0x55, 0x95
_CONTEXT, _KIND, _MAJOR, _MINOR, _ROUNDED, _ANSWER = 1, 2, 3, 4, 5, 0


class DeviceGuard:
    """The loaded program; one serves all groups."""

    def __init__(self) -> None:
        """Load it. Raises NotAvailable(devices_open) where the kernel cannot."""
        program = ctypes.create_string_buffer(device_program())
        license_name = ctypes.create_string_buffer(b"Apache-2.0")
        attributes = struct.pack(
            "=IIQQ",
            _TYPE_CGROUP_DEVICE,
            (len(program) - 1) // 8,
            ctypes.addressof(program),
            ctypes.addressof(license_name),
        )
        self._program = _bpf(_PROGRAM_LOAD, attributes)

    def attach(self, group: str) -> None:
        """Guard all in the group at that directory; again: the new program replaces the old.

        Raises NotAvailable(devices_open), FileNotFoundError where the group is gone.
        """
        directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            flags = 0  # one program per group, and none of their own for those inside
            attributes = struct.pack(
                "=IIII", directory, self._program, _ATTACH_CGROUP_DEVICE, flags
            )
            _bpf(_PROGRAM_ATTACH, attributes)
        finally:
            os.close(directory)

    def close(self) -> None:
        """Let go of the program; groups keep it."""
        os.close(self._program)


@functools.cache
def device_program() -> bytes:
    """Return the program: answers 1 for a device that may be opened, else 0.

    Its context is `struct bpf_cgroup_dev_ctx`: kind (low half) and access, major, minor.
    """
    allowed = [
        (_JUMP_NOT_EQUAL, _MAJOR, _MEMORY_MAJOR, "terminals"),
        *((_JUMP_EQUAL, _MINOR, minor, "allow") for minor in _MEMORY_MINORS),
        "terminals",
        (_JUMP_NOT_EQUAL, _MAJOR, _TERMINAL_MAJOR, "refuse"),
        *((_JUMP_EQUAL, _MINOR, minor, "allow") for minor in _TERMINAL_MINORS),
    ]
    return _assemble(
        [
            (_LOAD, _KIND, _CONTEXT, 0),
            (_AND, _KIND, 0, 0xFFFF),
            (_JUMP_NOT_EQUAL, _KIND, _KIND_CHARACTER, "refuse"),
            (_LOAD, _MAJOR, _CONTEXT, 4),
            (_LOAD, _MINOR, _CONTEXT, 8),
            (_LOAD, _ROUNDED, _CONTEXT, 4),
            (_AND, _ROUNDED, 0, -_PTS_MAJORS),
            (_JUMP_EQUAL, _ROUNDED, _PTS_MAJOR_FIRST, "allow"),
            *allowed,
            "refuse",
            (_MOVE, _ANSWER, 0, 0),
            (_EXIT, 0, 0, 0),
            "allow",
            (_MOVE, _ANSWER, 0, 1),
            (_EXIT, 0, 0, 0),
        ]
    )


_Line = str | tuple[int, int, int, int | str]


def _assemble(lines: list[_Line]) -> bytes:
    """Return lines as bytes. A text marks a place.

    A tuple is a load (register, from register, offset), a jump (register, number, place) or
    another operation (register, 0, number).
    """
    places = dict[str, int]()
    instructions = list[tuple[int, int, int, int | str]]()
    for line in lines:
        if isinstance(line, str):
            places[line] = len(instructions)
        else:
            instructions.append(line)
    code = bytearray()
    for index, (operation, register, second, third) in enumerate(instructions):
        if isinstance(third, str):
            code += struct.pack("=BBhi", operation, register, places[third] - index - 1, second)
        elif operation == _LOAD:
            code += struct.pack("=BBhi", operation, register | second << 4, third, 0)
        else:
            code += struct.pack("=BBhi", operation, register, 0, third)
    return bytes(code)


def _bpf(command: int, attributes: bytes) -> int:
    number = _SYSTEM_CALL.get(platform.machine())
    if number is None:
        raise NotAvailable("devices_open", f"Boxes do not run on {platform.machine()} yet.")
    # What follows what we fill in must be zero: it means the default.
    buffer = ctypes.create_string_buffer(attributes, _ATTRIBUTE_BYTES)
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(
        ctypes.c_long(number), ctypes.c_int(command), buffer, ctypes.c_uint(_ATTRIBUTE_BYTES)
    )
    if result < 0:
        error = ctypes.get_errno()
        if error == errno.ENOENT:
            raise FileNotFoundError(error, os.strerror(error))
        raise NotAvailable(
            "devices_open",
            f"The kernel takes no rules for devices ({os.strerror(error)}). Boxes need one with "
            "CONFIG_CGROUP_BPF, and root.",
        )
    return result

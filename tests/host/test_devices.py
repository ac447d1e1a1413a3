"""The program that says which devices a box may open; that it holds is in `test_containers`."""

import struct

import pytest

from skerry.host.devices import device_program

CHARACTER, BLOCK = 2, 1
READ = 2


def answer(kind: int, major: int, minor: int) -> int:
    """Run the program as the kernel would."""
    context = {0: READ << 16 | kind, 4: major, 8: minor}
    registers = [0] * 6
    code = list(struct.iter_unpack("=BBhi", device_program()))
    place = 0
    while True:
        operation, register, offset, number = code[place]
        place += 1
        target = register & 15
        match operation:
            case 0x61:
                registers[target] = context[offset]
            case 0x57:
                registers[target] &= number & 0xFFFFFFFF
            case 0xB7:
                registers[target] = number
            case 0x15:
                place += offset if registers[target] == number else 0
            case 0x55:
                place += offset if registers[target] != number else 0
            case _:
                return registers[0]


@pytest.mark.parametrize(
    ("major", "minors"), [(1, (3, 5, 7, 8, 9)), (5, (0, 2)), (136, (0, 900)), (143, (1,))]
)
def test_what_a_box_needs_opens(major: int, minors: tuple[int, ...]):
    assert all(answer(CHARACTER, major, minor) == 1 for minor in minors)


@pytest.mark.parametrize(
    ("kind", "major", "minor"),
    [
        (CHARACTER, 1, 1),  # memory
        (CHARACTER, 1, 11),  # the kernel's log
        (CHARACTER, 5, 1),  # the host's console
        (CHARACTER, 10, 200),
        (CHARACTER, 135, 0),
        (CHARACTER, 144, 0),
        (BLOCK, 1, 3),
        (BLOCK, 136, 0),
        (BLOCK, 8, 0),
    ],
)
def test_nothing_else_opens(kind: int, major: int, minor: int):
    assert answer(kind, major, minor) == 0

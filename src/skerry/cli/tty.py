"""The terminal this process runs on: its size, its raw mode, what programs ask about it."""

import contextlib
import os
import termios
import tty
from collections.abc import Generator

# What programs in a box should know of the terminal that they are shown on.
_TOLD = ("TERM", "COLORTERM", "LANG", "LC_ALL")
_DEFAULT_SIZE = (24, 80)
# What a full-screen program may have switched on, and nobody else will switch off when it is left
# running: the other screen, a hidden cursor, mouse reports, marked pastes, function keys, colours.
_RESET = b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1l\x1b>\x1b[m"


def size(descriptor: int) -> tuple[int, int]:
    """Return rows and columns; 24 and 80 where there is no terminal."""
    try:
        found = os.get_terminal_size(descriptor)
    except OSError:
        return _DEFAULT_SIZE
    if found.lines < 1 or found.columns < 1:  # a terminal that nobody gave a size
        return _DEFAULT_SIZE
    return found.lines, found.columns


def environment() -> dict[str, str]:
    """Return the variables that tell programs about the terminal."""
    own = os.environ  # noqa: TID251 - these belong to the terminal, not to Skerry's settings
    return {name: own[name] for name in _TOLD if own.get(name)}


def reset(descriptor: int) -> None:
    """Undo what a program that goes on elsewhere did to this terminal."""
    if os.isatty(descriptor):
        with contextlib.suppress(OSError):  # it may be gone
            os.write(descriptor, _RESET)


@contextlib.contextmanager
def raw(descriptor: int) -> Generator[None]:
    """Have every key reach the block as it is; however the block ends, put all back."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor, termios.TCSADRAIN)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

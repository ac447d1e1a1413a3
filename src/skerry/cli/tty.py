"""The terminal this process runs on: its size, its raw mode, what programs ask about it."""

import contextlib
import os
import termios
import tty
from collections.abc import Generator

# What programs in a box should know of the terminal that they are shown on.
_TOLD = ("TERM", "COLORTERM", "LANG", "LC_ALL")
_DEFAULT_SIZE = (24, 80)


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

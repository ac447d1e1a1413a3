"""Imports msgspec in two thirds of the time, for the command line, which does little else.

msgspec asks for typing_extensions, whose import alone takes about as long as half of msgspec, and
takes `typing` where it is absent; on every Python that Skerry runs on the two say the same. So it
is absent for the length of one import. Not for the daemon, where the time does not matter.
"""

import importlib
import sys


def import_msgspec() -> None:
    """Import msgspec, so that who imports it later finds it there."""
    if "msgspec" in sys.modules or "typing_extensions" in sys.modules:
        return
    sys.modules["typing_extensions"] = None  # pyright: ignore[reportArgumentType] - marks absence
    try:
        importlib.import_module("msgspec")
    finally:
        del sys.modules["typing_extensions"]

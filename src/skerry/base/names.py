"""What users may call things. A name that passes here is safe as a host name and a file name."""

import re

from skerry.base.errors import Invalid

_BOX = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_CHECKPOINT = re.compile(r"(v|auto-)[1-9][0-9]{0,8}")

LOGIN_NAME = "login"
"""Where a box's web address has its name, the login page has this."""
_PORT_OF_BOX = re.compile(r".*--[0-9]+")

_FIRST = (
    "amber",
    "brisk",
    "calm",
    "dusky",
    "early",
    "fair",
    "green",
    "hardy",
    "icy",
    "keen",
    "lunar",
    "misty",
    "north",
    "open",
    "pale",
    "quiet",
    "rocky",
    "salty",
    "tidal",
    "windy",
)
_SECOND = (
    "auk",
    "bay",
    "cliff",
    "dune",
    "eider",
    "fjord",
    "gull",
    "heron",
    "isle",
    "kelp",
    "limpet",
    "moor",
    "otter",
    "puffin",
    "reef",
    "seal",
    "tern",
    "voe",
    "wave",
    "wrack",
)


def box_name(text: str) -> str:
    """Return text if it is a box's name: 1 to 63 of a-z, 0-9 and `-`, not first or last.

    What has another meaning in web addresses is none: `login`, and names such as `web--3000`.
    Raises Invalid(bad_name).
    """
    if _BOX.fullmatch(text) is None:
        raise Invalid(
            "bad_name",
            f"{_shown(text)} is no name for a box. Use 1 to 63 of a-z, 0-9 and '-', "
            "not beginning or ending with '-'.",
        )
    if text == LOGIN_NAME or _PORT_OF_BOX.fullmatch(text) is not None:
        raise Invalid(
            "bad_name",
            f"{_shown(text)} has another meaning in web addresses: that of the login page, or of a "
            "box's port. Choose another name.",
        )
    return text


def image_name(text: str) -> str:
    """Return text if it is an image's name: 1 to 64 of a-z, 0-9, `.`, `_` and `-`.

    Raises Invalid(bad_name).
    """
    if _IMAGE.fullmatch(text) is None or ".." in text:
        raise Invalid(
            "bad_name",
            f"{_shown(text)} is no name for an image. Use 1 to 64 of a-z, 0-9, '.', '_' and '-', "
            "beginning and ending with a letter or digit.",
        )
    return text


def checkpoint_name(text: str) -> str:
    """Return text if it is a checkpoint's name: `v3`, or `auto-3` for an automatic one.

    Raises Invalid(bad_name).
    """
    if _CHECKPOINT.fullmatch(text) is None:
        raise Invalid(
            "bad_name", f"{_shown(text)} is no checkpoint. They are named v1, v2, auto-3."
        )
    return text


def random_box_name(entropy: bytes) -> str:
    """Return a name a person can say, such as `misty-auk-4821`, from 4 bytes of entropy."""
    number = int.from_bytes(entropy[:4], "big")
    number, first = divmod(number, len(_FIRST))
    number, second = divmod(number, len(_SECOND))
    return f"{_FIRST[first]}-{_SECOND[second]}-{number % 10_000}"


def _shown(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "...")

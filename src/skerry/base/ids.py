"""Prefixed ids such as `box_3k9x...`: opaque, sortable by nothing, safe in file names and URLs."""

import re

# Crockford's base 32, lower case: no i, l, o, u, so that an id can be read aloud.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_LENGTH = 16  # 80 bits: no two alike by chance

ID_PATTERN = re.compile(r"[a-z]{2,6}_[0-9a-hjkmnp-tv-z]{16}")


def new_id(prefix: str, entropy: bytes) -> str:
    """Return `prefix_` and 16 characters made of the first 80 bits of entropy."""
    assert len(entropy) * 8 >= _LENGTH * 5, "an id needs 10 bytes of entropy"
    number = int.from_bytes(entropy[:10], "big")
    digits = ""
    for _ in range(_LENGTH):
        number, digit = divmod(number, 32)
        digits += _ALPHABET[digit]
    return f"{prefix}_{digits}"

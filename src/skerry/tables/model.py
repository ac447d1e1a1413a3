"""What namespaces, tables and views are, which names they may have, and where their files lie. Pure.

A *warehouse* is a bucket. What a table is at a moment says a *metadata file*, an object in it that
never changes; the catalogue keeps which one counts: the *pointer*.
"""

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from msgspec import Struct

from skerry.base import Invalid, TooLarge

Levels: TypeAlias = tuple[str, ...]
"""A namespace: its name, after those that it lies in."""

Kind: TypeAlias = Literal["table", "view"]

LEVELS_MAX = 16
NAME_BYTES_MAX = 255
NAMESPACES_MAX = 10_000  # of a warehouse: a listing of all is one answer of about a megabyte
ENTRIES_MAX = 100_000
PROPERTIES_MAX, PROPERTIES_BYTES_MAX = 256, 64 << 10  # of a namespace
UPDATES_MAX = 2_000  # of a table at once; what each costs grows with their number
CHANGES_MAX = 100  # tables of one transaction
METADATA_BYTES_MAX = 16 << 20  # of about 20,000 snapshots
PAGE_MAX = 1_000

_SEPARATOR = "\x1f"  # of the levels of a namespace, as in the URLs of the protocol
_LOCATION = re.compile(r"[A-Za-z0-9 !'(),./:=@_+-]{1,512}")
_METADATA_NUMBER = re.compile(r"(?:.*/)?v?([0-9]{1,9})[^/]*\.metadata\.json")
_SLUG_CHARACTERS_MAX = 60
_PLACE_LEVELS_MAX = 4  # so that the location of any table may be one


class Identifier(NamedTuple):
    """What a table or view is called, and in which namespace."""

    namespace: Levels
    name: str

    def __str__(self) -> str:
        """Return it as people write it."""
        return ".".join((*self.namespace, self.name))


class Entry(Struct, frozen=True, kw_only=True):
    """A table or view. bucket: the number of its warehouse. location: the key that its files begin with.

    metadata_key: of the metadata file that counts.
    """

    bucket: int
    identifier: Identifier
    kind: Kind
    uuid: str
    location: str
    metadata_key: str


class Purge(Struct, frozen=True, kw_only=True):
    """The files of a table that is gone, which are to go too."""

    number: int
    bucket: int
    location: str
    metadata_key: str


def namespace(levels: Levels) -> Levels:
    """Return levels if they may name a namespace. Raises Invalid(bad_namespace)."""
    if not 1 <= len(levels) <= LEVELS_MAX:
        raise Invalid("bad_namespace", f"A namespace has 1 to {LEVELS_MAX} levels.")
    for level in levels:
        name(level)
    return levels


def name(text: str) -> str:
    """Return text if it may name a level, table or view. Raises Invalid(bad_name)."""
    is_short = 0 < len(text.encode("utf-8", "surrogatepass")) <= NAME_BYTES_MAX
    if not is_short or any(each < " " or "\ud800" <= each <= "\udfff" for each in text):
        raise Invalid(
            "bad_name",
            f"A name has 1 to {NAME_BYTES_MAX} bytes of UTF-8, without control characters.",
        )
    return text


def joined(levels: Levels) -> str:
    """Return a namespace as one text; `split` is the way back."""
    return _SEPARATOR.join(levels)


def split(text: str) -> Levels:
    """Return the levels of a namespace that is one text."""
    return tuple(text.split(_SEPARATOR)) if text else ()


def properties(said: Mapping[str, str]) -> Mapping[str, str]:
    """Return the properties of a namespace if they are not too many. Raises TooLarge."""
    size = sum(len(key) + len(value) for key, value in said.items())
    if len(said) > PROPERTIES_MAX or size > PROPERTIES_BYTES_MAX:
        raise TooLarge(
            "too_many_properties",
            f"A namespace has at most {PROPERTIES_MAX} properties, of {PROPERTIES_BYTES_MAX} bytes "
            "in all.",
        )
    return said


def key_of(url: str, bucket: str) -> str:
    """Return the key that a URL of a warehouse's bucket names, without a slash at its end.

    Raises Invalid(bad_location).
    """
    begin = f"s3://{bucket}/"
    key = url.removeprefix(begin).rstrip("/")
    steps = key.split("/")
    is_plain = _LOCATION.fullmatch(key) is not None and not {"", ".", ".."} & set(steps)
    if not url.startswith(begin) or not is_plain:
        raise Invalid(
            "bad_location",
            f"A location is below {begin}, of letters, digits and _ - . = + : @ ( ) ' , ! only.",
        )
    return key


def url_of(bucket: str, key: str) -> str:
    """Return the URL of a key."""
    return f"s3://{bucket}/{key}"


def new_location(identifier: Identifier, entropy: bytes) -> str:
    """Return the key for the files of a new table or view: readable, and of no other ever."""
    return f"{place_of(identifier.namespace)}/{_slug(identifier.name)}-{entropy.hex()}"


def place_of(levels: Levels) -> str:
    """Return the key below which the files of a namespace's tables lie, if nobody says otherwise."""
    return "/".join(_slug(level) for level in levels[:_PLACE_LEVELS_MAX])


def new_metadata_key(location: str, before: str, entropy: bytes) -> str:
    """Return the key for the metadata file that follows another. before: empty if there is none."""
    match = _METADATA_NUMBER.fullmatch(before)
    number = int(match[1]) + 1 if match else 0
    return f"{location}/metadata/{number:05}-{entropy.hex()}.metadata.json"


def is_within(key: str, location: str) -> bool:
    """Tell whether a key is one of a location's."""
    return key.startswith(f"{location}/")


def above(location: str) -> list[str]:
    """Return the locations that a location lies in."""
    steps = location.split("/")
    return ["/".join(steps[:count]) for count in range(1, len(steps))]


def new_uuid(entropy: bytes) -> str:
    """Return a UUID of version 4. entropy: 16 bytes."""
    digits = bytearray(entropy)
    digits[6] = digits[6] & 0x0F | 0x40
    digits[8] = digits[8] & 0x3F | 0x80
    text = digits.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)[:_SLUG_CHARACTERS_MAX]

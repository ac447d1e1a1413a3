"""The keys of a store, which wrap those of its versions. Where they are kept is not known here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Masters:
    """The keys, by their ids. current: the id of the one that wraps from now on."""

    current: str
    keys: Mapping[str, bytes] = field(repr=False)

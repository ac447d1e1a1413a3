"""What was refused to a box: a bounded list in which repeats are counted, not listed. Pure.

Nothing of it is kept across a restart of the daemon. Who refuses, this file does not know.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

ENTRIES_MAX = 1000

RefusalKind: TypeAlias = Literal["name", "answer", "packet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Something that a box was refused, and how often.

    kind: name (it was not told the addresses of a name), answer (the name leads to an address that
    is closed), packet (it sent to an address). rule: the place of the rule, None if none names it;
    rule_text says why in words. port: None where the protocol has none. Times are nanoseconds
    since 1970, of the first time and the last.
    """

    kind: RefusalKind
    name: str | None = None
    address: str | None = None
    protocol: str | None = None
    port: int | None = None
    rule: int | None = None
    rule_text: str = ""
    count: int = 1
    first_at_ns: int = 0
    last_at_ns: int = 0


class RefusalLog:
    """The last refusals of one box, at most ENTRIES_MAX, by when each happened last."""

    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._entries: OrderedDict[tuple[object, ...], Refusal] = OrderedDict()

    def note(self, refusal: Refusal, at_ns: int) -> None:
        """Add a refusal that happened at at_ns, in a time that does not depend on how many are there."""
        key = (refusal.kind, refusal.name, refusal.address, refusal.protocol, refusal.port)
        former = self._entries.pop(key, None)
        self._entries[key] = replace(
            refusal,
            count=1 if former is None else former.count + 1,
            first_at_ns=at_ns if former is None else former.first_at_ns,
            last_at_ns=at_ns,
        )
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def since(self, at_ns: int) -> Sequence[Refusal]:
        """Return what happened after at_ns, the oldest first."""
        return [found for found in self._entries.values() if found.last_at_ns > at_ns]

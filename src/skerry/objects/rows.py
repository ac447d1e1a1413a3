"""What the index keeps of the log: where records lie, what they say, and what follows from many."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from skerry.objects.model import Part, Version
from skerry.objects.notices import Subscription
from skerry.objects.records import HEAD_BYTES, Record, framed_size, hear
from skerry.objects.rules import Rule


class Place(NamedTuple):
    """Where a record lies: in which segment, and at which byte of it."""

    segment: int
    offset: int


class Row(NamedTuple):
    """What the index has of a version or part: where its record lies and what that says."""

    place: Place
    said: bytes
    data_size: int

    @property
    def data_offset(self) -> int:
        """Where the record's data begins in its segment."""
        return self.place.offset + HEAD_BYTES + len(self.said)

    @property
    def version(self) -> Version:
        """The version that is told."""
        return hear(self.said, Version)

    @property
    def part(self) -> Part:
        """The part that is told."""
        return hear(self.said, Part)


class Applied(NamedTuple):
    """A record that lies in the log."""

    place: Place
    record: Record
    said: bytes
    data_size: int


@dataclass(slots=True)
class Changes:
    """What follows from records beside rows, summed up for a whole transaction.

    dead: bytes of records that count no more, by segment. freed: files that nothing names any more.
    part_bytes: of uploads under way. sequence, bucket: the highest numbers that were given out.
    rules, subscriptions: in force, by bucket, once they were asked for. tells: whoever wants to know
    is told; has_notices: somebody is.
    """

    dead: Counter[int] = field(default_factory=Counter[int])
    objects: Counter[int] = field(default_factory=Counter[int])
    bytes: Counter[int] = field(default_factory=Counter[int])
    part_bytes: Counter[int] = field(default_factory=Counter[int])
    freed: list[str] = field(default_factory=list[str])
    sequence: int = 0
    bucket: int = 0
    rules: dict[int, Sequence[Rule]] = field(default_factory=dict[int, "Sequence[Rule]"])
    subscriptions: dict[int, Sequence[Subscription]] = field(
        default_factory=dict[int, "Sequence[Subscription]"]
    )
    tells: bool = True
    has_notices: bool = False

    def died(self, row: Row) -> None:
        """Count a record that counts no more."""
        self.dead[row.place.segment] += framed_size(len(row.said), row.data_size)

    def forget(self, bucket: int) -> None:
        """Have nothing to write of a bucket that is gone."""
        for each in (self.objects, self.bytes, self.part_bytes):
            each.pop(bucket, None)

"""What of a bucket goes in a clean: hidden versions, and markers that hide nothing. Pure.

A version that is current never goes, and a marker that is current goes only after all that it
hides has gone: otherwise what was deleted would be there again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of an object, or a marker that hides those before it, as a listing tells it.

    can_go: False for one whose id may come to mean another version before it is deleted.
    """

    key: str
    version_id: str
    is_latest: bool
    is_marker: bool
    size_bytes: int
    modified_at_ns: int
    can_go: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An upload that was begun and not finished."""

    key: str
    upload_id: str
    began_at_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What may go. keep: so many hidden versions of each object stay, the newest.

    hidden_before_ns: what was hidden then or later stays, None for nothing. began_before_ns: the
    same for the beginning of uploads.
    """

    keep: int = 0
    hidden_before_ns: int | None = None
    began_before_ns: int | None = None


class Planner:
    """Told of versions by key, the newest of each first, it says which go. Remembers one key.

    A key that comes twice, as it may if a listing is out of order, loses less, never more.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._newer: Version | None = None
        self._marker: Version | None = None
        self._kept = 0

    def take(self, version: Version) -> Iterator[Version]:
        """Yield what goes, now that version is known: itself, or the marker of the key before."""
        newer, self._newer = self._newer, version
        if newer is None or newer.key != version.key:
            yield from self.end()
            # The first one is current, whatever the listing says: one that is newer may have come
            # while it was listed.
            self._newer, self._kept = version, 0
            self._marker = version if self._is_marker_to_go(version) else None
        elif self._is_to_go(version, newer):
            yield version
        else:
            self._marker = None  # it hides something

    def end(self) -> Iterator[Version]:
        """Yield what goes now that no more versions come."""
        if self._marker is not None:
            yield self._marker
        self._newer = self._marker = None

    def _is_marker_to_go(self, first: Version) -> bool:
        if not (first.is_latest and first.is_marker and first.can_go):
            return False
        return _is_before(first.modified_at_ns, self._rules.hidden_before_ns)

    def _is_to_go(self, version: Version, newer: Version) -> bool:
        if version.is_latest or not version.can_go:
            return False
        if not version.is_marker and self._kept < self._rules.keep:
            self._kept += 1
            return False
        # It was hidden when the one that is newer came.
        return _is_before(newer.modified_at_ns, self._rules.hidden_before_ns)


def plan(listed: Iterable[Version], rules: Rules) -> Iterator[Version]:
    """Yield what goes, of versions that come by key, the newest of each first.

    The current marker of a key comes after all of its versions, and only if they all go.
    """
    planner = Planner(rules)
    for version in listed:
        yield from planner.take(version)
    yield from planner.end()


def goes(upload: Upload, rules: Rules) -> bool:
    """Tell whether an unfinished upload goes."""
    return _is_before(upload.began_at_ns, rules.began_before_ns)


def _is_before(moment_ns: int, limit_ns: int | None) -> bool:
    return limit_ns is None or moment_ns < limit_ns

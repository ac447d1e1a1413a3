"""Listings: keys in order, what they have in common up to a delimiter told once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from skerry.objects import store
from skerry.objects.model import sequence_of

if TYPE_CHECKING:
    from skerry.objects.context import Objects
    from skerry.objects.model import Bucket, Upload, Version


@dataclass(slots=True)
class Page:
    """A part of a listing. next: what the following page begins after, None at the end."""

    versions: list[Version] = field(default_factory=list["Version"])
    prefixes: list[str] = field(default_factory=list[str])
    next: str | None = None


def page(
    objects: Objects, bucket: Bucket, *, prefix: str, delimiter: str, after: str, limit: int
) -> Page:
    """Return objects and common prefixes, together at most `limit`, of those after a key or prefix.

    A common prefix that is given as `after` is passed over whole.
    """
    found = Page()
    if limit == 0:
        return found
    at, end = _behind(after, prefix, delimiter), _following(prefix.encode())
    if at is None:
        return found
    count, last = 0, ""
    while True:
        rows = store.objects_from(objects.reader, bucket.number, at, end, limit - count + 1)
        for version in rows:
            if count == limit:
                found.next = last
                return found
            count += 1
            common = _common(version.key, prefix, delimiter)
            if common is not None:
                found.prefixes.append(common)
                last = common
                break
            found.versions.append(version)
            last = version.key
        else:
            return found
        following = _following(last.encode())
        if following is None:
            return found
        at = following


@dataclass(slots=True)
class VersionPage:
    """A part of a listing of versions, each with whether it is current. next: key and version id."""

    versions: list[tuple[Version, bool]] = field(default_factory=list[tuple["Version", bool]])
    prefixes: list[str] = field(default_factory=list[str])
    next: tuple[str, str] | None = None


def version_page(
    objects: Objects,
    bucket: Bucket,
    *,
    prefix: str,
    delimiter: str,
    after: tuple[str, str],
    limit: int,
) -> VersionPage:
    """Return versions and markers, of each key the newest first, and common prefixes.

    after: a key and one of its versions; without that, all of the key are passed over.
    """
    found = VersionPage()
    if limit == 0:
        return found
    key, version_id = after
    passed = sequence_of_row(objects, bucket, key, version_id) if version_id else None
    at, end = _behind(key, prefix, delimiter), _following(prefix.encode())
    if passed is not None:
        at = max(prefix.encode(), key.encode())
    if at is None:
        return found
    last = after
    while True:
        for version, is_current in store.versions_from(objects.reader, bucket.number, at, end):
            if passed is not None and version.key == key and version.sequence >= passed:
                continue
            if len(found.versions) + len(found.prefixes) == limit:
                found.next = last
                return found
            common = _common(version.key, prefix, delimiter)
            if common is not None:
                found.prefixes.append(common)
                last = (common, "")
                break
            found.versions.append((version, is_current))
            last = (version.key, version.version_id)
        else:
            return found
        following = _following(found.prefixes[-1].encode())
        if following is None:
            return found
        at = following


@dataclass(slots=True)
class UploadPage:
    """A part of a listing of uploads under way. next: key and id."""

    uploads: list[Upload] = field(default_factory=list["Upload"])
    prefixes: list[str] = field(default_factory=list[str])
    next: tuple[str, str] | None = None


def upload_page(
    objects: Objects,
    bucket: Bucket,
    *,
    prefix: str,
    delimiter: str,
    after: tuple[str, str],
    limit: int,
) -> UploadPage:
    """Return uploads under way, by key and id, and common prefixes, after a key and an id of it.

    Without an id, all of that key are passed over, and a common prefix is passed over whole.
    """
    found = UploadPage()
    key, upload_id = after
    behind, end = _behind(key, prefix, delimiter), _following(prefix.encode())
    if limit == 0 or behind is None:
        return found
    at = (behind, "") if not key or not upload_id else (key.encode(), upload_id)
    at = max(at, (prefix.encode(), ""))
    last = after
    while True:
        left = limit - len(found.uploads) - len(found.prefixes)
        for upload in store.uploads_from(objects.reader, bucket.number, at, end, left + 1):
            if left == 0:
                found.next = last
                return found
            left -= 1
            common = _common(upload.key, prefix, delimiter)
            if common is not None:
                found.prefixes.append(common)
                last = (common, "")
                break
            found.uploads.append(upload)
            last = (upload.key, upload.upload_id)
        else:
            return found
        following = _following(found.prefixes[-1].encode())
        if following is None:
            return found
        at = (following, "")


def sequence_of_row(objects: Objects, bucket: Bucket, key: str, version_id: str) -> int | None:
    """Return the place of a version in the order of writes, also of one that is gone by now."""
    row = store.version(objects.reader, bucket.number, key, version_id)
    if row is not None:
        return row.version.sequence
    return sequence_of(version_id) or None


def _behind(after: str, prefix: str, delimiter: str) -> bytes | None:
    """Return where a listing goes on after a key or common prefix, None if nothing can follow."""
    if not after:
        return prefix.encode()
    if after.startswith(prefix) and _common(after, prefix, delimiter) == after:
        following = _following(after.encode())
        return None if following is None else max(prefix.encode(), following)
    return max(prefix.encode(), after.encode() + b"\0")


def _common(key: str, prefix: str, delimiter: str) -> str | None:
    """Return what is told once for a key, None if the key itself is told."""
    if not delimiter:
        return None
    at = key.find(delimiter, len(prefix))
    return None if at < 0 else key[: at + len(delimiter)]


def _following(prefix: bytes) -> bytes | None:
    """Return the lowest bytes above all that begin with prefix, None if there are none."""
    while prefix:
        if prefix[-1] < 0xFF:
            return prefix[:-1] + bytes((prefix[-1] + 1,))
        prefix = prefix[:-1]
    return None

"""The parts of a container image, where they lie: files of a directory, or members of one archive.

Old `docker save` archives have symbolic links between their members, in place of layers that are
there twice; those are followed inside the image. What the parts mean, this file does not know.
"""

import os
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from skerry.base import Invalid
from skerry.host import rooted
from skerry.host.image_blob import Blob, Budget, opened, whole_file
from skerry.host.image_tar import members
from skerry.host.image_tree import normalized

_LINKS_MAX = 40  # as many as Linux follows
_PEEK_BYTES = 16 * 1024 * 1024  # room for the first member's headers, with what is read ahead


@dataclass(frozen=True, slots=True)
class _Listing:
    """Where the files of an archive lie, and where its links lead."""

    files: dict[str, Blob] = field(default_factory=dict[str, Blob])
    links: dict[str, str] = field(default_factory=dict[str, str])


def first_name(blob: Blob) -> str:
    """Return the name of the first thing in an archive, but its root; "" for an empty one.

    Raises Invalid(bad_image), NotAvailable(command_missing).
    """
    budget = Budget(_PEEK_BYTES, 1, lambda _: None)
    with opened(blob, budget) as stream:
        for member in members(stream):
            if name := normalized(member.name):
                return name
    return ""


def directory_parts(directory: int) -> Callable[[str], AbstractContextManager[Blob | None]]:
    """Return what opens the parts of an image that lies in an open directory."""

    @contextmanager
    def open_part(part: str) -> Generator[Blob | None]:
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
        try:
            descriptor = rooted.open_within(directory, "/" + part, flags)
        except (FileNotFoundError, NotADirectoryError):
            yield None
            return
        except (OSError, ValueError) as error:
            raise Invalid("bad_image", f"{part[:100]!r} cannot be read: {error}.") from error
        with rooted.held(descriptor):
            yield whole_file(descriptor)

    return open_part


def archive_parts(
    archive: Blob, members_max: int
) -> Callable[[str], AbstractContextManager[Blob | None]]:
    """Return what opens the parts of an image that lies in an uncompressed archive.

    Raises Invalid(bad_image), TooLarge(image_too_large).
    """
    listing = _list(archive, members_max)

    @contextmanager
    def open_part(part: str) -> Generator[Blob | None]:
        path = normalized(part)
        for _ in range(_LINKS_MAX):
            if path not in listing.links:
                break
            path = listing.links[path]
        yield listing.files.get(path)

    return open_part


def _list(archive: Blob, members_max: int) -> _Listing:
    listing = _Listing()
    # Two megabytes more than the archive has: nothing is decompressed, so nothing can grow.
    budget = Budget(archive.size + 2 * 1024 * 1024, members_max, lambda _: None)
    with opened(archive, budget) as stream:
        for member in members(stream):
            budget.take_member()
            path = normalized(member.name)
            if member.issym():
                beside = os.path.join(os.path.dirname(path), member.linkname)
                listing.links[path] = os.path.normpath("/" + beside).lstrip("/")
            elif member.islnk():
                listing.links[path] = normalized(member.linkname)
            elif member.isreg() and member.sparse is None:
                offset = archive.offset + member.offset_data
                listing.files[path] = Blob(archive.descriptor, offset, member.size)
    return listing

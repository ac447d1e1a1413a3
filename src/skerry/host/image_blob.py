"""The bytes that an image comes from: parts of files, decompressed as they are read, within limits.

A *blob* is a run of bytes in an open file: a whole file, or a member of an archive. Decompression
is left to the programs of the host, in processes of their own: they are fast, hostile data meets no
parser in this one, and what they take of memory is bounded. What is in a blob, this file does not
know.
"""

import hashlib
import io
import os
import re
import stat
import subprocess
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from skerry.base import Invalid, NotAvailable, TooLarge, format_size
from skerry.host.process import SYSTEM_PATH, find

if TYPE_CHECKING:
    from typing_extensions import Buffer

Progress: TypeAlias = Callable[[str], None]

_CHUNK_BYTES = 1024 * 1024
_PROGRESS_BYTES = 64 * 1024 * 1024  # how much is unpacked between two lines of progress
_MAGIC_BYTES = 6

# What a file begins with, and the command that decompresses it. 256 MiB holds the window of
# anything that `xz -9` or `zstd -19` make; more is asked for only by who wants to exhaust a host.
_DECOMPRESSORS: tuple[tuple[bytes, Sequence[str]], ...] = (
    (b"\x1f\x8b", ("gzip", "-dc")),
    (b"BZh", ("bzip2", "-dc")),
    (b"\xfd7zXZ\x00", ("xz", "-dc", "--memlimit-decompress=256MiB")),
    (b"\x28\xb5\x2f\xfd", ("zstd", "-dcq", "--memory=256MB")),
)

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(slots=True)
class Budget:
    """What an import may still take: bytes after decompression, and things in the tree."""

    bytes_max: int
    members_max: int
    progress: Progress
    bytes_taken: int = 0
    members_taken: int = 0

    def take_bytes(self, count: int) -> None:
        """Count bytes that were read. Raises TooLarge(image_too_large)."""
        before, self.bytes_taken = self.bytes_taken, self.bytes_taken + count
        if self.bytes_taken > self.bytes_max:
            raise TooLarge(
                "image_too_large",
                f"The image unpacks to more than {format_size(self.bytes_max)}. "
                "Leave out of it what boxes do not need.",
                {"bytes_max": self.bytes_max},
            )
        if before // _PROGRESS_BYTES != self.bytes_taken // _PROGRESS_BYTES:
            self.progress(f"{format_size(self.bytes_taken)} in {self.members_taken} files")

    def take_member(self) -> None:
        """Count one file, directory or link. Raises TooLarge(image_too_large)."""
        self.members_taken += 1
        if self.members_taken > self.members_max:
            raise TooLarge(
                "image_too_large",
                f"The image holds more than {self.members_max} files. "
                "Leave out of it what boxes do not need.",
                {"members_max": self.members_max},
            )


@dataclass(frozen=True, slots=True)
class Blob:
    """size bytes of an open file, from offset on. Whoever opened the descriptor closes it."""

    descriptor: int
    offset: int
    size: int

    def read(self, size_max: int) -> bytes:
        """Return all of it, for blobs that are small. Raises Invalid(bad_image) beyond size_max."""
        if self.size > size_max:
            raise Invalid(
                "bad_image",
                f"A description in the image is {format_size(self.size)} long, which is no "
                "description. Make the archive anew.",
            )
        data = bytearray()
        while part := os.pread(self.descriptor, self.size - len(data), self.offset + len(data)):
            data += part
        return bytes(data)


def whole_file(descriptor: int) -> Blob:
    """Return an open file as one blob. Raises Invalid(bad_image) where it is no regular file."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Invalid("bad_image", "An image comes from a regular file or a directory.")
    return Blob(descriptor, 0, status.st_size)


def is_compressed(blob: Blob) -> bool:
    """Tell whether blob begins as one of the compressions that can be undone here."""
    return _decompressor(blob) is not None


def check_digest(blob: Blob, digest: str) -> None:
    """Compare blob with its digest. Raises Invalid(bad_image) where they differ."""
    expected = digest_hex(digest)
    sha256, position = hashlib.sha256(), 0
    while position < blob.size:
        wanted = min(_CHUNK_BYTES, blob.size - position)
        data = os.pread(blob.descriptor, wanted, blob.offset + position)
        if not data:
            break
        sha256.update(data)
        position += len(data)
    if sha256.hexdigest() != expected:
        raise Invalid(
            "bad_image",
            f"A part of the image does not match its digest {digest}: it is damaged. Fetch the "
            "image again.",
        )


def digest_hex(digest: str) -> str:
    """Return the hexadecimal part of a digest. Raises Invalid(bad_image) if it is no sha256."""
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise Invalid(
            "bad_image", f"{digest[:100]!r} is no sha256 digest, the only kind known here."
        )
    return match[1]


class Stream:
    """The bytes of a blob after decompression, read once from the beginning to the end."""

    def __init__(self, source: "_Counted", check_end: Callable[[], None]) -> None:
        self._source = source
        self._buffer = io.BufferedReader(source, _CHUNK_BYTES)
        self._check_end = check_end
        self.position = 0

    def read(self, size: int) -> bytes:
        """Return size bytes, fewer only at the end. Raises TooLarge(image_too_large)."""
        data = self._buffer.read(size)
        self.position += len(data)
        return data

    def skip_to(self, position: int) -> None:
        """Go on to position, or to the end if that comes first.

        Raises Invalid(bad_image) for a position that was passed: a hostile archive's.
        """
        if position < self.position:
            raise Invalid("bad_image", "The archive's members overlap: it is damaged.")
        while self.position < position:
            if not self.read(min(_CHUNK_BYTES, position - self.position)):
                return

    def finish(self) -> str:
        """Read what is left, and return the digest of all that there was.

        What comes after the last thing that mattered is read too, so that a blob which is cut off
        or damaged is refused though all that mattered of it was there. Raises Invalid(bad_image).
        """
        while self.read(_CHUNK_BYTES):
            pass
        self._check_end()
        return f"sha256:{self._source.sha256.hexdigest()}"


@contextmanager
def opened(blob: Blob, budget: Budget) -> Generator[Stream]:
    """Read blob, decompressed where it is compressed. Raises NotAvailable(command_missing)."""
    command = _decompressor(blob)
    if command is None:
        yield Stream(_Counted(_Plain(blob), budget), lambda: None)
        return
    if find(command[0]) is None:
        raise NotAvailable(
            "command_missing",
            f"The image is compressed for {command[0]}, which is not installed. Install it.",
        )
    with _seekable(blob) as stdin, output_of(("head", "-c", str(blob.size)), stdin) as cut:
        assert cut.stdout is not None
        with output_of(command, cut.stdout.fileno()) as process:
            cut.stdout.close()  # the decompressor alone holds it, so that both end together
            yield stream_of(process, budget, (0,))


def stream_of(process: subprocess.Popen[bytes], budget: Budget, codes: Sequence[int]) -> Stream:
    """Return what process writes. Exit codes other than codes raise Invalid(bad_image)."""
    assert process.stdout is not None

    def check_end() -> None:
        if process.wait() not in codes:
            raise Invalid(
                "bad_image",
                "The image cannot be read to its end: it is damaged, cut off, or compressed in a "
                "way that wants too much memory.",
            )

    raw = io.FileIO(process.stdout.fileno(), closefd=False)
    return Stream(_Counted(raw, budget), check_end)


@contextmanager
def output_of(
    command: Sequence[str], stdin: int, directory: str = "/"
) -> Generator[subprocess.Popen[bytes]]:
    """Run command for what it writes; it ends with the block. Its errors show in its exit code."""
    process = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PATH": SYSTEM_PATH, "LC_ALL": "C.UTF-8"},
        cwd=directory,
        bufsize=0,
    )
    try:
        yield process
    finally:
        assert process.stdout is not None
        process.stdout.close()
        process.kill()
        process.wait()


@contextmanager
def _seekable(blob: Blob) -> Generator[int]:
    """Open blob's file anew, at its beginning: a position of its own, that a process moves on."""
    descriptor = os.open(f"/proc/self/fd/{blob.descriptor}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.lseek(descriptor, blob.offset, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


class _Plain(io.RawIOBase):
    """A blob as a file object."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        view = memoryview(buffer)[: self._blob.size - self._position]
        if not view:
            return 0
        count = os.preadv(self._blob.descriptor, [view], self._blob.offset + self._position)
        self._position += count
        return count


class _Counted(io.RawIOBase):
    """Counts and digests what goes through it."""

    def __init__(self, raw: io.RawIOBase, budget: Budget) -> None:
        self._raw = raw
        self._budget = budget
        self.sha256 = hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer", /) -> int:
        view = memoryview(buffer)
        count: int = self._raw.readinto(view) or 0
        self.sha256.update(view[:count])
        self._budget.take_bytes(count)
        return count


def _decompressor(blob: Blob) -> Sequence[str] | None:
    begin = os.pread(blob.descriptor, min(_MAGIC_BYTES, blob.size), blob.offset)
    for magic, command in _DECOMPRESSORS:
        if begin.startswith(magic):
            return command
    return None

"""Bodies as they come: how much of what arrived belongs to a message, and when it ends. Pure.

Each kind has `feed(data)`, which returns the content found in data; `done` says that the body is
complete, `rest` then is what came after it.
"""

import re
from typing import TypeAlias

from skerry.gateway.grammar import BadMessage

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
_SIZE_LINE_BYTES_MAX = 512  # extensions mean nothing to anybody, and are not passed on
TRAILER_BYTES_MAX = 8 * 1024


class Measured:
    """A body whose length was told."""

    __slots__ = ("done", "left", "rest")

    def __init__(self, length: int) -> None:
        self.left = length
        self.done = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return what of data is the body's."""
        left = self.left
        if len(data) >= left:
            self.done = True
            self.left = 0
            if len(data) > left:
                self.rest = data[left:]
                return data[:left]
            return data
        self.left = left - len(data)
        return data


class Endless:
    """A body that ends with its connection."""

    __slots__ = ("done", "rest")

    def __init__(self) -> None:
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        """Return data."""
        return data


class Chunked:
    """A body in chunks. trailers: the block after them, unread, once it is done."""

    __slots__ = ("_held", "_in_trailers", "_left", "done", "rest", "trailers")

    def __init__(self) -> None:
        self._held = b""  # of a line that is not complete
        self._left = 0  # of the chunk, its line end included
        self._in_trailers = False
        self.done = False
        self.rest = b""
        self.trailers = b""

    def feed(self, data: bytes) -> bytes:
        """Return the content in data, without framing. Raises BadMessage(bad_chunk)."""
        if self._held:
            data = self._held + data
            self._held = b""
        content: list[bytes] = []
        at = 0
        while at < len(data) and not self.done:
            if self._in_trailers:
                at = self._end(data, at)
            elif self._left:
                at = self._content(data, at, content)
            else:
                at = self._size(data, at)
        return content[0] if len(content) == 1 else b"".join(content)

    def _size(self, data: bytes, at: int) -> int:
        end = data.find(b"\r\n", at, at + _SIZE_LINE_BYTES_MAX)
        if end < 0:
            if len(data) - at >= _SIZE_LINE_BYTES_MAX or b"\n" in data[at:]:
                raise BadMessage("bad_chunk", "A chunk begins with no size.")
            self._held = data[at:]
            return len(data)
        match = _SIZE_LINE.fullmatch(data, at, end)
        if match is None:
            raise BadMessage("bad_chunk", "A chunk begins with no size.")
        size = int(match[1], 16)
        self._in_trailers = size == 0
        self._left = size + 2 if size else 0
        return end + 2

    def _content(self, data: bytes, at: int, content: list[bytes]) -> int:
        taken = min(len(data) - at, self._left)
        left = self._left - taken
        # The last two bytes of what is left are the chunk's line end.
        if (size := taken - max(0, 2 - left)) > 0:
            content.append(data[at : at + size])
        for place in range(max(0, size), taken):
            if data[at + place] != b"\r\n"[place + 2 - self._left]:
                raise BadMessage("bad_chunk", "A chunk is longer than it said.")
        self._left = left
        return at + taken

    def _end(self, data: bytes, at: int) -> int:
        if data.startswith(b"\r\n", at):
            end = at
        else:
            found = data.find(b"\r\n\r\n", at, at + TRAILER_BYTES_MAX)
            if found < 0:
                if len(data) - at >= TRAILER_BYTES_MAX:
                    raise BadMessage("bad_chunk", "The trailers after the body are too long.")
                self._held = data[at:]
                return len(data)
            end = found + 2
            self.trailers = data[at:end]
        self.done = True
        self.rest = data[end + 2 :]
        return len(data)


Body: TypeAlias = Measured | Chunked | Endless


def chunk(data: bytes) -> bytes:
    """Return data, of which there is some, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: bytes) -> bytes:
    """Return the end of a body in chunks; trailers is a block of fields."""
    return b"0\r\n%b\r\n" % trailers

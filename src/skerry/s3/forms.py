"""Forms as browsers send them: fields first, then a file, whose bytes are handed on as they come.

What comes after the file is not looked at. All of it is a stranger's: fields have limits in number
and size, and a file is whole only where the form says that it ends.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from skerry.base import Invalid

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

FIELDS_MAX = 100
FIELDS_BYTES_MAX = 64 << 10  # AWS has 20 KB; a policy of that size is longer in base 64
_HEADERS_MAX = 16  # of a field
_HEADER_BYTES_MAX = 8 << 10
_FILE = "file"

# The parser warns of what it refuses, which strangers could fill a log with.
logging.getLogger("python_multipart").addHandler(logging.NullHandler())


class Form:
    """A form that is being read. fields: names in lower case; all of them once the file begins."""

    def __init__(self, body: AsyncGenerator[bytes], content_type: str) -> None:
        """Begin. Raises Invalid(no_form, bad_form)."""
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary", b"")
        if kind != b"multipart/form-data" or not boundary:
            raise Invalid("no_form", "A POST to a bucket is a form of multipart/form-data.")
        self.fields: dict[str, str] = {}
        self.filename = ""
        self._body = body
        self._file: deque[bytes] = deque()
        self._part = _Part()
        self._taken_bytes = 0
        self._in_file = self._is_whole = False
        try:
            self._parser = MultipartParser(
                boundary, max_header_count=_HEADERS_MAX, max_header_size=_HEADER_BYTES_MAX
            )
        except FormParserError as error:
            raise _bad(str(error)) from None
        self._parser.set_callback("part_begin", self._begin)
        self._parser.set_callback("header_field", self._take_header_name)
        self._parser.set_callback("header_value", self._take_header_value)
        self._parser.set_callback("header_end", self._end_header)
        self._parser.set_callback("headers_finished", self._end_headers)
        self._parser.set_callback("part_data", self._take)
        self._parser.set_callback("part_end", self._end)

    async def read_fields(self) -> None:
        """Read up to where the file begins.

        Raises Invalid(bad_form, form_too_large, no_file), and what the body raises.
        """
        while not self._in_file and not self._is_whole:
            if not await self._read():
                raise Invalid("no_file", "The form has no field called file, at its end.")

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Yield the bytes of the file. Raises Invalid(body_size, bad_form)."""
        while True:
            while self._file:
                yield self._file.popleft()
            if self._is_whole:
                return
            if not await self._read():
                raise Invalid("body_size", "The form ended before the file did.")

    async def _read(self) -> bool:
        piece = await anext(self._body, None)
        if piece is None:
            return False
        try:
            self._parser.write(piece)
        except FormParserError as error:
            raise _bad(str(error)) from None
        return True

    # -- what the parser calls --

    def _begin(self) -> None:
        self._part = _Part()

    def _take_header_name(self, data: bytes, begin: int, end: int) -> None:
        self._part.header_name += data[begin:end]

    def _take_header_value(self, data: bytes, begin: int, end: int) -> None:
        self._part.header_value += data[begin:end]

    def _end_header(self) -> None:
        part = self._part
        if bytes(part.header_name).lower() == b"content-disposition":
            part.disposition = bytes(part.header_value)
        part.header_name.clear()
        part.header_value.clear()

    def _end_headers(self) -> None:
        if self._is_whole:
            return
        kind, options = parse_options_header(self._part.disposition.decode("latin-1"))
        if kind != b"form-data" or b"name" not in options:
            raise _bad("a field has no name")
        self._part.name = _text(options[b"name"]).lower()
        if self._part.name == _FILE:
            self._in_file = True
            self.filename = _text(options.get(b"filename", b""))
            return
        if self._part.name in self.fields or len(self.fields) >= FIELDS_MAX:
            raise _bad(f"a field is there twice, or there are more than {FIELDS_MAX}")
        self._count(len(self._part.name))

    def _take(self, data: bytes, begin: int, end: int) -> None:
        if self._is_whole:
            return
        if self._in_file:
            self._file.append(data[begin:end])
            return
        self._count(end - begin)
        self._part.value += data[begin:end]

    def _end(self) -> None:
        if self._in_file:
            self._is_whole = True
        else:
            self.fields[self._part.name] = _text(bytes(self._part.value))

    def _count(self, size: int) -> None:
        self._taken_bytes += size
        if self._taken_bytes > FIELDS_BYTES_MAX:
            raise Invalid(
                "form_too_large", f"A form has at most {FIELDS_BYTES_MAX} bytes before its file."
            )


class _Part:
    """A field that is being read."""

    def __init__(self) -> None:
        self.name = ""
        self.value = bytearray()
        self.disposition = b""
        self.header_name = bytearray()
        self.header_value = bytearray()


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _bad("a field is not text in UTF-8") from None


def _bad(why: str) -> Invalid:
    return Invalid("bad_form", f"The form can not be read: {why}.")

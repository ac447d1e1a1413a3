"""Output that is kept up to a size: its beginning and its end. Pure."""


class Kept:
    """What one stream printed, without its middle where it is longer than size_max bytes.

    Agents look at the beginning for what was done, at the end for what went wrong.
    """

    def __init__(self, size_max: int) -> None:
        self._head_max = size_max // 2
        self._tail_max = size_max - self._head_max
        self._head = bytearray()
        self._tail = bytearray()
        self.size_bytes = 0

    @property
    def cut_bytes(self) -> int:
        """How many bytes are left out."""
        return max(0, self.size_bytes - self._head_max - self._tail_max)

    def add(self, data: bytes) -> None:
        """Take in what came next."""
        self.size_bytes += len(data)
        room = self._head_max - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        # Not at each piece, which would move the whole tail for every few bytes.
        if len(self._tail) > 2 * self._tail_max:
            del self._tail[: -self._tail_max]

    def text(self) -> str:
        """Return it as text, with a line in the place of what is left out.

        What is no UTF-8 shows as U+FFFD; characters that the cut goes through are left out too.
        """
        if not self.cut_bytes:
            return (self._head + self._tail).decode("utf-8", "replace")
        head = _without_partial_end(bytes(self._head))
        tail = _without_partial_begin(bytes(self._tail[-self._tail_max :]))
        note = f"\n[... {self.cut_bytes} of {self.size_bytes} bytes are left out here ...]\n"
        return head.decode("utf-8", "replace") + note + tail.decode("utf-8", "replace")


def _without_partial_end(data: bytes) -> bytes:
    """Return data without a character at its end whose last bytes are missing."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:  # a character of its own
            return data
        if byte >= 0xC0:  # the first byte of one that takes 2 to 4
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return data if back >= length else data[:-back]
    return data


def _without_partial_begin(data: bytes) -> bytes:
    """Return data without the last bytes of a character at its beginning."""
    for index, byte in enumerate(data[:4]):
        if not 0x80 <= byte < 0xC0:
            return data[index:]
    return data

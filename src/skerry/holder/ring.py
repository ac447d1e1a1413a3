"""The recent output of a command, kept for whoever attaches later. Pure."""

# Small writes are put together up to this size, or each would cost an object of its own.
_PIECE_BYTES = 4096


class Ring:
    """Keeps the last bytes_max bytes of output with their streams; older bytes are forgotten."""

    def __init__(self, bytes_max: int) -> None:
        assert bytes_max >= 0
        self._bytes_max = bytes_max
        self._size = 0
        self._first = 0  # pieces before it are forgotten
        self._pieces: list[tuple[int, bytearray | bytes]] = []

    def append(self, stream: int, data: bytes) -> None:
        """Keep data, which stream is a number of the caller's choice."""
        data = data[-self._bytes_max :] if self._bytes_max else b""
        if not data:
            return
        self._size += len(data)
        last = self._pieces[-1] if self._first < len(self._pieces) else None
        if len(data) >= _PIECE_BYTES:
            self._pieces.append((stream, data))
        elif last and last[0] == stream and isinstance(last[1], bytearray):
            last[1].extend(data)
            if len(last[1]) >= _PIECE_BYTES:
                self._pieces[-1] = (stream, bytes(last[1]))
        else:
            self._pieces.append((stream, bytearray(data)))
        self._forget()

    def pieces(self) -> list[tuple[int, bytes]]:
        """Return what is kept, the oldest first."""
        return [(stream, bytes(data)) for stream, data in self._pieces[self._first :]]

    def _forget(self) -> None:
        while self._size > self._bytes_max:
            stream, data = self._pieces[self._first]
            excess = self._size - self._bytes_max
            if len(data) > excess:
                self._pieces[self._first] = (stream, data[excess:])
                self._size -= excess
            else:
                self._pieces[self._first] = (stream, b"")
                self._first += 1
                self._size -= len(data)
        if self._first > len(self._pieces) // 2:
            del self._pieces[: self._first]
            self._first = 0

"""One connection to a holder: frames in, frames out, and how long it has not read. No rules."""

from _socket import socket

from skerry.holder import frames

_RECEIVE_BYTES = 65536


class Client:
    """A connection. attached: gets the output; ending: waits for ENDED."""

    def __init__(self, connection: socket) -> None:
        connection.settimeout(0)
        self.descriptor = connection.fileno()
        self.attached = False
        self.ending = False
        self.closed = False
        self.stalled_since_ns: int | None = None
        self._connection = connection
        self._hung_up = False
        self._reader = frames.FrameReader()
        self._unsent = bytearray()

    @property
    def unsent_bytes(self) -> int:
        """How much waits for the other side to read."""
        return len(self._unsent)

    def queue(self, kind: int, payload: bytes = b"") -> None:
        """Have a frame sent by the next flush."""
        if not self._hung_up:
            self._unsent += frames.header(kind, len(payload))
            self._unsent += payload

    def flush(self, now_ns: int) -> None:
        """Send as much as the other side takes, and note since when it takes nothing."""
        if not self._unsent or self.closed:
            return
        try:
            sent = self._connection.send(self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            # The other side is gone. What it said before, DONE perhaps, is still to be read.
            self._hung_up = True
            sent = len(self._unsent)
        del self._unsent[:sent]
        if not self._unsent:
            self.stalled_since_ns = None
        elif sent or self.stalled_since_ns is None:
            self.stalled_since_ns = now_ns

    def receive(self) -> list[tuple[int, bytes]]:
        """Return the frames that came. The other side's end, or nonsense from it, closes this."""
        try:
            data = self._connection.recv(_RECEIVE_BYTES)
            if data:
                return self._reader.feed(data)
        except BlockingIOError:
            return []
        except (OSError, frames.Malformed):
            pass
        self.close()
        return []

    def close(self) -> None:
        """Close it; nothing more is sent."""
        if not self.closed:
            self.closed = True
            self.attached = self.ending = False
            self._unsent.clear()
            self._connection.close()

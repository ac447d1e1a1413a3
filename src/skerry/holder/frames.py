"""What a holder and its clients say to each other: frames on a stream, and values in them.

A frame is one byte of type, four bytes of length (big-endian) and that many bytes. A value is one
letter and its text; lists and maps hold values each with four bytes of length before it. Holders
outlive the daemon that started them, so types and keys are added and never change their meaning;
a type that is not known is passed over. No JSON: its module is larger than all of this package.

What the frames carry is written beside their names. This file knows no sockets.
"""

# From a client.
REQUEST = 1  # a map, see `request`: the first frame of a holder's first client, who is attached
ATTACH = 2  # empty: from now on send output, recent first. Answered by STARTED
QUERY = 3  # empty. Answered by STATE
STDIN = 4  # bytes for the command, at most STDIN_WINDOW_BYTES that STDIN_TAKEN did not answer yet
STDIN_EOF = 5  # empty
RESIZE = 6  # [rows, columns]
SIGNAL = 7  # number
END = 8  # [signal, grace_ns]. Answered by ENDED when all is gone, or by FAILED
DONE = 9  # empty: nobody will ask for the exit (again), so it need not be kept

# From the holder.
STARTED = 32  # the state
STATE = 33  # the state: a map
FAILED = 34  # [code, message]: nothing runs; the last frame
STDOUT = 35  # bytes
STDERR = 36  # bytes
STDIN_TAKEN = 37  # how many bytes of stdin went to the command
EXIT = 38  # [exit code, notice]: all output came before
ENDED = 39  # the exit code, None where the command never had one

# As much stdin may be under way per client. It is counted instead of leaving the frames unread, so
# that a signal still gets past input that the command does not take.
STDIN_WINDOW_BYTES = 256 * 1024

# The kernel takes 6 MiB of arguments and environment at most; the rest of a request is small.
FRAME_BYTES_MAX = 8 * 1024 * 1024
HEADER_BYTES = 5
_LENGTH_BYTES = 4


class Malformed(ValueError):
    """What came is no frame, or no value, of ours."""


class FrameReader:
    """Cuts a stream of bytes into frames."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return the frames (type, payload) that data completes. Raises Malformed."""
        pending = self._pending
        pending += data
        frames: list[tuple[int, bytes]] = []
        start = 0
        while len(pending) - start >= HEADER_BYTES:
            length = int.from_bytes(pending[start + 1 : start + HEADER_BYTES], "big")
            if length > FRAME_BYTES_MAX:
                raise Malformed(f"a frame of {length} bytes")
            end = start + HEADER_BYTES + length
            if end > len(pending):
                break
            frames.append((pending[start], bytes(pending[start + HEADER_BYTES : end])))
            start = end
        del pending[:start]
        return frames


def header(kind: int, length: int) -> bytes:
    """Return what comes before a frame's payload."""
    return bytes((kind,)) + length.to_bytes(_LENGTH_BYTES, "big")


def frame(kind: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    return header(kind, len(payload)) + payload


def pack(value: object) -> bytes:
    """Return value as bytes: None, bool, int, bytes, str, and lists, tuples and maps of these."""
    match value:
        case None:
            packed = b"n"
        case bool():
            packed = b"t" if value else b"f"
        case int():
            packed = b"i%d" % value
        case bytes():
            packed = b"b" + value
        case str():
            packed = b"s" + value.encode(errors="surrogateescape")
        case list() | tuple():
            packed = b"l" + _join(list(value))  # pyright: ignore[reportUnknownArgumentType]
        case dict():
            parts = [part for pair in value.items() for part in pair]  # pyright: ignore[reportUnknownVariableType]
            packed = b"m" + _join(parts)  # pyright: ignore[reportUnknownArgumentType]
        case _:
            raise TypeError(f"no frame carries a {type(value).__name__}")
    return packed


def unpack(data: bytes) -> object:
    """Return what pack made data of. Raises Malformed."""
    kind, text = data[:1], data[1:]
    try:
        match kind:
            case b"n":
                value = None
            case b"t" | b"f":
                value = kind == b"t"
            case b"i":
                value = int(text)
            case b"b":
                value = text
            case b"s":
                value = text.decode(errors="surrogateescape")
            case b"l":
                value = _split(text)
            case b"m":
                parts = _split(text)
                value = dict(zip(parts[::2], parts[1::2], strict=True))
            case _:
                raise Malformed(f"a value of type {kind!r}")
    except Malformed:
        raise
    except (ValueError, TypeError) as error:  # no number, half a pair, a list for a key
        raise Malformed(str(error)) from error
    return value


def _join(values: list[object]) -> bytes:
    pieces: list[bytes] = []
    for value in values:
        piece = pack(value)
        pieces += (len(piece).to_bytes(_LENGTH_BYTES, "big"), piece)
    return b"".join(pieces)


def _split(data: bytes) -> list[object]:
    values: list[object] = []
    start = 0
    while start < len(data):
        begin = start + _LENGTH_BYTES
        start = begin + int.from_bytes(data[start:begin], "big")
        if start > len(data):
            raise Malformed("a value that is cut off")
        values.append(unpack(data[begin:start]))
    return values

"""What goes in and out of a running command: reading with a limit, writing with receipts. No rules.

All descriptors belong to the holder and do not block.
"""

import fcntl
import os
import sys

from skerry.holder import kernel
from skerry.holder.client import Client
from skerry.holder.command import Command

_READ_BYTES = 65536
_END_OF_TRANSMISSION = b"\x04"  # what closes a terminal's input, VEOF of termios(3)


class Stdio:
    """The holder's ends of a command's stdin, stdout, stderr or terminal."""

    def __init__(self, command: Command) -> None:
        self.outputs = dict(command.outputs)  # frame type by descriptor; without those at their end
        self.stdin = command.stdin
        self._terminal = command.terminal
        self._terminal_end = command.terminal_end
        self._left_bytes: dict[int, int] | None = None
        self._pending: list[tuple[Client | None, bytes]] = []
        self._stdin_ends = False

    # -- out --

    def read(self, descriptor: int) -> bytes:
        """Return what the command wrote; at the end of the stream close it and return nothing."""
        if descriptor == self._terminal:
            return self._read_terminal(descriptor)
        try:
            data = os.read(descriptor, self._amount(descriptor))
        except BlockingIOError:
            return b""
        if not data:
            self.close_output(descriptor)
        elif self._left_bytes is not None:
            self._left_bytes[descriptor] -= len(data)
        return data

    def _read_terminal(self, descriptor: int) -> bytes:
        """Read on and on: a terminal gives some 4 kB at once, too little to do all the rest for."""
        data = bytearray()
        try:
            while len(data) < _READ_BYTES:
                data += os.read(descriptor, _READ_BYTES)
        except OSError as error:
            # The end is EIO, or that there is no more when the command has ended.
            if not isinstance(error, BlockingIOError) or (
                not data and self._left_bytes is not None
            ):
                self.close_output(descriptor)
        return bytes(data)

    def command_ended(self) -> None:
        """Count what lies in the pipes: that is the command's, what comes later its leftovers'."""
        self._left_bytes = {
            # A terminal is hung up when its command ends: nobody writes to it any more, whatever
            # still has it open, and a read that would block has seen all.
            descriptor: sys.maxsize if descriptor == self._terminal else _readable(descriptor)
            for descriptor in self.outputs
        }
        self._pending.clear()
        self._close_stdin()

    @property
    def ended_terminal(self) -> int | None:
        """Return the terminal of a command that ended: to be read although it announces nothing."""
        return self._terminal if self._left_bytes is not None else None

    def undrained(self) -> list[int]:
        """Return the descriptors that have output of the command itself, or may come to have it."""
        left = self._left_bytes
        return [descriptor for descriptor in self.outputs if left is None or left[descriptor] > 0]

    def is_drained(self) -> bool:
        """Return whether all that the command itself wrote was read."""
        return self._left_bytes is not None and not self.undrained()

    def close_output(self, descriptor: int) -> None:
        """Read no more of it."""
        del self.outputs[descriptor]
        os.close(descriptor)
        if descriptor == self._terminal:
            self._terminal = self.stdin = None
            if self._terminal_end is not None:
                os.close(self._terminal_end)

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal a new size."""
        if self._terminal is not None:
            fcntl.ioctl(self._terminal, kernel.TIOCSWINSZ, kernel.window_size(rows, columns))

    def foreground_group(self) -> int:
        """Return the process group that the terminal belongs to now, 0 where there is none."""
        if self._terminal is None:
            return 0
        try:
            answer = fcntl.ioctl(self._terminal, kernel.TIOCGPGRP, bytes(4))
        except OSError:
            return 0
        return max(0, int.from_bytes(answer, sys.byteorder, signed=True))

    # -- in --

    @property
    def wants_to_write(self) -> bool:
        """Return whether something waits for the command to read."""
        return self.stdin is not None and bool(self._pending)

    def put(self, client: Client | None, data: bytes) -> None:
        """Have data written; the client gets its receipt from pump."""
        self._pending.append((client, data))

    def put_end(self) -> None:
        """Have stdin closed after all that was put."""
        if self._terminal is not None:
            self.put(None, _END_OF_TRANSMISSION)
        else:
            self._stdin_ends = True

    def pump(self) -> list[tuple[Client, int]]:
        """Write what the command takes; return whose bytes are done with, and how many."""
        done: list[tuple[Client, int]] = []
        while self._pending:
            client, data = self._pending[0]
            written = self._write(data)
            if client is not None and written:
                done.append((client, written))
            if written < len(data):
                self._pending[0] = (client, data[written:])
                return done
            del self._pending[0]
        if self._stdin_ends:
            self._close_stdin()
        return done

    def _write(self, data: bytes) -> int:
        if self.stdin is None:
            return len(data)  # nobody will ever read it
        try:
            return os.write(self.stdin, data)
        except BlockingIOError:
            return 0
        except OSError:  # EPIPE: the command closed its stdin
            self._close_stdin()
            return len(data)

    def _close_stdin(self) -> None:
        if self.stdin is not None and self.stdin != self._terminal:
            os.close(self.stdin)
        self.stdin = None

    def _amount(self, descriptor: int) -> int:
        if self._left_bytes is None:
            return _READ_BYTES
        left = self._left_bytes[descriptor]
        return min(left, _READ_BYTES) if left > 0 else _READ_BYTES


def _readable(descriptor: int) -> int:
    answer = fcntl.ioctl(descriptor, kernel.FIONREAD, bytes(4))
    return int.from_bytes(answer, sys.byteorder)

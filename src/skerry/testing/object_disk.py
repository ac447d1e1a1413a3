"""A disk of the object store in memory, that can lose what was not synced."""

from collections.abc import Callable, Sequence

from skerry.base import Failed
from skerry.objects.disk import Disk, Scratch
from skerry.objects.records import Buffer


class PowerCut(Exception):
    """The machine is gone, in the middle of something."""


class SimulatedDisk:
    """See `objects.disk`. before: called with the name of each step, and may raise.

    What was written is lost by `after_power_cut`, all or a part of it, unless it was synced.
    """

    def __init__(self, before: Callable[[str], None] = lambda _: None) -> None:
        self.before = before
        self.logs: dict[int, bytearray] = {}
        self.kept: dict[str, bytes] = {}
        self._synced: dict[int, bytes] = {}

    def after_power_cut(self, pick: Callable[[int, int], int]) -> "SimulatedDisk":
        """Return the disk as another machine finds it. pick: returns a number from a range."""
        found = SimulatedDisk()
        for number, synced in self._synced.items():
            written, certain = self.logs[number], len(synced)
            reached = max(certain, pick(certain, max(certain, len(written))))
            data = bytearray(written[:reached])
            data[:certain] = synced
            if reached > certain:  # some of it reached the disk, in no order
                hole = pick(certain, reached)
                data[hole:reached] = bytes(reached - hole)
            found.logs[number] = data
            found._synced[number] = bytes(data)
        found.kept = dict(self.kept)
        return found

    def check_room(self) -> None:
        """Implement the seam."""
        self.before("check room")

    def segments(self) -> list[int]:
        """Implement the seam."""
        return sorted(self.logs)

    def make_segment(self, number: int) -> None:
        """Implement the seam."""
        self.before("make segment")
        self.logs[number] = bytearray()
        self._synced[number] = b""

    def write(self, segment: int, offset: int, pieces: Sequence[Buffer]) -> None:
        """Implement the seam."""
        self.before("write")
        log, data = self.logs[segment], b"".join(pieces)
        log[offset : offset + len(data)] = data
        self.before("sync")
        self._synced[segment] = bytes(log)
        self.before("synced")

    def cut(self, segment: int, size: int) -> None:
        """Implement the seam."""
        self.before("cut")
        del self.logs[segment][size:]
        self._synced[segment] = bytes(self.logs[segment])

    def read(self, segment: int, offset: int, size: int) -> bytes:
        """Implement the seam."""
        return bytes(self.logs[segment][offset : offset + size])

    def read_cached(self, segment: int, offset: int, size: int) -> bytes | None:
        """Implement the seam."""
        return self.read(segment, offset, size)

    def size(self, segment: int) -> int:
        """Implement the seam."""
        return len(self.logs[segment])

    def remove_segment(self, number: int) -> None:
        """Implement the seam."""
        self.before("remove segment")
        self.logs.pop(number, None)
        self._synced.pop(number, None)

    def scratch(self) -> Scratch:
        """Implement the seam."""
        return _Scratch(self)

    def files(self) -> list[str]:
        """Implement the seam."""
        return list(self.kept)

    def read_file(self, file_id: str, offset: int, size: int) -> bytes:
        """Implement the seam."""
        if file_id not in self.kept:
            raise Failed("data_unreadable", "There is no such file.")
        return self.kept[file_id][offset : offset + size]

    def remove_file(self, file_id: str) -> None:
        """Implement the seam."""
        self.before("remove file")
        self.kept.pop(file_id, None)


class _Scratch:
    def __init__(self, disk: SimulatedDisk) -> None:
        self._disk = disk
        self._data = bytearray()

    def write(self, data: Buffer) -> None:
        self._disk.before("write file")
        self._data += data

    def keep(self, file_id: str) -> None:
        self._disk.before("keep file")
        self._disk.kept[file_id] = bytes(self._data)
        self._disk.before("kept file")

    def discard(self) -> None:
        self._data.clear()


def is_a_disk(disk: SimulatedDisk) -> Disk:
    """Return disk, as the type checker is to see that it is one."""
    return disk

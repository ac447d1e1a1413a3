"""What differs between two read-only subvolumes: the kernel writes a stream, it is read as it comes.

Cost follows the size of the difference, not of the disks: shared parts of the trees are skipped.
"""

import os
from concurrent.futures import ThreadPoolExecutor

from skerry.host import btrfs
from skerry.host.seam import DiskChange
from skerry.host.send_stream import SendStream

_READ_BYTES = 256 * 1024


def compare(old: int, new: int, changes_max: int) -> list[DiskChange]:
    """Return what changed from one read-only subvolume to another, given by open directories.

    Raises LimitReached(too_many_changes), OSError (EPERM if one is writable).
    """
    old_id = btrfs.subvolume(old).id
    outlet, inlet = os.pipe2(os.O_CLOEXEC)

    def send() -> None:
        try:
            btrfs.send_names(new, old_id, inlet)
        finally:
            os.close(inlet)

    with ThreadPoolExecutor(1, "send") as sender:  # the call blocks until all is written
        sending = sender.submit(send)
        stream = SendStream(changes_max)
        try:
            while data := os.read(outlet, _READ_BYTES):
                stream.feed(data)
        finally:
            os.close(outlet)  # a sender that is not through gets EPIPE
        sending.result()
    return stream.changes()

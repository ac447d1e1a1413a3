"""The v2 control group of one exec: what makes ending it certain. Knows nothing of frames.

It lies beside the group that the box's namespaces begin in and belongs to the host's root, so that
nothing in the box can leave it. No controller is handed down to it: limits are the box's.
"""

import errno
import os

from skerry.holder.box import write_file


class Group:
    """The group at path, held open."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._events: int | None = None

    def watch(self) -> int | None:
        """Return a descriptor that polls POLLPRI when from now on its last process ends.

        None where the group is gone.
        """
        try:
            if self._events is None:
                self._events = os.open(f"{self.path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
            os.pread(self._events, 1, 0)  # what was read is no longer news
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENODEV}:
                raise
            return None
        return self._events

    def signal(self, number: int) -> None:
        """Send a signal to everything in it, once."""
        try:
            with open(f"{self.path}/cgroup.procs", "rb") as file:
                pids = file.read().split()
        except FileNotFoundError:
            return
        for pid in pids:
            try:
                os.kill(int(pid), number)
            except ProcessLookupError:
                continue  # it ended meanwhile

    def kill(self) -> None:
        """Kill everything in it. Who forks meanwhile does not get away.

        cgroup.kill came with Linux 5.14, before idmapped btrfs, which boxes need.
        """
        try:
            write_file(f"{self.path}/cgroup.kill", b"1")
        except FileNotFoundError:
            return  # the group is gone, so is all that was in it

    def remove(self) -> bool:
        """Remove it if nothing lives in it; return whether it is gone."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True


def make_group(path: str) -> Group:
    """Make the group at path. Raises FileNotFoundError where its parent, the box's, is gone."""
    os.mkdir(path, 0o755)
    return Group(path)

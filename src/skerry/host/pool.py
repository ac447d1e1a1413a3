"""The pool: where disks, checkpoints and images lie, as subvolumes of one btrfs.

    images/<image_id>                       read-only
    boxes/<box_id>/disk                     what the box writes to
    boxes/<box_id>/checkpoints/<name>       read-only; a staged disk too, for a moment
    scratch/                                what a crash may leave; emptied at the start

Blocking calls, each of which may be repeated after a crash. What is in a disk is hostile: nothing
here walks into one. Durable on return: a snapshot commits by itself, all else ends in a commit,
but for deletions. Those would wait for the cleaning that they set off (20 to 1,300 ms against
0.05); after a power cut what was deleted may be there again, whole, and is deleted by whoever finds
that nobody knows it.

Subvolume ids only grow: of two that exist, the one made later has the higher id. That is how a
staged disk is told from the disk that it has replaced.
"""

import contextlib
import errno
import itertools
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import Self

from skerry.base import NotAvailable, NotFound
from skerry.host import btrfs, btrfs_quota, disk_changes, disk_limits, loop_device, meter
from skerry.host.pool_errors import checkpoint_exists, explained, no_such_disk, refuse_nested
from skerry.host.rooted import held
from skerry.host.seam import BoxDisk, DiskChange

CHANGES_MAX = 100_000
_CLEANED_AFTER_S = 60.0  # what was deleted longer ago is free by itself
_CLEANINGS_MAX, _CLEANING_PAUSE_S = 6, 1.0
_DISK, _CHECKPOINTS = "disk", "checkpoints"
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# Seen from the host, programs in disks may be root's with the set-user-id bit, whoever put them
# there: the host's users must not get to them. What is mounted in a box is opened by root.
_PLACES = ("images", "boxes", "scratch")
_MODE = 0o700
_CHECKPOINTS_MODE = 0o755  # seen in the box as /.skerry/checkpoints, by all its users


class Pool:
    """The pool of one daemon, open. quotas: whether disk limits hold on this kernel."""

    def __init__(self, path: Path, top: int, *, quotas: bool, is_mounted_here: bool) -> None:
        self.path = path
        self.quotas = quotas
        self._top = top
        self._is_mounted_here = is_mounted_here
        self._scratch_numbers = itertools.count()
        self._freed_at_s = -_CLEANED_AFTER_S

    @classmethod
    def open(cls, data: Path, *, directory: Path | None, size_bytes: int | None) -> Self:
        """Mount DATA/pool.img on DATA/pool (made if need be), or take a btrfs directory as it is.

        What is mounted already, by a daemon that was killed, is taken over, and what it left half
        done is removed: only one pool may be open on a directory. Raises NotAvailable(no_btrfs,
        pool_too_small, no_loop_device, pool_not_mounted).
        """
        path = directory or data / "pool"
        if directory is None:
            path.mkdir(mode=_MODE, exist_ok=True)
            loop_device.ensure_file(data / "pool.img", size_bytes)
            loop_device.mount(data / "pool.img", path)
        top = _open_btrfs(path)
        try:
            with explained():
                for place in _PLACES:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(place, _MODE, dir_fd=top)
                    os.chmod(place, _MODE, dir_fd=top)
                pool = cls(
                    path,
                    top,
                    quotas=disk_limits.set_up(top),
                    is_mounted_here=directory is None,
                )
                with pool._open("scratch") as scratch:
                    for name in os.listdir(scratch):
                        btrfs.delete_tree(scratch, name)
                pool.drop_stale_groups()
        except BaseException:
            os.close(top)
            raise
        return pool

    def close(self) -> None:
        """Let go, and unmount what was mounted here unless something still uses it."""
        os.close(self._top)
        if self._is_mounted_here:
            loop_device.unmount(self.path)

    # -- disks --

    def clone_image(self, image_id: str, box_id: str, disk_bytes_max: int) -> None:
        """Implement the seam. Raises NotFound(no_such_disk), LimitReached(pool_full)."""
        with explained(), self._open("images", image_id) as source:
            self._patiently(lambda: self._make_disk(source, box_id, disk_bytes_max))

    def clone_disk(
        self, source_id: str, checkpoint: str | None, box_id: str, disk_bytes_max: int
    ) -> None:
        """Implement the seam.

        Raises NotFound(no_such_disk), Conflict(nested_subvolumes), LimitReached(pool_full).
        """
        with explained(), self._open(*_where(source_id, checkpoint)) as source:
            self._patiently(lambda: self._make_disk(source, box_id, disk_bytes_max))

    def snapshot(self, box_id: str, checkpoint: str) -> int:
        """Implement the seam.

        Raises NotFound(no_such_disk), Conflict(nested_subvolumes, checkpoint_exists),
        LimitReached(pool_full, disk_limit).
        """
        with (
            explained(),
            self._open(*_where(box_id, None)) as disk,
            self._open("boxes", box_id, _CHECKPOINTS) as kept,
        ):
            before = _subvolume_in(kept, checkpoint)
            if before is not None and not before.readonly:
                raise checkpoint_exists(checkpoint)
            group = self._group(box_id)
            return self._snapshot(disk, kept, checkpoint, readonly=True, group=group)

    def stage_disk(self, box_id: str, checkpoint: str, staged_as: str) -> None:
        """Implement the seam. Only what an earlier try has staged is replaced.

        Raises NotFound(no_such_disk), Conflict(nested_subvolumes, checkpoint_exists),
        LimitReached(pool_full, disk_limit).
        """
        with (
            explained(),
            self._open("boxes", box_id, _CHECKPOINTS) as kept,
            self._open(*_where(box_id, checkpoint)) as source,
        ):
            before = _subvolume_in(kept, staged_as)
            if before is not None and (before.readonly or before.id < (self.disk_id(box_id) or 0)):
                raise checkpoint_exists(staged_as)
            group = self._group(box_id)
            self._snapshot(source, kept, staged_as, readonly=False, group=group)

    def swap_disk(self, box_id: str, staged_as: str) -> None:
        """Implement the seam; may be repeated all the same: it sees whether they changed places.

        Raises NotFound(no_such_disk), LimitReached(pool_full).
        """
        with (
            explained(),
            self._open("boxes", box_id) as box,
            self._open("boxes", box_id, _CHECKPOINTS) as kept,
        ):
            disk, staged = _subvolume_in(box, _DISK), _subvolume_in(kept, staged_as)
            if disk is None or staged is None:
                raise no_such_disk(f"boxes/{box_id} with a staged {staged_as}")
            if staged.id > disk.id:
                with self._open(*_where(box_id, None)) as replaced:
                    self._write_out(replaced)  # first, since it can fail for lack of space
                    btrfs.exchange(box, _DISK, kept, staged_as)
                    self._set_readonly(box_id, replaced)
                return
        self.seal_checkpoint(box_id, staged_as)

    def seal_checkpoint(self, box_id: str, checkpoint: str) -> None:
        """Implement the seam. Raises NotFound(no_such_disk), LimitReached(pool_full)."""
        with explained(), self._open(*_where(box_id, checkpoint)) as kept:
            if btrfs.subvolume(kept).readonly:
                btrfs.commit(kept)  # whoever made it so may not have lived to see it durable
            else:
                self._write_out(kept)
                self._set_readonly(box_id, kept)

    def delete_checkpoint(self, box_id: str, checkpoint: str) -> None:
        """Implement the seam. Raises Conflict(disk_in_use)."""
        self._delete("boxes", box_id, _CHECKPOINTS, checkpoint)

    def delete_disks(self, box_id: str) -> None:
        """Implement the seam. Raises Conflict(disk_in_use)."""
        with (
            contextlib.suppress(NotFound),
            explained(),
            self._open("boxes") as boxes,
            self._open("boxes", box_id) as box,
        ):
            if self.quotas:
                # First, and so before the directory that it is named by. A full box can then be
                # made writable again too, if there are subvolumes in it to delete.
                disk_limits.forget(self._top, disk_limits.group_of(self._top, box))
            self._freed_at_s = time.monotonic()
            # Then the disk: a box without one is a box that is being deleted.
            btrfs.delete_tree(box, _DISK)
            with contextlib.suppress(NotFound), self._open("boxes", box_id, _CHECKPOINTS) as kept:
                for name in os.listdir(kept):
                    btrfs.delete_tree(kept, name)
                os.rmdir(_CHECKPOINTS, dir_fd=box)
            os.rmdir(box_id, dir_fd=boxes)

    def disks(self) -> Mapping[str, BoxDisk]:
        """Implement the seam."""
        with self._open("boxes") as boxes:
            box_ids = os.listdir(boxes)
        found: dict[str, BoxDisk] = {}
        for box_id in box_ids:
            with contextlib.suppress(NotFound), self._open("boxes", box_id) as box:  # just deleted
                disk = _subvolume_in(box, _DISK)
                found[box_id] = BoxDisk(disk.id if disk else None, self._checkpoints(box_id))
        return found

    def disk_id(self, box_id: str) -> int | None:
        """Implement the seam."""
        try:
            with self._open("boxes", box_id) as box:
                disk = _subvolume_in(box, _DISK)
        except NotFound:
            return None
        return disk.id if disk else None

    def changes(
        self, box_id: str, old: str, new: str | None, *, changes_max: int = CHANGES_MAX
    ) -> Sequence[DiskChange]:
        """Implement the seam. Raises NotFound(no_such_disk), LimitReached(too_many_changes)."""
        with explained(), contextlib.ExitStack() as stack:
            before = stack.enter_context(self._open(*_where(box_id, old)))
            after = stack.enter_context(self._open(*_where(box_id, new)))
            if new is None:
                after = stack.enter_context(self._scratch_snapshot(after))
            return disk_changes.compare(before, after, changes_max)

    def open_disk(self, box_id: str, checkpoint: str | None) -> int:
        """Implement the seam."""
        with self._open(*_where(box_id, checkpoint)) as directory:
            return os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)

    def paths(self, box_id: str) -> tuple[str, str]:
        """Return where a box's disk and its checkpoints lie, for mounting."""
        box = self.path / "boxes" / box_id
        return str(box / _DISK), str(box / _CHECKPOINTS)

    # -- limits --

    def limit_disk(self, box_id: str, disk_bytes_max: int) -> None:
        """Implement the seam; without quotas nothing. Raises NotFound(no_such_disk)."""
        with explained(), self._open("boxes", box_id) as box:
            if self.quotas:
                disk = _subvolume_in(box, _DISK)
                members = [*self._checkpoints(box_id).values(), *([disk.id] if disk else [])]
                group = disk_limits.group_of(self._top, box)
                disk_limits.ensure(self._top, group, disk_bytes_max, members)
                btrfs.commit(self._top)

    def disk_usage(self, box_id: str) -> btrfs_quota.GroupUsage | None:
        """Return what a box has written and still keeps, checkpoints included, and its limit.

        As of the last commit, which is at most 30 seconds ago. None: not known, without quotas.
        """
        with explained():
            group = self._group(box_id)
        return btrfs_quota.group_usage(self._top, group) if group is not None else None

    def used_bytes(self, box_id: str) -> int | None:
        """Return what a box has written and still keeps; None: not known."""
        usage = self.disk_usage(box_id)
        return usage.used_bytes if usage is not None else None

    def stored_bytes(self) -> Mapping[str, int]:
        """Return what each box keeps, checkpoints included, by id; nothing without quotas."""
        if not self.quotas:
            return {}
        with explained(), self._open("boxes") as boxes:
            return meter.read_stored(self._top, boxes)

    @contextlib.contextmanager
    def more_room(self, box_id: str) -> Generator[None]:
        """Let a box that is full take some small files for a moment, such as those of its identity.

        Raises NotFound(no_such_disk).
        """
        group = self._group(box_id)
        with disk_limits.more_room(self._top, group) if group else contextlib.nullcontext():
            yield

    def drop_stale_groups(self) -> None:
        """Remove the quota groups of subvolumes and boxes that are gone. At any time."""
        if self.quotas:
            with self._open("boxes") as boxes:
                disk_limits.forget_stale(self._top, boxes)

    # -- images --

    @contextlib.contextmanager
    def new_image(self, image_id: str, parent_id: str | None) -> Generator[Path]:
        """Give a directory to build an image in: empty, or with the parent's tree.

        It becomes the image when the block ends well; else nothing of it stays. Raises
        NotFound(no_such_disk), Conflict(nested_subvolumes), LimitReached(pool_full).
        """
        name = f"image-{next(self._scratch_numbers)}"
        with self._open("scratch") as scratch, self._open("images") as images:
            with explained():
                self._make_tree(scratch, name, parent_id)
            try:
                yield self.path / "scratch" / name
                with explained(), self._open("scratch", name) as tree:
                    # Not renamed: a snapshot is there whole, read-only and durable in one step.
                    self._snapshot(tree, images, image_id, readonly=True)
            finally:
                btrfs.delete_tree(scratch, name)

    def _make_tree(self, scratch: int, name: str, parent_id: str | None) -> None:
        if parent_id is None:
            btrfs.create_subvolume(scratch, name)
            return
        with self._open("images", parent_id) as parent:
            btrfs.create_snapshot(parent, scratch, name, readonly=False)

    def save_image(self, box_id: str, checkpoint: str | None, image_id: str) -> None:
        """Implement the seam.

        Raises NotFound(no_such_disk), Conflict(nested_subvolumes), LimitReached(pool_full).
        """
        with (
            explained(),
            self._open("images") as images,
            self._open(*_where(box_id, checkpoint)) as source,
        ):
            self._snapshot(source, images, image_id, readonly=True)

    def delete_image(self, image_id: str) -> None:
        """Implement the seam."""
        self._delete("images", image_id)

    def images(self) -> frozenset[str]:
        """Implement the seam."""
        with self._open("images") as images:
            return frozenset(os.listdir(images))

    # -- what the above stand on --

    @contextlib.contextmanager
    def _open(self, *parts: str) -> Generator[int]:
        """Open a directory of the pool. Raises NotFound(no_such_disk)."""
        assert all(part not in ("", ".", "..") and "/" not in part for part in parts)
        path = "/".join(parts)
        try:
            descriptor = os.open(path, _DIRECTORY, dir_fd=self._top)
        except FileNotFoundError:
            raise no_such_disk(path) from None
        with held(descriptor):
            yield descriptor

    def _checkpoints(self, box_id: str) -> dict[str, int]:
        found: dict[str, int] = {}
        with contextlib.suppress(NotFound), self._open("boxes", box_id, _CHECKPOINTS) as kept:
            for name in os.listdir(kept):
                subvolume = _subvolume_in(kept, name)
                if subvolume is not None:
                    found[name] = subvolume.id
        return found

    def _group(self, box_id: str) -> int | None:
        if not self.quotas:
            return None
        with self._open("boxes", box_id) as box:
            group = disk_limits.group_of(self._top, box)
        btrfs_quota.create_group(self._top, group)  # a box older than quotas has none
        return group

    def _patiently(self, work: Callable[[], None]) -> None:
        """Do work; where there is no room, but some was freed lately, let btrfs give it back first.

        The kernel's cleaner wakes with each commit and frees what it then may, two commits later.
        Raises OSError.
        """
        for _ in range(_CLEANINGS_MAX):
            try:
                work()
            except OSError as error:
                freed_ago_s = time.monotonic() - self._freed_at_s
                if error.errno != errno.ENOSPC or freed_ago_s > _CLEANED_AFTER_S:
                    raise
                btrfs.sync(self._top)
                time.sleep(_CLEANING_PAUSE_S)
            else:
                return
        work()

    def _make_disk(self, source: int, box_id: str, disk_bytes_max: int) -> None:
        try:
            with self._open("boxes") as boxes, contextlib.suppress(FileExistsError):
                os.mkdir(box_id, _MODE, dir_fd=boxes)
            with self._open("boxes", box_id) as box:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(_CHECKPOINTS, dir_fd=box)
                os.chmod(_CHECKPOINTS, _CHECKPOINTS_MODE, dir_fd=box)
                group = self._group(box_id)
                if group is not None:
                    btrfs_quota.limit_group(self._top, group, disk_bytes_max)
                self._snapshot(source, box, _DISK, readonly=False, group=group)
        except BaseException:
            self.delete_disks(box_id)
            raise

    def _snapshot(
        self,
        source: int,
        directory: int,
        name: str,
        *,
        readonly: bool,
        group: int | None = None,
    ) -> int:
        """Make a snapshot, in place of what has its name; return its id.

        A subvolume within the source would be an empty directory in it. So there must be none, both
        before and after: what a box makes and deletes again in between, it has deleted itself.
        """
        refuse_nested(source)
        btrfs.delete_tree(directory, name)
        btrfs.create_snapshot(source, directory, name, readonly=readonly, group=group)
        try:
            refuse_nested(source)
        except BaseException:
            btrfs.delete_tree(directory, name)
            raise
        made = _subvolume_in(directory, name)
        assert made is not None, "the snapshot was made just now"
        return made.id

    @contextlib.contextmanager
    def _scratch_snapshot(self, source: int) -> Generator[int]:
        """Give a read-only snapshot that is gone afterwards, at the latest at the next start."""
        name = f"snapshot-{next(self._scratch_numbers)}"
        with self._open("scratch") as scratch:
            btrfs.create_snapshot(source, scratch, name, readonly=True)
            try:
                with self._open("scratch", name) as made:
                    yield made
            finally:
                btrfs.delete_tree(scratch, name)

    def _write_out(self, subvolume: int) -> None:
        """Bring to disk what the page cache holds of one subvolume.

        Making it read-only does not do that. A snapshot does; sync would, for all boxes at once.
        """
        with self._scratch_snapshot(subvolume):
            pass

    def _set_readonly(self, box_id: str, subvolume: int) -> None:
        try:
            btrfs.set_readonly(subvolume, readonly=True)
        except OSError as error:
            if error.errno != errno.EDQUOT:
                raise
            with self.more_room(box_id):  # even a flag takes room that a full box has not
                btrfs.set_readonly(subvolume, readonly=True)

    def _delete(self, *place: str) -> None:
        with (
            contextlib.suppress(NotFound),
            explained(),
            self._open(*place[:-1]) as directory,
        ):
            btrfs.delete_tree(directory, place[-1])
            self._freed_at_s = time.monotonic()


def _open_btrfs(path: Path) -> int:
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    if btrfs.filesystem_id(top) is None:
        os.close(top)
        raise NotAvailable("no_btrfs", f"{path} is no btrfs. Name a btrfs directory, or none.")
    return top


def _where(box_id: str, checkpoint: str | None) -> tuple[str, ...]:
    if checkpoint is None:
        return ("boxes", box_id, _DISK)
    return ("boxes", box_id, _CHECKPOINTS, checkpoint)


def _subvolume_in(directory: int, name: str) -> btrfs.Subvolume | None:
    try:
        with held(os.open(name, _DIRECTORY, dir_fd=directory)) as descriptor:
            return btrfs.subvolume(descriptor) if btrfs.is_top(descriptor) else None
    except FileNotFoundError:
        return None

"""Copying files and trees of a box, by sharing extents where the filesystem can.

A copied file is staged and put in place as a written one. In a tree, links are copied as links,
FIFOs and sockets are made anew, hard links become files of their own, and what is there already is
merged: directories stay, files and links are replaced. Devices are refused, as to the box's own
root. How a tree is walked, `file_trees` knows.
"""

import contextlib
import errno
import os
import stat as modes
from contextlib import closing
from dataclasses import dataclass, field

from skerry.host.box_root import BoxRoot
from skerry.host.credentials import ROOT, Credentials, acting_as
from skerry.host.file_attributes import copy_attributes
from skerry.host.file_errors import bad_path, errors_about, file_error, not_a_regular_file
from skerry.host.file_trees import Budget, Step, Tally, TreeResult, below, walk
from skerry.host.file_write import copy_content, open_write, publish, stage
from skerry.host.rooted import HANDLE, held, lies_in, open_beneath, open_parent, open_within, reopen


@dataclass(frozen=True, slots=True)
class _Job:
    """One copy of a tree. unfinished: directories that get their attributes when they are full."""

    source: str
    dest: str
    top: int
    user: Credentials
    preserve: bool
    tally: Tally
    unfinished: set[str] = field(default_factory=set[str])


def copy(
    root: BoxRoot,
    source: str,
    dest: str,
    *,
    recursive: bool = False,
    preserve: bool = False,
    source_root: BoxRoot | None = None,
) -> TreeResult:
    """Copy source to exactly dest; recursive: a directory with all that is in it.

    A link at the end of source is followed, and at the end of dest if a file is copied. preserve:
    owner (where root asks), set-user-id, times, ACLs and user attributes too; without it the copy
    belongs to who asks and has the mode. source_root: where source lies, such as in a checkpoint
    of the same pool; root unless given. What was copied when an error comes stays.

    Raises NotFound(no_such_path), Denied(permission_denied), Conflict(is_a_directory,
    not_a_directory, read_only), Invalid(bad_path, not_a_regular_file), LimitReached(disk_limit,
    pool_full, tree_too_large).
    """
    origin = root if source_root is None else source_root
    assert origin.user == root.user, "one user copies"
    old, new = origin.absolute(source), root.named(dest)
    with errors_about(old):
        with acting_as(root.user):
            handle = open_within(origin.descriptor, old)
        with held(handle):
            mode = os.fstat(handle).st_mode
            if modes.S_ISREG(mode):
                return _copy_file(root, handle, new, preserve=preserve)
            if not modes.S_ISDIR(mode):
                raise not_a_regular_file(old)
            if not recursive:
                raise file_error(errno.EISDIR, old)
            with acting_as(root.user):
                return _copy_tree(root, handle, old, new, preserve=preserve)


def _copy_file(root: BoxRoot, handle: int, new: str, *, preserve: bool) -> TreeResult:
    with acting_as(root.user):
        source = reopen(handle, os.O_RDONLY)
    tally = Tally()
    with held(source):
        status = os.fstat(source)
        mode = None if preserve else modes.S_IMODE(status.st_mode) & 0o777
        with open_write(root, new, mode=mode) as writer:
            writer.copy_from(source)
            writer.commit(attributes_of=source if preserve else None)
        tally.add(new, status)
    return tally.result()


def _copy_tree(root: BoxRoot, handle: int, old: str, new: str, *, preserve: bool) -> TreeResult:
    with errors_about(new):
        parent, name = open_parent(root.descriptor, new)
        with held(parent):
            if lies_in(parent, os.fstat(handle), root.descriptor):
                raise bad_path(new, "a directory cannot be copied into itself")
            made = _make_directory(parent, name, os.fstat(handle).st_mode)
            top = open_beneath(parent, name, HANDLE | os.O_DIRECTORY)
    with held(top):
        job = _Job(old, new, top, root.user, preserve, Tally())
        job.tally.add(new, os.fstat(handle))
        with closing(walk(handle, Budget(old))) as steps:
            for step in steps:
                with errors_about(below(old, step.path)):
                    _copy_step(job, step)
        if made:
            _finish(handle, top, job)
    return job.tally.result()


def _copy_step(job: _Job, step: Step) -> None:
    above = step.path.rpartition("/")[0]
    with held(open_beneath(job.top, above, HANDLE | os.O_DIRECTORY)) as directory:
        if step.phase == "leave":
            _leave(job, step, directory)
            return
        if step.phase == "enter":
            if _make_directory(directory, step.name, step.status.st_mode):
                job.unfinished.add(step.path)
            job.tally.add(below(job.dest, step.path), step.status)
        else:
            _copy_entry(job, step, directory)


def _leave(job: _Job, step: Step, directory: int) -> None:
    if step.path not in job.unfinished:
        return
    job.unfinished.remove(step.path)
    with (
        held(open_beneath(step.parent, step.name, HANDLE | os.O_DIRECTORY)) as source,
        held(open_beneath(directory, step.name, HANDLE | os.O_DIRECTORY)) as made,
    ):
        _finish(source, made, job)


def _finish(source: int, made: int, job: _Job) -> None:
    with held(reopen(made, os.O_RDONLY | os.O_DIRECTORY)) as target:
        copy_attributes(source, target, job.user, preserve=job.preserve)


def _copy_entry(job: _Job, step: Step, directory: int) -> None:
    try:
        handle = open_beneath(step.parent, step.name)
    except FileNotFoundError:
        return  # deleted since it was met
    with held(handle):
        status = os.fstat(handle)
        if modes.S_ISREG(status.st_mode):
            _copy_leaf(job, handle, directory, step.name)
        elif modes.S_ISLNK(status.st_mode):
            _copy_link(job, handle, directory, step.name)
        elif modes.S_ISFIFO(status.st_mode) or modes.S_ISSOCK(status.st_mode):
            _clear(directory, step.name)
            kind = modes.S_IFMT(status.st_mode)
            os.mknod(step.name, kind | status.st_mode & 0o777, dir_fd=directory)
        elif not modes.S_ISDIR(status.st_mode):
            raise file_error(errno.EPERM, below(job.source, step.path))
        job.tally.add(below(job.dest, step.path), status)


def _copy_leaf(job: _Job, handle: int, directory: int, name: str) -> None:
    with held(reopen(handle, os.O_RDONLY)) as source, held(stage(directory)) as staged:
        copy_content(source, staged, os.fstat(source).st_size)
        copy_attributes(source, staged, job.user, preserve=job.preserve)
        publish(staged, directory, name)


def _copy_link(job: _Job, handle: int, directory: int, name: str) -> None:
    target = os.readlink("", dir_fd=handle)
    _clear(directory, name)
    os.symlink(target, name, dir_fd=directory)
    if job.preserve and job.user == ROOT:
        status = os.fstat(handle)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=directory, follow_symlinks=False)


def _make_directory(parent: int, name: str, mode: int) -> bool:
    """Make a directory that its owner can fill; tell whether it is new, False if it was there."""
    try:
        os.mkdir(name, modes.S_IMODE(mode) & 0o777 | 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _clear(directory: int, name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)

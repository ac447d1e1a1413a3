"""The files of a box: single calls, and whole trees in and out."""

import os

from skerry.client import pull, push
from skerry.client.file_calls import FileCalls
from skerry.client.transfers import Transfer, Watcher


class Files(FileCalls):
    """The files of one box.

    Every call raises NotFound(box_not_found), the error of the file (NotFound, Conflict, Denied,
    Invalid) with `details["path"]`, and NotAvailable(no_connection, connection_lost, timed_out).
    """

    async def push(
        self,
        local: str | os.PathLike[str],
        remote: str,
        *,
        as_root: bool = False,
        progress: Watcher | None = None,
    ) -> Transfer:
        """Copy a local file or directory into the box.

        It gets the path remote, or that of an entry in remote if that ends with `/` or is a
        directory. Permission bits come along; symbolic links below local become links; what is
        no file, directory or link is skipped and told. progress is called after each piece. Raises OSError for
        what cannot be read here.
        """
        return await push.push(self, os.fspath(local), remote, as_root=as_root, watcher=progress)

    async def pull(
        self,
        remote: str,
        local: str | os.PathLike[str],
        *,
        as_root: bool = False,
        progress: Watcher | None = None,
    ) -> Transfer:
        """Copy a file or directory of the box to this machine.

        It gets the path local, or that of an entry in local if that ends with `/` or is a
        directory. Permission bits come along, but no setuid; symbolic links inside a directory
        stay links. A file appears under its name only when it is whole. Raises OSError for what
        cannot be written here.
        """
        return await pull.pull(self, remote, os.fspath(local), as_root=as_root, watcher=progress)

"""What a box sees of us: a directory of its own, at `/.skerry` in it, that only we can write.

    api.sock             answers to the box alone: who connects to it is known by that
    bin/, lib/           the command `skerry-env`, also by the name that the Sprites give it
    llm.txt, docs/       what this computer is, in words for whoever works in it
    policy/network.json  the rules that its network is held to
    logs/services/       where its services' logs are mounted
    checkpoints/         where its checkpoints are mounted
    version.txt

All of it belongs to the host's root, for whom a box has no id: nobody in a box can write it, own it
or pass for its owner, however it is mounted there. And no two boxes see one file, not even a
document: who may open a file can lock it or watch who reads it, which would be a way from box to
box that no policy sees. What answers on the socket, this file does not know.
"""

import contextlib
import json
import os
import shutil
import socket
from collections.abc import Collection, Mapping

from skerry.host import box_views
from skerry.host.box_views import View
from skerry.host.data_errors import writing_to
from skerry.host.image_recipe import recipe_directory
from skerry.host.policy_rules import NetworkPolicy, encode
from skerry.host.seam import Running

PLACE = "/.skerry"
_SOCKET = "api.sock"
_POLICY = "policy/network.json"
_LOGS, _CHECKPOINTS = "logs/services", "checkpoints"
_OTHER_NAME = ("bin/sprite-env", "skerry-env")  # a link, and to what
_STAGED = ".new"
# Who connects waits in line, up to this many: a box that asks without end is answered at our pace.
_BACKLOG = 32
_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Insides:
    """The directories of the boxes of one daemon, in a directory that only root may enter.

    A box has one from its start until it is stopped.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._documents = _documents(os.path.join(recipe_directory(), "inside"))
        self._directories = sorted({os.path.dirname(each) for each in self._documents} - {""})
        self._policies: dict[str, NetworkPolicy] = {}

    def prepare(self, box_id: str) -> str:
        """Make the directory of a box, or bring it up to date, and return its path.

        Raises LimitReached(data_full), NotAvailable(data_unwritable).
        """
        path = f"{self._directory}/{box_id}"
        with writing_to(self._directory):
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            for name in ("", *self._directories, "logs", "policy", _LOGS, _CHECKPOINTS):
                _make_directory(f"{path}/{name}")
            for name, content in self._documents.items():
                _write(f"{path}/{name}", content)
            _write(f"{path}/{_POLICY}", self._policy(box_id))
            with contextlib.suppress(FileExistsError):
                os.symlink(_OTHER_NAME[1], f"{path}/{_OTHER_NAME[0]}")
        return path

    def show(self, box_id: str, first: Running, checkpoints: str, logs: str) -> None:
        """Have a running box see its directory, its checkpoints and the logs of its services.

        What it sees already stays. Raises what prepare does, Conflict(box_not_running), OSError
        where the kernel refuses.
        """
        with writing_to(logs):
            os.makedirs(logs, mode=0o755, exist_ok=True)
        views = (
            View(self.prepare(box_id), PLACE, shifted=False),
            View(checkpoints, f"{PLACE}/{_CHECKPOINTS}", shifted=True),
            View(logs, f"{PLACE}/{_LOGS}", shifted=False),
        )
        box_views.show(views, first.init_pid)

    def listen(self, box_id: str) -> socket.socket:
        """Return a listening socket that the box finds as its own, in place of an earlier one.

        Raises OSError, FileNotFoundError where the box has no directory since it does not run.
        """
        directory = os.open(f"{self._directory}/{box_id}", _DIRECTORY)
        listener = socket.socket(
            socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        )
        try:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_STAGED, dir_fd=directory)
            # By way of the descriptor: a socket's path may have 107 bytes and no more.
            listener.bind(f"/proc/self/fd/{directory}/{_STAGED}")
            os.chmod(_STAGED, 0o666, dir_fd=directory)  # noqa: S103 - for all users of the box
            listener.listen(_BACKLOG)
            # It takes the name when it answers already: nobody finds none, or a dead one.
            os.rename(_STAGED, _SOCKET, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            listener.close()
            raise
        finally:
            os.close(directory)
        return listener

    def show_policy(self, box_id: str, policy: NetworkPolicy | None) -> None:
        """Have a box see a policy, now if it runs, and from its next start on."""
        if policy is None:
            self._policies.pop(box_id, None)
        else:
            self._policies[box_id] = policy
        with writing_to(self._directory), contextlib.suppress(FileNotFoundError):
            _write(f"{self._directory}/{box_id}/{_POLICY}", self._policy(box_id))

    def remove(self, box_id: str) -> None:
        """Remove the directory of a box that does not run any more, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(f"{self._directory}/{box_id}")

    def forget(self, box_id: str) -> None:
        """Forget a box that will not start again."""
        self._policies.pop(box_id, None)

    def sweep(self, running: Collection[str]) -> None:
        """Remove the directories of all boxes but the running ones, and bring those up to date."""
        with contextlib.suppress(FileNotFoundError):
            for box_id in set(os.listdir(self._directory)) - set(running):
                self.remove(box_id)
        for box_id in running:
            self.prepare(box_id)

    def _policy(self, box_id: str) -> bytes:
        rules = encode(self._policies.get(box_id, NetworkPolicy()))
        return json.dumps(rules, indent=2).encode() + b"\n"


def _documents(top: str) -> Mapping[str, bytes]:
    """Return the files that are the same for all boxes, by their paths."""
    found: dict[str, bytes] = {}
    for directory, below, names in os.walk(top):
        below[:] = [each for each in below if each != "__pycache__"]  # installers make some
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, top)] = file.read()
    return found


def _make_directory(path: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o755)


def _write(path: str, content: bytes) -> None:
    """Write a file, one that is there whole or not at all. Files in bin/ can be run."""
    mode = 0o755 if os.path.basename(os.path.dirname(path)) == "bin" else 0o644
    try:
        _create(path, content, mode)
    except FileExistsError:
        with open(path, "rb") as file:
            if file.read() == content:
                return
        with contextlib.suppress(FileNotFoundError):  # left by a daemon that was killed
            os.unlink(path + _STAGED)
        _create(path + _STAGED, content, mode)
        os.replace(path + _STAGED, path)


def _create(path: str, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)

"""A holder from its request to its end."""

import os
import select
import sys
from _socket import MSG_WAITALL, SO_RCVTIMEO, SOL_SOCKET, socket, socketpair

from skerry.holder import frames
from skerry.holder.client import Client
from skerry.holder.command import launch
from skerry.holder.group import Group
from skerry.holder.logged import Logged
from skerry.holder.passwd import find_user
from skerry.holder.rendezvous import make_rendezvous
from skerry.holder.request import Refusal, Request
from skerry.holder.ring import Ring
from skerry.holder.session import Session, count_limits_hit

_REQUEST_S_MAX = 10
_DRAIN_BYTES = 65536
_DEATH_MS_MAX = 1000


def hold(connection: socket, zygote: int) -> None:
    """Live the life of a holder, whose first client is at the other end of connection.

    zygote is closed as soon as the command's session is over, and on every other way out.
    """
    request = _receive_request(connection)
    if request is None:
        return
    client = Client(connection)
    group_path = f"{request.box_group}/exec-{request.session_id}"
    directory = f"{request.sessions_directory}/{request.session_id}"
    try:
        rendezvous = make_rendezvous(directory, group_path)
    except FileExistsError:
        _refuse(client, Refusal("session_exists", "There is such a session. Take another id."))
        return
    except OSError as error:
        text = f"{directory} cannot be written ({error.strerror}). Make room on its file system."
        _refuse(client, Refusal("data_full", text))
        return
    try:
        limits_hit = count_limits_hit(request)
        launched = launch(request, group_path)
        rendezvous.open()
        command = launched.wait()
    except Refusal as refusal:
        rendezvous.remove()
        _refuse(client, refusal)
        return
    logged = Logged(request, command) if request.log_directory else None
    outputs = Session(request, command, rendezvous, client, limits_hit, logged).run()
    os.close(zygote)
    if outputs:
        _drain(outputs)
        _remove_when_empty(command.group)


def rehearse() -> None:
    """Run what every exec runs and the machine is not changed by.

    In the zygote, so that the interpreter has adapted the code before holders share it; in a holder
    that waits, so that its own copies of pages are made before they are needed.
    """
    ours, theirs = socketpair()
    client = Client(ours)
    request = Request()
    for name in Request.__annotations__:
        setattr(request, name, [b"/bin/true", "text", 1, None, {b"PATH": b"/bin"}])
    client.queue(frames.REQUEST, request.to_bytes())
    client.flush(0)
    _receive_request(theirs)
    theirs.send(frames.frame(frames.DONE))
    client.receive()
    client.close()
    theirs.close()
    find_user(b"root:x:0:0:root:/root:/bin/bash\nbox:x:1000:1000::/home/box:/bin/bash\n", b"", None)
    ring = Ring(1)
    ring.append(frames.STDOUT, b"output")
    ring.pieces()


def _refuse(client: Client, refusal: Refusal) -> None:
    client.queue(frames.FAILED, frames.pack([refusal.code, refusal.message]))
    client.flush(0)


def _receive_request(connection: socket) -> Request | None:
    """Read the first frame and no byte more: what follows is the session's.

    Returns None where the request was withdrawn before it was whole.
    """
    seconds = _REQUEST_S_MAX.to_bytes(8, sys.byteorder)
    connection.setsockopt(SOL_SOCKET, SO_RCVTIMEO, seconds + bytes(8))
    payload = _receive_frame(connection)
    return None if payload is None else Request.from_bytes(payload)


def _receive_frame(connection: socket) -> bytes | None:
    head = connection.recv(frames.HEADER_BYTES, MSG_WAITALL)
    if len(head) < frames.HEADER_BYTES or head[0] == frames.END:
        return None
    length = int.from_bytes(head[1:], "big")
    if head[0] != frames.REQUEST or length > frames.FRAME_BYTES_MAX:
        raise frames.Malformed("a holder's first frame is its request")
    payload = connection.recv(length, MSG_WAITALL)
    return payload if len(payload) == length else None


def _remove_when_empty(group: Group) -> None:
    """Remove the group if its last process, who just closed its output, is about to end."""
    watch = group.watch()
    if not group.remove() and watch is not None:
        poll = select.poll()
        poll.register(watch, select.POLLPRI)
        poll.poll(_DEATH_MS_MAX)
        group.remove()


def _drain(outputs: list[int]) -> None:
    """Read away what leftovers write, or they would die of a broken pipe; until they are done."""
    open_outputs = set(outputs)
    while open_outputs:
        poll = select.poll()
        for descriptor in open_outputs:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _ in poll.poll():
            if not os.read(descriptor, _DRAIN_BYTES):
                open_outputs.remove(descriptor)

"""The process of the door: its arguments, its listening socket, its end."""

import argparse
import asyncio
import contextlib
import functools
import os
import signal
import socket
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncssh
import uvloop

from skerry.base import SkerryError
from skerry.host.daemon import prepare_process
from skerry.host.listener import listen_tcp
from skerry.ssh.admission import Admission
from skerry.ssh.connection import Connection
from skerry.ssh.control_channel import ControlPlane
from skerry.ssh.guest import Door, Guest
from skerry.ssh.host_key import host_key
from skerry.ssh.rights import Keys

FLAG = "--listen"
_SOCKET = "admin.sock"
_CONNECTIONS_MAX, _STRANGERS_MAX, _STRANGERS_OF_ONE_MAX = 10_000, 100, 30
_LOGIN_S_MAX = 20
_WAITING_CONNECTIONS = 256  # that the kernel keeps for us
_STDERR, _LOG_BYTES_MAX = 2, 8 << 20
_PAUSE_S = 0.1  # when there are no descriptors left
_END_S_MAX = 5.0  # for what runs for guests to be ended
_WINDOW_BYTES = 1 << 20  # of a channel, and so what one may make us keep

# What current clients agree on. Without SHA-1, and without what is slow here: of the ciphers the
# client's first choice counts, and chacha20-poly1305 is a third as fast in asyncssh as AES-GCM.
_KEX = ["mlkem768x25519-sha256", "curve25519-sha256", "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521"]  # fmt: skip
_CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes256-ctr", "aes128-ctr"]
_SIGNATURES = ["ssh-ed25519", "sk-ssh-ed25519@openssh.com", "ecdsa-sha2-nistp256",
               "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
               "sk-ecdsa-sha2-nistp256@openssh.com", "rsa-sha2-512", "rsa-sha2-256"]  # fmt: skip
_MACS = ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com",
         "hmac-sha2-256", "hmac-sha2-512"]  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Be the door until SIGTERM or SIGINT; return the exit code."""
    parser = argparse.ArgumentParser(prog="skerry.ssh", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR")
    parser.add_argument(FLAG, default="127.0.0.1:2222", metavar="ADDRESS:PORT")
    parser.add_argument(
        "--listener", type=int, metavar="DESCRIPTOR", help="a socket that is bound already"
    )
    # What a daemon tells the doors of its former self by; nothing here depends on them.
    parser.add_argument("--address", metavar="ADDRESS:PORT")
    parser.add_argument("--version", metavar="VERSION")
    parser.add_argument(
        "--api", default="http://127.0.0.1:7070", metavar="URL",
        help="where the daemon's API is, for the confined command line",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    prepare_process()
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(asked))
    except SkerryError as error:
        _say(f"skerry: {error.message}")
        return 1
    except OSError as error:  # of the data directory
        _say(f"skerry: {error.filename or asked.data}: {error.strerror or error}.")
        return 1
    return 0


def _say(text: str) -> None:
    # Kept by a daemon, stderr is a file, which strangers must not fill the disk with. On a disk that
    # is full a line is lost, not the guest that it is about.
    with contextlib.suppress(OSError):
        if os.fstat(_STDERR).st_size > _LOG_BYTES_MAX:
            os.ftruncate(_STDERR, 0)
    with contextlib.suppress(OSError):
        os.write(_STDERR, f"{text}\n".encode(errors="backslashreplace"))


def _prepared(directory: Path) -> tuple[asyncssh.SSHKey, Path]:
    """Return the host key in directory, and a directory in it that is empty."""
    directory.mkdir(mode=0o700, exist_ok=True)
    empty = directory / "empty"
    empty.mkdir(mode=0o755, exist_ok=True)
    return host_key(directory), empty


async def _serve(asked: argparse.Namespace) -> None:
    key, empty = _prepared(asked.data / "ssh")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if asked.listener is None:
        listener = listen_tcp(asked.listen, FLAG)
    else:
        listener = socket.socket(fileno=asked.listener)
        listener.set_inheritable(False)
    listener.settimeout(0)
    listener.listen(_WAITING_CONNECTIONS)
    async with Keys(asked.data / _SOCKET) as keys, _working() as start:
        door = Door(
            keys=keys,
            plane=ControlPlane(empty=empty, url=asked.api),
            admission=Admission(
                connections_max=_CONNECTIONS_MAX,
                strangers_max=_STRANGERS_MAX,
                strangers_of_one_max=_STRANGERS_OF_ONE_MAX,
            ),
            start=start,
            say=_say,
        )
        options = options_of(door, key)
        host, port = listener.getsockname()[:2]
        _say(f"skerry.ssh is ready: {host}:{port}, {key.get_fingerprint()}")
        accepting = asyncio.create_task(_accept(door, listener, options))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([accepting, stopping], return_when=asyncio.FIRST_COMPLETED)
        for task in (accepting, stopping):
            task.cancel()
        listener.close()
        for guest in tuple(door.guests):
            guest.hang_up()
        if accepting.done() and not accepting.cancelled():
            accepting.result()  # why nobody else was let in


async def _accept(
    door: Door, listener: socket.socket, options: asyncssh.SSHServerConnectionOptions
) -> None:
    """Let in who comes, as far as there is room."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            stream, peer = await loop.sock_accept(listener)
        except OSError:  # of this one connection, or no descriptors are left
            await asyncio.sleep(_PAUSE_S)
            continue
        if not door.admission.enter(peer[0]):
            stream.close()
            continue
        try:
            await loop.connect_accepted_socket(
                functools.partial(Connection, loop, options, peer[0], stream.setsockopt), stream
            )
        except OSError:  # it has gone already
            door.admission.recognise(peer[0])
            door.admission.leave()
        if door.make_room():
            await asyncio.sleep(0)  # asyncssh says that one is gone when the loop comes round


@contextlib.asynccontextmanager
async def _working() -> AsyncGenerator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Give the block what starts a piece of work; then wait for the end of all, with a limit."""
    under_way = set[asyncio.Task[None]]()

    async def guarded(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:  # noqa: BLE001 - the last resort: one channel's mistake is not all guests'
            _say(f"skerry.ssh: a mistake of ours: {traceback.format_exc()}")

    def start(work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(guarded(work))
        under_way.add(task)
        task.add_done_callback(under_way.discard)

    yield start
    if under_way:
        await asyncio.wait(under_way, timeout=_END_S_MAX)
    for task in under_way:
        task.cancel()
    await asyncio.gather(*under_way, return_exceptions=True)


def options_of(door: Door, key: asyncssh.SSHKey) -> asyncssh.SSHServerConnectionOptions:
    """Return how connections speak: by public keys alone, with nothing done on this machine."""
    return asyncssh.SSHServerConnectionOptions(
        server_factory=functools.partial(Guest, door),
        server_host_keys=[key],
        server_version="Skerry",
        kex_algs=_KEX,
        encryption_algs=_CIPHERS,
        mac_algs=_MACS,
        compression_algs=["none"],
        signature_algs=_SIGNATURES,
        login_timeout=_LOGIN_S_MAX,
        # The kernel's own probes find who is gone; they cost nothing here, and wake no box.
        keepalive_interval=0,
        public_key_auth=True,
        password_auth=False,
        kbdint_auth=False,
        host_based_auth=False,
        gss_host=None,
        line_editor=False,  # a terminal's own keys are for the program on it
        encoding=None,
        agent_forwarding=True,
        x11_forwarding=False,
        allow_scp=False,
        window=_WINDOW_BYTES,
    )

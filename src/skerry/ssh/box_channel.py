"""A shell, a command or the file transfer of a guest, in a box.

Whatever ends the channel ends what runs for it: what it was begun for is gone then.
"""

import asyncio
import contextlib

from skerry import client
from skerry.base import NotAvailable, SkerryError
from skerry.client.command import LOGIN_SHELL
from skerry.ssh.channel import COMMAND_BYTES_MAX, Channel, Command, Shell, Subsystem
from skerry.ssh.pipe import Eof, Lost, Resize, Signal
from skerry.ssh.rights import Keys

SUBSYSTEMS = ("sftp",)
# So that it is gone too when the door itself is killed, or cannot reach the daemon.
_ALONE_S_MAX = 10.0
# A hang-up ends the program in front, then the shell behind it, which tells its other children.
_HANG_UPS, _HANG_UP_WAIT_S = 3, 0.5

# As sshd runs it: the user's own shell reads the string.
_SHELL = ("/bin/sh", "-c", 'exec "${SHELL:-/bin/sh}" -c "$1"', "sh")
# Where Debian, Fedora, Arch and Alpine, and the BSDs' ports have it.
_FIND_SFTP = (
    "for each in /usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh /usr/libexec; do "
    '[ -x "$each/sftp-server" ] && exec "$each/sftp-server"; done; '
    "echo 'skerry: this box has no sftp-server; sudo apt-get install openssh-sftp-server' >&2; "
    "exit 127"
)
_SFTP = ("/bin/sh", "-c", _FIND_SFTP)


async def serve(
    keys: Keys, public_key: str, box: str, channel: Channel, agent_socket: str | None
) -> None:
    """Run what channel wishes for in box, and pass bytes both ways to its end.

    agent_socket: where in the box the guest's agent is reached. The box is woken first. What goes
    wrong is told on the channel.
    """
    if isinstance(channel.wish, Command) and len(channel.wish.text.encode()) > COMMAND_BYTES_MAX:
        await channel.refuse("That command is too long. Send it as a script, by stdin.")
        return
    environment = dict(channel.environment)
    if agent_socket is not None:
        environment["SSH_AUTH_SOCK"] = agent_socket
    terminal = channel.terminal
    try:
        async with contextlib.AsyncExitStack() as stack:
            session = await keys.attempt(
                public_key,
                lambda cloud: stack.enter_async_context(
                    cloud.box(box).open(
                        *_argv(channel),
                        env=environment,
                        tty=terminal is not None,
                        rows=terminal.rows if terminal else 24,
                        cols=terminal.cols if terminal else 80,
                        max_run_after_disconnect=_ALONE_S_MAX,
                    )
                ),
            )
            try:
                await _relay(channel, session)
            except SkerryError as error:
                await channel.refuse(error.message)
            finally:
                if session.exit_code is None:
                    await _end(keys, public_key, box, session)
            if session.exit_code is not None:
                await _tell_end(channel, session)
    except SkerryError as error:
        await channel.refuse(error.message)


def _argv(channel: Channel) -> tuple[str, ...]:
    match channel.wish:
        case Shell():
            return LOGIN_SHELL
        case Command(text=text):
            return (*_SHELL, text)
        case Subsystem():
            return _SFTP


async def _tell_end(channel: Channel, session: client.Session) -> None:
    assert session.exit_code is not None, "it has ended"
    with contextlib.suppress(Lost):
        if session.notice:
            await channel.complain(session.notice)
    channel.exit(session.exit_code)


async def _relay(channel: Channel, session: client.Session) -> None:
    """Pass bytes both ways until the command has ended or the channel is lost."""
    output = asyncio.create_task(_output(channel, session))
    others = [
        asyncio.create_task(_input(channel, session)),
        asyncio.create_task(channel.lost.wait()),
    ]
    try:
        await asyncio.wait([output, others[1]], return_when=asyncio.FIRST_COMPLETED)
        if output.done():
            await output
    finally:
        for task in (output, *others):
            task.cancel()
        await asyncio.gather(output, *others, return_exceptions=True)


async def _output(channel: Channel, session: client.Session) -> None:
    with contextlib.suppress(Lost):
        async for stream, data in session:
            if stream == "stdout":
                await channel.write(data)
            else:
                await channel.write_error(data)


async def _input(channel: Channel, session: client.Session) -> None:
    while (event := await channel.next_event()) is not None:
        try:
            match event:
                case bytes():
                    await session.write(event)
                case Eof():
                    await session.write_eof()
                case Resize(rows=rows, cols=cols):
                    await session.resize(rows, cols)
                case Signal(name=name):
                    await session.signal(name)
        except NotAvailable:
            return  # it has ended, or the daemon: reading its output tells which


async def _end(keys: Keys, public_key: str, box: str, session: client.Session) -> None:
    """End what runs for a channel that is gone."""
    if not (session.tty and await _has_hung_up(session)):
        await keys.end(public_key, box, session)


async def _has_hung_up(session: client.Session) -> bool:
    """Hang up, as a terminal that is gone does; return whether the shell then ended by itself.

    So what was made to outlive a terminal, such as tmux's server, does.
    """
    for _ in range(_HANG_UPS):
        with contextlib.suppress(SkerryError, TimeoutError):
            await session.signal("HUP")
            async with asyncio.timeout(_HANG_UP_WAIT_S):
                await session.wait()
        if session.exit_code is not None:
            return True
    return False

"""A guest: who is on a connection, and what they may open.

asyncssh calls nearly everything here. How the connection itself is kept in bounds is not known.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import asyncssh
from asyncssh.constants import OPEN_ADMINISTRATIVELY_PROHIBITED, OPEN_RESOURCE_SHORTAGE

from skerry.base import Invalid, SkerryError, box_name
from skerry.ssh import box_channel, control_channel, tunnels
from skerry.ssh.admission import Admission, origin_of
from skerry.ssh.agent import Agent
from skerry.ssh.channel import FAILED, Channel
from skerry.ssh.connection import Connection
from skerry.ssh.control_channel import ControlPlane
from skerry.ssh.pipe import Lost
from skerry.ssh.rights import Keys
from skerry.ssh.tunnels import Tunnel

CONTROL = "skerry"
_CHANNELS_MAX = 64  # of one connection
_KEYS_TRIED_MAX = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What all guests share. start: runs a channel's work to its end. say: writes the log.

    guests: those who are here, in the order in which they came.
    """

    keys: Keys
    plane: ControlPlane
    admission: Admission
    start: Callable[[Coroutine[Any, Any, None]], None]
    say: Callable[[str], None]
    guests: "dict[Guest, None]" = field(default_factory=dict["Guest", None])

    def make_room(self) -> bool:
        """Hang up on a stranger if there is no room for another; return whether that was so."""
        crowd = self.admission.crowd()
        if crowd is None:
            return False
        stranger = next((each for each in self.guests if each.is_stranger_from(crowd)), None)
        if stranger is not None:  # else it is counted already, but not here yet
            stranger.hang_up()
        return stranger is not None


class Guest(asyncssh.SSHServer):
    """Who is on a connection, which admission has counted."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: Connection | None = None
        self._is_known = False
        self._user = ""
        self._public_key = ""
        self._account = ""
        self._keys_tried = 0
        self._channels = 0
        self._agent: Agent | None = None

    # -- coming and going --

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Begin."""
        assert isinstance(conn, Connection), "the door makes no others"
        self._connection = conn
        self._door.guests[self] = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - its signature
        """End."""
        self._door.guests.pop(self, None)
        if self._is_known:
            self._say("left")
        else:
            self._door.admission.recognise(self._here.address)
            self._account = ""  # whoever shows a public key need not have the key
            if self._user:
                self._say("was not let in")
        self._door.admission.leave()

    def is_stranger_from(self, origin: str) -> bool:
        """Return whether it comes from there and has not logged in."""
        return not self._is_known and origin_of(self._here.address) == origin

    def hang_up(self) -> None:
        """Close the connection."""
        self._here.close()

    @property
    def _here(self) -> Connection:
        assert self._connection is not None, "asyncssh made it before it calls anything else"
        return self._connection

    def _say(self, what: str) -> None:
        account = f" as {self._account!r}" if self._account else ""
        self._door.say(f"ssh: {self._here.address} {what}{account}, {self._user[:80]!r}")

    # -- who it is --

    def begin_auth(self, username: str) -> bool:
        """Note whom it asks for."""
        self._user = username
        return True

    def public_key_auth_supported(self) -> bool:
        """Say how one logs in."""
        return True

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Return whether somebody here has this key."""
        self._keys_tried += 1
        self._user = username
        if self._keys_tried > _KEYS_TRIED_MAX:
            return False
        try:
            account = await self._door.keys.account_of(key.get_fingerprint())
        except SkerryError as error:
            self._say(f"cannot be let in ({error.code})")
            return False
        self._account = account or ""
        self._public_key = " ".join(key.export_public_key().decode().split()[:2])
        return account is not None

    def auth_completed(self) -> None:
        """Count it among those who are known."""
        assert self._account, "who is let in has an account"
        self._is_known = True
        self._door.admission.recognise(self._here.address)
        self._say("came")

    # -- what it opens --

    def session_requested(self) -> Channel:
        """Let it open a shell, a command or a subsystem."""
        self._check_room()
        subsystems = () if self._user == CONTROL else box_channel.SUBSYSTEMS
        channel = Channel(self._here.room, subsystems)
        self._start(self._attend(channel))
        return channel

    def connection_requested(
        self,
        dest_host: str,
        dest_port: int,
        orig_host: str,  # noqa: ARG002 - its signature
        orig_port: int,  # noqa: ARG002 - its signature
    ) -> Awaitable[Tunnel]:
        """Let it connect to something, as the box sees that."""
        self._check_room()
        if self._user == CONTROL or self._wrong_name():
            raise asyncssh.ChannelOpenError(
                OPEN_ADMINISTRATIVELY_PROHIBITED, "Only boxes have ports: ssh -L ... BOX@"
            )
        opened: asyncio.Future[Tunnel] = asyncio.get_running_loop().create_future()
        target, room = (dest_host, dest_port), self._here.room
        self._start(
            tunnels.carry(self._door.keys, self._public_key, self._user, target, room, opened)
        )
        return opened

    def _check_room(self) -> None:
        if self._channels >= _CHANNELS_MAX:
            raise asyncssh.ChannelOpenError(
                OPEN_RESOURCE_SHORTAGE, f"A connection has {_CHANNELS_MAX} channels."
            )

    async def _attend(self, channel: Channel) -> None:
        """Serve channel, if it is ever said what for, until both sides are through with it."""
        if await channel.has_begun():
            try:
                await self._serve(channel)
            finally:
                channel.exit(FAILED)  # if it was not told how it ended, that was a mistake of ours
        await channel.lost.wait()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        # At once, not when it is begun: the next to ask for room may stand in the same packet.
        self._channels += 1
        self._door.start(self._counted(work))

    async def _counted(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._channels -= 1

    async def _serve(self, channel: Channel) -> None:
        door = self._door
        if self._user == CONTROL:
            await control_channel.serve(
                door.plane, door.keys, self._public_key, self._account, channel
            )
        elif wrong := self._wrong_name():
            await channel.refuse(wrong)
        else:
            await self._serve_in_box(channel)

    async def _serve_in_box(self, channel: Channel) -> None:
        keys, public_key, box = self._door.keys, self._public_key, self._user
        async with contextlib.AsyncExitStack() as stack:
            path = None
            if self._here.offers_agent:
                self._agent = self._agent or Agent(self._here)
                try:
                    path = await stack.enter_async_context(self._agent.use(keys, public_key, box))
                except SkerryError as error:
                    with contextlib.suppress(Lost):
                        await channel.complain(error.message)
            await box_channel.serve(keys, public_key, box, channel, path)

    def _wrong_name(self) -> str | None:
        """Return what is wrong with the user name, which is that of a box."""
        try:
            box_name(self._user)
        except Invalid as error:
            return f"The user name is that of a box, or {CONTROL}. {error.message}"
        return None

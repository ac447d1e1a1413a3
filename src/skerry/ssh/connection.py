"""One connection as asyncssh has it, with what its options have no word for.

How many wrong keys are too many; that a guest who reads nothing, or who lets an exchange of keys
hang, must not fill our memory; that nothing is kept of an environment that nobody wants, and no
socket made on this machine for an agent; that there are no configuration files to read again at
each login; and that OpenSSH's client holds its next small packet back until the last one is
acknowledged. Who the guest is, and what it opens, is not known here.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

import asyncssh
from asyncssh.channel import SSHAgentChannel
from asyncssh.constants import (
    DISC_NO_MORE_AUTH_METHODS_AVAILABLE,
    MSG_KEX_LAST,
    MSG_KEXINIT,
    MSG_NEWKEYS,
    OPEN_ADMINISTRATIVELY_PROHIBITED,
)
from asyncssh.packet import SSHPacket, SSHPacketLogger
from asyncssh.session import SSHUNIXSessionFactory

from skerry.ssh.channel import VARIABLES_MAX, is_taken
from skerry.ssh.pipe import Room

_REFUSALS_MAX = 12  # people have several keys in their agents; sshd allows 6
_SMALL_BYTES = 1024
_TCP, _QUICK_ACK = 6, 12  # the kernel's IPPROTO_TCP and TCP_QUICKACK
# More than all channels have under way when they are held back, 64 KiB in each of two places.
_UNREAD_BYTES_MAX = 16 << 20
_AGENT_WINDOW_BYTES, _AGENT_PACKET_BYTES_MAX = 256 * 1024, 32 * 1024


class Connection(asyncssh.SSHServerConnection):
    """A connection of asyncssh from address that knows when it has had enough.

    set_option: that of its socket.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        address: str,
        set_option: Callable[[int, int, int], None],
    ) -> None:
        super().__init__(loop, options)
        self.address = address
        self.room = Room()
        self.offers_agent = False
        self._set_option = set_option
        self._stream: asyncio.WriteTransport | None = None
        self._is_full = False  # what was sent last is not read
        self._exchanges_keys = False
        self._held_back_bytes = 0  # by asyncssh, until the keys are exchanged
        self._refusals = 0

    async def reload_config(self) -> None:
        """Read nothing: it would cost each login a thread, and each connection its own options."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket's stream."""
        self._stream = cast("asyncio.WriteTransport", transport)  # uvloop's is of no such class
        super().connection_made(transport)

    def data_received(self, data: bytes, datatype: asyncssh.DataType = None) -> None:
        """Take in what came, and acknowledge it at once if the client may wait for that.

        Else the kernel would wait 40 ms for something of ours to send along, twice in each login.
        """
        super().data_received(data, datatype)
        if len(data) < _SMALL_BYTES:
            with contextlib.suppress(OSError):  # it is closed
                self._set_option(_TCP, _QUICK_ACK, 1)

    def send_packet(
        self, pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None
    ) -> None:
        """Send a packet; where too many wait for a client that does not take them, hang up.

        While keys are exchanged, asyncssh keeps what is sent, for as long as the client likes. So
        the channels are held back then too; what is left are answers.
        """
        if pkttype == MSG_KEXINIT:
            self._exchanges_keys = True
            self._held_back_bytes = 0
            self._tell_room()
        super().send_packet(pkttype, *args, handler=handler)
        if pkttype == MSG_NEWKEYS:
            self._exchanges_keys = False
            self._tell_room()
        elif pkttype > MSG_KEX_LAST:
            self._check_unread(sum(map(len, args)))

    def _check_unread(self, size: int) -> None:
        waiting = 0
        if self._exchanges_keys:
            self._held_back_bytes += size
            waiting = self._held_back_bytes
        elif self._is_full and self._stream is not None:
            waiting = self._stream.get_write_buffer_size()
        if waiting > _UNREAD_BYTES_MAX:
            self.abort()

    def pause_writing(self) -> None:
        """Hold all channels back: the client does not read what its windows would allow."""
        self._is_full = True
        self._tell_room()

    def resume_writing(self) -> None:
        """Let them go on."""
        self._is_full = False
        self._tell_room()

    def _tell_room(self) -> None:
        if self._is_full or self._exchanges_keys:
            self.room.close()
        else:
            self.room.open()

    def connection_lost(self, exc: Exception | None = None) -> None:
        """Let them go on, to notice."""
        self._is_full = self._exchanges_keys = False
        self.room.open()
        super().connection_lost(exc)

    def send_userauth_failure(self, partial_success: bool) -> None:  # noqa: FBT001 - its signature
        """Say no; once too often, hang up."""
        self._refusals += 1
        if self._refusals > _REFUSALS_MAX:
            self.disconnect(DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "Too many keys were tried")
            return
        super().send_userauth_failure(partial_success)

    def create_server_channel(
        self,
        encoding: str | None = "",
        errors: str = "",
        window: int = 0,
        max_pktsize: int = 0,
    ) -> "asyncssh.SSHServerChannel[bytes]":
        """Make a session's channel, one that keeps little."""
        made = cast(
            "asyncssh.SSHServerChannel[bytes]",
            super().create_server_channel(encoding, errors, window, max_pktsize),  # pyright: ignore[reportUnknownMemberType] - of what encoding says
        )
        # Not by its constructor, which is given eleven things that are asyncssh's own business.
        made.__class__ = _FrugalChannel
        return made

    async def create_agent_listener(self) -> bool:
        """Note that the client has an agent. Its socket is in the box, never on this machine."""
        self.offers_agent = True
        return True

    async def create_agent_connection(
        self,
        session_factory: "SSHUNIXSessionFactory[bytes]",
        *,
        window: int = _AGENT_WINDOW_BYTES,
        max_pktsize: int = _AGENT_PACKET_BYTES_MAX,
    ) -> "tuple[SSHAgentChannel, asyncssh.SSHUNIXSession[bytes]]":
        """Connect to the client's agent. Raises asyncssh.ChannelOpenError."""
        if not self.offers_agent:
            raise asyncssh.ChannelOpenError(OPEN_ADMINISTRATIVELY_PROHIBITED, "No agent is there")
        channel = self.create_agent_channel(window, max_pktsize)
        return channel, await channel.open(session_factory)


class _FrugalChannel(asyncssh.SSHServerChannel[bytes]):
    """Keeps of the guest's environment what may be used, and no more."""

    def _process_env_request(self, packet: SSHPacket) -> bool:
        asked = SSHPacket(packet.get_remaining_payload())
        name, value = asked.get_string(), asked.get_string()
        if not is_taken(name, value) or len(self.get_environment_bytes()) >= VARIABLES_MAX:
            return False
        return super()._process_env_request(packet)

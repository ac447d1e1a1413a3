"""The zygote as the daemon sees it: a child process that is handed sockets.

What it does with them is `skerry.holder`'s business.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
from pathlib import Path

from skerry.base import NotAvailable

# -I and -S: neither the environment nor site-packages have a say in a process of root's. Our own
# package comes last in the path, so that nothing beside it stands before the standard library.
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); "
    "from skerry.holder.zygote import main; main(int(sys.argv[2]))"
)
_PACKAGES = str(Path(__file__).parents[2])
_TIMEOUT_S = 10.0
_NO_PROGRAM = b"\0"


class Zygote:
    """The zygote of one daemon; it is started when first needed and again whenever it died."""

    def __init__(self, log: str, program: bytes) -> None:
        self._log = log
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Start it if it does not run. Raises NotAvailable(exec_not_available)."""
        async with self._starting:
            if self._process is not None and self._process.poll() is None:
                return
            await self._stop()
            await self._start()

    async def hand_over(self, theirs: socket.socket) -> None:
        """Have a holder forked that serves theirs. Raises NotAvailable(exec_not_available)."""
        for _ in range(2):
            await self.start()
            control = self._control
            assert control is not None, "it was started"
            try:
                async with asyncio.timeout(_TIMEOUT_S):
                    await _send_descriptor(control, theirs.fileno())
            except (BrokenPipeError, ConnectionResetError):
                await self._stop_if(control)  # it died, though it may still seem to run
                continue
            except TimeoutError as error:
                raise _not_available("it takes no requests") from error
            return
        raise _not_available("it dies at once")

    async def close(self) -> None:
        """End it. The holders that it forked live on."""
        async with self._starting:
            await self._stop()

    async def _stop_if(self, control: socket.socket) -> None:
        async with self._starting:
            if self._control is control:
                await self._stop()

    async def _start(self) -> None:
        ours = self._spawn()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await loop.sock_sendall(ours, self._program or _NO_PROGRAM)
                answer = await loop.sock_recv(ours, 1)
        except OSError as error:  # TimeoutError too
            await self._stop()
            raise _not_available(str(error)) from error
        if not answer:
            await self._stop()
            raise _not_available(f"see {self._log}")

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        descriptor = theirs.fileno()
        with theirs, open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, _PACKAGES, f"{descriptor}"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env={},
                pass_fds=(descriptor,),
                start_new_session=True,  # Ctrl-C at the daemon's terminal is not for holders
            )
        ours.settimeout(0)
        self._control = ours
        return ours

    async def _stop(self) -> None:
        control, process = self._control, self._process
        self._control = self._process = None
        if control is not None:
            control.close()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(process.wait, _TIMEOUT_S)
            process.kill()
            process.wait()


async def _send_descriptor(control: socket.socket, descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    while True:
        try:
            socket.send_fds(control, [b"\0"], [descriptor])
        except BlockingIOError:
            writable = loop.create_future()
            loop.add_writer(
                control, lambda future=writable: future.done() or future.set_result(None)
            )
            try:
                await writable
            finally:
                loop.remove_writer(control)
        else:
            return


def _not_available(reason: str) -> NotAvailable:
    return NotAvailable(
        "exec_not_available",
        f"Commands cannot be started: the process that starts them failed ({reason}). "
        "Try again; if it stays, restart Skerry.",
    )

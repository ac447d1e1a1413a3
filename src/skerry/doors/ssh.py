"""The SSH door: it asks the daemon by the API like any client, so it is told nothing."""

from collections.abc import Callable
from pathlib import Path

from skerry import __version__
from skerry.doors.keeping import Door, Watcher, keep
from skerry.host.companion import Companion


async def keep_ssh(
    data: Path, listen: str, api: str, ready: Callable[[], None], say: Callable[[str], None]
) -> None:
    """Have an SSH door running until cancelled, then end it. ready and say: see `Watcher`.

    data: the daemon's directory. listen: ADDRESS:PORT; api: where the daemon's API is. Raises
    Invalid(bad_setting), NotAvailable(address_in_use, door_failed).
    """
    door = Door(
        name="the SSH door",
        module="skerry.ssh",
        flag="--ssh-listen",
        run=data / "ssh",
        listen=listen,
        options=("--data", str(data), "--api", api, "--version", __version__),
    )
    await keep(door, Watcher(arrival=_arrival, ready=ready, lost=_nothing, say=say))


async def _arrival(_running: Companion) -> None:
    """Wait for nothing: who comes before it is ready waits in the kernel."""


def _nothing() -> None:
    """Do nothing: no state of ours depends on it."""

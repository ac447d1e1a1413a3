"""The object store as a door: it asks the daemon for nothing, and has its own directory."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skerry import __version__
from skerry.doors.keeping import Door, Watcher, keep
from skerry.host.companion import Companion


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """Where the store lives, and how it is served. run: a directory for its lock and last words.

    directory: of the store. listen: ADDRESS:PORT. domain, region: as `skerry s3` has them.
    """

    run: Path
    directory: Path
    listen: str
    domain: str
    region: str


async def keep_objects(shelf: Shelf, ready: Callable[[], None], say: Callable[[str], None]) -> None:
    """Have the store served until cancelled, then end it. ready and say: see `Watcher`.

    Raises Invalid(bad_setting), NotAvailable(address_in_use, door_failed).
    """
    door = Door(
        name="the object store",
        module="skerry.cli.s3_door",
        flag="--s3-listen",
        run=shelf.run,
        listen=shelf.listen,
        options=(
            "--dir", str(shelf.directory), "--domain", shelf.domain, "--region", shelf.region,
            "--version", __version__,
        ),
    )  # fmt: skip
    await keep(door, Watcher(arrival=_arrival, ready=ready, lost=_nothing, say=say))


async def _arrival(_running: Companion) -> None:
    """Wait for nothing: who comes before it is ready waits in the kernel."""


def _nothing() -> None:
    """Do nothing: no state of ours depends on it."""

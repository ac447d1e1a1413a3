"""A box that runs, on a small disk, and short ways to run commands in it: for tests of sessions."""

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from skerry.host import cgroups
from skerry.host.containers import BoxEntry, Containers
from skerry.host.seam import BoxLimits, BoxStart, ExecSpec, Exit, Output
from skerry.host.sessions import Link, SessionRules, Sessions
from skerry.testing.small_disk import build_small_disk

SECOND_NS = 10**9
_IDS_BASE = 2_000_000_000
_BOX_ID = "box_test"
# Long enough to ask for an end, short enough to leave no processes behind a run of tests.
_RULES = SessionRules(linger_ns=2 * SECOND_NS)
_WORK_S_MAX = 60
_NUMBERS = count()


@dataclass(frozen=True)
class LiveBox:
    """A box that runs. sessions: the directory that its sessions are in."""

    disk: Path
    entry: BoxEntry
    program: bytes
    sessions: str
    box_id: str = _BOX_ID

    def directory(self, session_id: str) -> Path:
        """Return the directory of a session."""
        return Path(self.sessions) / self.box_id / session_id

    def group(self, session_id: str) -> Path:
        """Return the control group of a session."""
        return Path(self.entry.group) / f"exec-{session_id}"

    def processes(self, session_id: str) -> list[int]:
        """Return the pids in the control group of a session."""
        return cgroups.list_processes(str(self.group(session_id)))

    def is_clear_of(self, session_id: str) -> bool:
        """Return whether nothing is left of a session."""
        return not self.directory(session_id).exists() and not self.group(session_id).exists()


@contextmanager
def running_box(top: Path) -> Generator[LiveBox]:
    """Start a box on a small disk below top, which need not be a pool; end it afterwards."""
    disk, checkpoints = top / "disk", top / "checkpoints"
    build_small_disk(disk)
    checkpoints.mkdir()
    instance = f"t{os.getpid() % 10**6}s"
    containers = Containers(run_directory=f"{top}/run", instance=instance, ids_base=_IDS_BASE)
    limits = BoxLimits(cpus=2, memory_bytes=256 * 2**20, disk_bytes=2**30, processes=200)
    slot = 2 + os.getpid() % 20_000
    start = BoxStart(box_id=_BOX_ID, slot=slot, hostname="test", limits=limits)
    try:
        containers.start(start, str(disk), str(checkpoints))
        entry = containers.entry(_BOX_ID)
        yield LiveBox(disk, entry, containers.program, f"{top}/run/sessions")
    finally:
        containers.stop(_BOX_ID, 0)
        containers.close()
        layout = cgroups.find_layout(f"{top}/run/cgroup2")
        for name in (instance, f"{instance}.monitor", f"{instance}.pivot"):
            cgroups.kill_and_remove(cgroups.Tree(layout, name), 10 * SECOND_NS)
        containers.retire()


@asynccontextmanager
async def opened(box: LiveBox, rules: SessionRules = _RULES) -> AsyncGenerator[Sessions]:
    """Give the sessions of box as one daemon has them."""
    logs = f"{os.path.dirname(box.sessions)}/logs"
    sessions = Sessions(directory=box.sessions, logs=logs, program=box.program, rules=rules)
    try:
        yield sessions
    finally:
        await sessions.close()


def new_session_id() -> str:
    """Return an id that no other test has."""
    return f"ses_{os.getpid()}_{next(_NUMBERS)}"


async def begin(
    sessions: Sessions,
    box: LiveBox,
    *argv: bytes | str,
    session_id: str | None = None,
    **options: Any,  # noqa: ANN401 - those of ExecSpec
) -> Link:
    """Start a command; options are those of ExecSpec."""
    words = [word.encode() if isinstance(word, str) else word for word in argv]
    spec = ExecSpec(argv=words, **options)
    return await sessions.open(box.box_id, box.entry, session_id or new_session_id(), spec)


async def collect(link: Link) -> tuple[bytes, bytes, Exit]:
    """Read a link to its end, and close it: stdout, stderr, exit."""
    streams, end = {"stdout": bytearray(), "stderr": bytearray()}, None
    try:
        async for event in link.events():
            if isinstance(event, Output):
                streams[event.stream] += event.data
            else:
                end = event
    finally:
        await link.close()
    assert end is not None
    return bytes(streams["stdout"]), bytes(streams["stderr"]), end


async def read_until(link: Link, wanted: bytes) -> None:
    """Read a link until its output holds wanted."""
    seen = b""
    async for event in link.events():
        assert isinstance(event, Output), f"it ended after {seen!r}"
        seen += event.data
        if wanted in seen:
            return


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    while not condition():  # noqa: ASYNC110 - the kernel sets no asyncio.Event
        await asyncio.sleep(0.005)


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run work to its end, for a minute at most."""
    asyncio.run(asyncio.wait_for(work, _WORK_S_MAX))


def execute(box: LiveBox, *argv: bytes | str, **options: Any) -> tuple[bytes, bytes, Exit]:  # noqa: ANN401 - those of ExecSpec
    """Run a command to its end: stdout, stderr, exit."""

    async def work() -> tuple[bytes, bytes, Exit]:
        async with opened(box) as sessions:
            return await collect(await begin(sessions, box, *argv, **options))

    return asyncio.run(asyncio.wait_for(work(), _WORK_S_MAX))

"""A store on a real disk that is killed while it writes and makes room: nothing acknowledged is lost."""

import asyncio
import functools
import hashlib
import os
import subprocess
import sys
from pathlib import Path

from skerry.base import NotFound
from skerry.host.clock import SystemClock, entropy
from skerry.host.object_disk import connect_index, object_disk
from skerry.objects import open_objects
from tests.objects.place import get
from tests.objects.putting import SEGMENT_BYTES
from tests.process import running

LIVES = int(os.environ.get("SKERRY_TEST_KILLS", "4"))
ACKNOWLEDGED = 3000  # in each life: some segments


def live(directory: Path, seed: int, known: dict[str, str | None], doubtful: set[str]) -> None:
    """Have it write until it has acknowledged so much; kill it."""
    command = [sys.executable, "-m", "tests.objects.putting", str(directory), str(seed)]
    with running(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout is not None
        done = 0
        for line in process.stdout:
            sign, key, *digest = line.split()
            doubtful.add(key) if sign == "?" else doubtful.discard(key)
            if sign != "?":
                known[key] = digest[0] if digest else None
                done += 1
            if done == ACKNOWLEDGED and sign != "?":
                process.kill()  # what it has said by then is read to its end


async def there(directory: Path, keys: set[str]) -> tuple[dict[str, str | None], list[int]]:
    """Return the digests of what is there, and the segments of the log."""
    found: dict[str, str | None] = {}
    with object_disk(directory) as disk:
        connect = functools.partial(connect_index, directory)
        objects = open_objects(disk, connect, SystemClock(), entropy, SEGMENT_BYTES)
        for key in keys:
            try:
                found[key] = hashlib.md5(await get(objects, "bkt", key)).hexdigest()
            except NotFound:
                found[key] = None
        await objects.close()
        return found, disk.segments()


def test_nothing_acknowledged_is_lost_while_room_is_made(tmp_path: Path) -> None:
    known: dict[str, str | None] = {}
    segments: list[int] = []
    for seed in range(LIVES):
        doubtful: set[str] = set()
        live(tmp_path, seed, known, doubtful)
        if seed % 2:
            for path in tmp_path.glob("index.db*"):
                path.unlink()
        found, segments = asyncio.run(there(tmp_path, {*known, *doubtful}))
        assert {key: each for key, each in found.items() if key not in doubtful} == {
            key: each for key, each in known.items() if key not in doubtful
        }
        known = found

    assert segments[0] > LIVES

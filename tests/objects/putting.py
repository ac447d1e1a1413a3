"""`python -m tests.objects.putting DIR SEED` puts and deletes until it is killed, while room is made.

It says `? KEY` before it asks for something, `= KEY MD5` or `- KEY` once that is acknowledged.
"""

import asyncio
import functools
import hashlib
import random
import sys
from pathlib import Path

from skerry.host.clock import SystemClock, entropy
from skerry.host.object_disk import connect_index, object_disk
from skerry.objects import Objects, buckets, compaction, open_objects, versions
from tests.objects.place import put, put_big

SEGMENT_BYTES = 1 << 20


async def work(objects: Objects, drawn: random.Random, name: int) -> None:
    for number in range(10**6):
        key = f"{name}-{drawn.randrange(60)}"
        print(f"? {key}", flush=True)
        chance = drawn.random()
        if chance < 0.1:
            await versions.delete(objects, "bkt", key)
            print(f"- {key}", flush=True)
        else:
            data = b"%d-%d-" % (name, number) * drawn.randrange(1, 400)
            await (put_big if chance > 0.97 else put)(objects, key, data)
            print(f"= {key} {hashlib.md5(data).hexdigest()}", flush=True)


async def make_room(objects: Objects) -> None:
    while True:
        await compaction.compact(objects)
        await asyncio.sleep(0)


async def main(directory: Path, seed: int) -> None:
    with object_disk(directory) as disk:
        connect = functools.partial(connect_index, directory)
        objects = open_objects(disk, connect, SystemClock(), entropy, SEGMENT_BYTES)
        if not buckets.is_there(objects, "bkt"):
            await buckets.make(objects, "bkt", "me")
        async with asyncio.TaskGroup() as group:
            group.create_task(make_room(objects))
            for name in range(8):
                group.create_task(work(objects, random.Random(seed * 100 + name), name))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))

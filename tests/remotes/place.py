"""A store of ours, served from a thread of this process on a real directory, for clients."""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from skerry.host.clock import SystemClock, entropy
from skerry.host.listener import listen_tcp
from skerry.host.object_disk import connect_index, object_disk
from skerry.objects import Objects, open_objects
from skerry.objects.scrubbing import Scrubbed
from skerry.remotes.model import Remote
from skerry.remotes.s3 import S3, connect
from skerry.s3.keyring import Key, Keyring
from skerry.s3.metrics import Metrics
from skerry.s3.server import router, serve
from skerry.s3.service import Service
from skerry.s3.sessions import Sessions

ACCESS, SECRET = "tester", "secret-of-tester"


@dataclass
class Shore:
    """The store, and a client of it."""

    remote: Remote
    client: S3

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.remote.endpoint, "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
        }  # fmt: skip

    def bucket(self, name: str = "bkt", *, versions: bool = False) -> str:
        self.client.create_bucket(Bucket=name)
        if versions:
            status = {"Status": "Enabled"}
            self.client.put_bucket_versioning(Bucket=name, VersioningConfiguration=status)
        return name

    def put(self, key: str, data: bytes = b"x", bucket: str = "bkt") -> str:
        return self.client.put_object(Bucket=bucket, Key=key, Body=data).get("VersionId", "")

    def get(self, key: str, bucket: str = "bkt") -> bytes:
        return self.client.get_object(Bucket=bucket, Key=key)["Body"].read()

    def keys(self, bucket: str = "bkt") -> list[str]:
        found = self.client.list_objects_v2(Bucket=bucket).get("Contents", [])
        return [each["Key"] for each in found]


@contextlib.contextmanager
def shore(folder: Path) -> Generator[Shore]:
    ports: list[int] = []
    up, ends = threading.Event(), list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]()

    async def run() -> None:
        stop = asyncio.Event()
        ends.append((asyncio.get_running_loop(), stop))
        listener = listen_tcp("127.0.0.1:0", "--listen")
        ports.append(listener.getsockname()[1])
        clock = SystemClock()
        with object_disk(folder) as disk:
            connected = functools.partial(connect_index, folder)
            objects = open_objects(disk, connected, clock, entropy)
            try:
                await serve(_service(objects, clock).serve, listener, up.set, stop)
            finally:
                await objects.close()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    assert up.wait(30)
    url = f"http://127.0.0.1:{ports[0]}"
    remote = Remote(endpoint=url, access_key=ACCESS, secret=SECRET)
    client = connect(remote)
    try:
        yield Shore(remote, client)
    finally:
        client.close()
        loop, stop = ends[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(30)


def _service(objects: Objects, clock: SystemClock) -> Service:
    def now_s() -> int:
        return clock.now_ns() // 10**9

    root = Key(access_key=ACCESS, secret=SECRET)
    keyring = Keyring(objects, {ACCESS: root}, Sessions(entropy(32), entropy, now_s))
    return Service(
        objects=objects, router=router(), region="us-east-1", domain="localhost",
        keyring=keyring, now_s=now_s, metrics=Metrics(objects, Scrubbed(), ""),
    )  # fmt: skip

"""The object store beside others: small objects, big ones, listings, memory, start.

`python -m bench.s3 [--objects N] [--peer NAME=URL]...`; a peer's keys are those of the environment
(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY). moto's server is measured too if it is installed.
"""

import argparse
import asyncio
import contextlib
import datetime as dt
import hashlib
import hmac
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import uvloop

from bench.boxes import free_port
from bench.gateway import until_open
from bench.measure import Result, machine, result, table

ROOT = Path(__file__).parents[1]
CONNECTIONS, SMALL_BYTES = 32, 4096
BIG_BYTES, PART_BYTES = 256 << 20, 16 << 20
ACCESS, SECRET = "bench-access", "bench-secret-key"
BOUNDS = {"PUT": (2500, 5000), "GET": (5000, 10_000)}
EMPTY = hashlib.sha256().hexdigest()


@dataclass
class Peer:
    """A server of S3. pid: 0 if it is not ours to look at."""

    name: str
    host: str
    port: int
    access: str
    secret: str
    pid: int = 0


def signed(peer: Peer, method: str, path: str, query: str = "", body: bytes = b"") -> bytes:
    """Return a request, signed now. query: its pairs in order, encoded."""
    now = dt.datetime.now(dt.UTC)
    moment, date = f"{now:%Y%m%dT%H%M%SZ}", f"{now:%Y%m%d}"
    payload = hashlib.sha256(body).hexdigest() if body else EMPTY
    host, names = f"{peer.host}:{peer.port}", "host;x-amz-content-sha256;x-amz-date"
    canonical = (
        f"{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{payload}\n"
        f"x-amz-date:{moment}\n\n{names}\n{payload}"
    )
    scope = f"{date}/us-east-1/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{peer.secret}".encode()
    for part in (date, "us-east-1", "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return (
        f"{method} {path}{'?' + query if query else ''} HTTP/1.1\r\nHost: {host}\r\n"
        f"x-amz-content-sha256: {payload}\r\nx-amz-date: {moment}\r\nAuthorization: "
        f"AWS4-HMAC-SHA256 Credential={peer.access}/{scope}, SignedHeaders={names}, "
        f"Signature={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


class Line:
    """A connection to a server."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    @classmethod
    async def to(cls, peer: Peer) -> "Line":
        """Connect."""
        line = cls(peer)
        await line.connected()
        return line

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return both ends; some servers close after each answer."""
        if self.ends is None:
            self.ends = await asyncio.open_connection(self.peer.host, self.peer.port, limit=8 << 20)
        return self.ends

    async def ask(self, request: bytes, *, keeps: bool = False) -> tuple[int, bytes, bytes]:
        """Send a request; return status, head and body, the latter empty unless keeps."""
        reader, writer = await self.connected()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        match = re.search(rb"content-length: *([0-9]+)", head, re.IGNORECASE)
        left, pieces = int(match[1]) if match else 0, list[bytes]()
        while left:
            piece = await reader.read(min(left, 4 << 20))
            assert piece, "the answer is whole"
            left -= len(piece)
            if keeps:
                pieces.append(piece)
        if head.startswith(b"HTTP/1.0") or b"connection: close" in head.lower():
            self.close()
        return int(head[9:12]), head, b"".join(pieces)

    def close(self) -> None:
        """Close."""
        if self.ends is not None:
            self.ends[1].close()
            self.ends = None


async def rate(peer: Peer, method: str, keys: list[str], data: bytes) -> tuple[float, list[float]]:
    """Make a request for each key over all connections; return them a second, and each one's ms."""
    took_ms: list[float] = []

    async def work(own: list[bytes]) -> None:
        line = await Line.to(peer)
        for request in own:
            began = time.perf_counter()
            status, _, _ = await line.ask(request)
            took_ms.append((time.perf_counter() - began) * 1000)
            assert status == 200, status
        line.close()

    requests = [signed(peer, method, f"/bench/{quote(key)}", body=data) for key in keys]
    began = time.perf_counter()
    await asyncio.gather(*(work(requests[n::CONNECTIONS]) for n in range(CONNECTIONS)))
    return len(keys) / (time.perf_counter() - began), took_ms


async def listed(peer: Peer) -> tuple[int, float]:
    """List all keys; return how many there are, and how many a second."""
    line = await Line.to(peer)
    count, token, began = 0, "", time.perf_counter()
    while True:
        query = (
            f"continuation-token={quote(token, safe='')}&list-type=2" if token else "list-type=2"
        )
        status, _, body = await line.ask(signed(peer, "GET", "/bench", query), keeps=True)
        assert status == 200, body
        count += body.count(b"<Contents>")
        match = re.search(rb"<NextContinuationToken>([^<]+)<", body)
        if match is None:
            line.close()
            return count, count / (time.perf_counter() - began)
        token = match[1].decode()


async def big(peer: Peer) -> tuple[float, float]:
    """Upload an object in parts, and get it; return MiB a second of both."""
    line = await Line.to(peer)
    _, _, body = await line.ask(signed(peer, "POST", "/bench/big", "uploads="), keeps=True)
    match = re.search(rb"<UploadId>([^<]+)<", body)
    assert match is not None, body
    upload, etags = quote(match[1].decode(), safe=""), dict[int, str]()
    parts = range(1, BIG_BYTES // PART_BYTES + 1)
    data = os.urandom(PART_BYTES)

    requests = {
        number: signed(peer, "PUT", "/bench/big", f"partNumber={number}&uploadId={upload}", data)
        for number in parts
    }

    async def work(numbers: Iterable[int]) -> None:
        own = await Line.to(peer)
        for number in numbers:
            status, head, _ = await own.ask(requests[number])
            found = re.search(rb"etag: *([^\r]+)", head, re.IGNORECASE)
            assert status == 200, head
            assert found is not None, head
            etags[number] = found[1].decode()
        own.close()

    began = time.perf_counter()
    await asyncio.gather(*(work(parts[n::4]) for n in range(4)))
    document = "".join(
        f"<Part><PartNumber>{number}</PartNumber><ETag>{etags[number]}</ETag></Part>"
        for number in parts
    )
    document = f"<CompleteMultipartUpload>{document}</CompleteMultipartUpload>"
    request = signed(peer, "POST", "/bench/big", f"uploadId={upload}", document.encode())
    status, _, said = await line.ask(request, keeps=True)
    assert status == 200, said
    put_s = time.perf_counter() - began
    began = time.perf_counter()
    status, _, _ = await line.ask(signed(peer, "GET", "/bench/big"))
    assert status == 200, status
    get_s = time.perf_counter() - began
    line.close()
    return (BIG_BYTES >> 20) / put_s, (BIG_BYTES >> 20) / get_s


@contextlib.contextmanager
def ours(directory: Path) -> Generator[Peer]:
    """Run `skerry s3` on a directory."""
    port = free_port()
    environment = {**os.environ, "SKERRY_S3_ACCESS_KEY": ACCESS, "SKERRY_S3_SECRET_KEY": SECRET}
    command = [str(ROOT / "skerry"), "s3", "--dir", str(directory), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            until_open(port)
            yield Peer("skerry", "127.0.0.1", port, ACCESS, SECRET, process.pid)
        finally:
            process.terminate()


@contextlib.contextmanager
def moto() -> Generator[Peer | None]:
    """Run moto's server, if it is installed."""
    if importlib.util.find_spec("moto") is None:
        yield None
        return
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until_open(port)
            yield Peer("moto", "127.0.0.1", port, ACCESS, SECRET, process.pid)
        finally:
            process.terminate()


def disk_rate(directory: Path) -> float:
    """Return how many MiB a second the disk takes, one after another, and synced at the end."""
    data, path = os.urandom(PART_BYTES), directory / "sequential"
    began = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(BIG_BYTES // PART_BYTES):
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    took_s = time.perf_counter() - began
    path.unlink()
    return (BIG_BYTES >> 20) / took_s


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def until_listed(peer: Peer) -> None:
    """Wait until a server answers what a bucket holds."""

    async def ask() -> None:
        line = await Line.to(peer)
        await line.ask(signed(peer, "GET", "/bench", "list-type=2&max-keys=1"), keeps=True)
        line.close()

    uvloop.run(ask())


def measured(peer: Peer, rounds: int, count: int) -> list[Result]:
    """Measure small and big objects of one server."""

    async def work() -> list[Result]:
        await make_bucket(peer)
        data, found = os.urandom(SMALL_BYTES), list[Result]()
        keys = [f"small/{number}" for number in range(count)]
        for method, bounds in BOUNDS.items():
            rates, took_ms = list[float](), list[float]()
            for _ in range(rounds):
                each, times = await rate(peer, method, keys, data if method == "PUT" else b"")
                rates.append(each)
                took_ms += times
            what = f"{peer.name}: {method} 4 KiB, {CONNECTIONS} connections"
            found += [
                result(what, rates, unit="/s", must=bounds[0], aim=bounds[1]),
                result(f"{what}, each", took_ms),
            ]
        pairs = [await big(peer) for _ in range(rounds)]
        found.append(
            result(f"{peer.name}: PUT 256 MiB in parts", [a for a, _ in pairs], unit="MiB/s")
        )
        found.append(result(f"{peer.name}: GET 256 MiB", [b for _, b in pairs], unit="MiB/s"))
        return found

    return uvloop.run(work())


async def make_bucket(peer: Peer) -> None:
    """Make the bucket that all of this is done in."""
    line = await Line.to(peer)
    await line.ask(signed(peer, "PUT", "/bench"), keeps=True)
    line.close()


def many(directory: Path, count: int) -> list[Result]:
    """Measure listings, memory and the start with very many objects."""
    with ours(directory) as peer:
        uvloop.run(make_bucket(peer))
        keys = [f"many/{number % 1000:03}/{number:07}" for number in range(count)]
        began = time.perf_counter()
        for begin in range(0, count, 50_000):
            uvloop.run(rate(peer, "PUT", keys[begin : begin + 50_000], b"x"))
        filled = count / (time.perf_counter() - began)
        rates = [uvloop.run(listed(peer))[1] for _ in range(3)]
        uvloop.run(rate(peer, "GET", keys[:: max(1, count // 20_000)], b""))
        used = memory_mb(peer.pid)
    starts: list[float] = []
    for _ in range(3):
        began = time.perf_counter()
        with ours(directory) as peer:
            until_listed(peer)
            starts.append(time.perf_counter() - began)
    name = f"{count:,} objects"
    return [
        result(f"{name}: filled", [filled], unit="/s"),
        result(f"{name}: keys listed", rates, unit="/s", must=60_000, aim=200_000),
        result(f"{name}: memory under load", [used], unit="MB", must=250, aim=120),
        result(f"{name}: start, process and all", starts, unit="s", must=2, aim=0.5),
    ]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer", action="append", default=list[str](), metavar="NAME=URL")
    asked = parser.parse_args()
    found: list[Result] = []
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        with ours(Path(folder) / "a") as peer:
            found += measured(peer, asked.rounds, 12_800)
        rates = [disk_rate(Path(folder)) for _ in range(asked.rounds)]
        found.append(result("the disk: 256 MiB, sequentially", rates, unit="MiB/s"))
        with moto() as peer:
            if peer is not None:
                found += measured(peer, 1, 1280)
        peers: list[str] = asked.peer
        for text in peers:
            name, _, url = text.partition("=")
            parts = urlsplit(url)
            access, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
            host, port = parts.hostname or "127.0.0.1", parts.port or 80
            found += measured(Peer(name, host, port, access, secret), asked.rounds, 12_800)
        found += many(Path(folder) / "b", asked.objects)
    print(machine())
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

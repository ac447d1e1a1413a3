"""How fast the gateway is: `python -m bench.gateway [--quick] [--json FILE]`, as root.

Beside Caddy in the same run, each with one core of its own in turn: the load and the server that
answers are on another. Then how long a first byte takes from a box that runs, is warm, is cold, and
what boxes that sleep cost.
"""

import argparse
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from bench.boxes import ROOT, Daemon, daemon, free_port
from bench.http_api import Api
from bench.measure import Result, machine, result, table, timed, write_json

CONNECTIONS = 32
PROXY_CORE, OTHER_CORE = 0, 1
# Answers whatever comes with 13 bytes, for as little as Python can do it.
SERVER = """
import asyncio, contextlib, os, sys
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 13\\r\\n\\r\\nHello, World!"
class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
        self.held = b""
    def data_received(self, data):
        data = self.held + data
        count = data.count(b"\\r\\n\\r\\n")
        self.held = data.rpartition(b"\\r\\n\\r\\n")[2] if count else data
        if count:
            self.transport.write(ANSWER * count)
async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()
with contextlib.suppress(OSError):
    os.sched_setaffinity(0, {1})
asyncio.run(main())
"""


@dataclass(frozen=True)
class Load:
    """What one run of wrk found. cpu_us: CPU time of the proxy for each request."""

    per_second: float
    p99_ms: float
    cpu_us: float


@contextlib.contextmanager
def caddy(directory: Path) -> Generator[tuple[int, int]]:
    """Run Caddy in front of a server of its own on loopback; give its port and process id."""
    port, behind = free_port(), free_port()
    config = directory / "Caddyfile"
    config.write_text(
        "{\n admin off\n auto_https off\n}\n"
        f"http://:{port} {{\n reverse_proxy 127.0.0.1:{behind}\n}}\n"
    )
    environment = {**os.environ, "GOMAXPROCS": "1", "HOME": str(directory)}
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    with (
        subprocess.Popen([sys.executable, "-c", SERVER, str(behind)]) as server,
        subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process,
    ):
        try:
            until_open(port)
            yield port, process.pid
        finally:
            process.terminate()
            server.terminate()


def until_open(port: int) -> None:
    """Wait until a port of this machine takes connections."""
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {port}")


def pin(pid: int, core: int) -> None:
    """Let all threads of a process run on one core alone."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def cpu_s(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(port: int, pid: int, host: str, seconds: int) -> Load:
    """Load a proxy for a while."""
    pin(pid, PROXY_CORE)
    before = cpu_s(pid)
    command = ["taskset", "-c", str(OTHER_CORE), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s"]
    command += ["--latency", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    assert "Socket errors" not in said, said
    count = int(must_find(r"(\d+) requests in", said))
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert p99 is not None, said
    scale = {"us": 1e-3, "ms": 1, "s": 1e3}[p99[2]]
    used = (cpu_s(pid) - before) * 1e6 / count
    return Load(float(must_find(r"Requests/sec:\s+([\d.]+)", said)), float(p99[1]) * scale, used)


def must_find(pattern: str, text: str) -> str:
    """Return what the group of a pattern finds in text."""
    found = re.search(pattern, text)
    assert found is not None, text
    return found[1]


def beside_caddy(running: Daemon, directory: Path, rounds: int, seconds: int) -> list[Result]:
    """Load the gateway and Caddy in turn."""
    if not (shutil.which("caddy") and shutil.which("wrk")):
        print("caddy or wrk is missing, so there is no comparison: apt-get install caddy wrk")
        return []
    ours: list[Load] = []
    theirs: list[Load] = []
    with caddy(directory) as (port, pid):
        gateway = gateway_pid(running)
        for _ in range(rounds):
            ours.append(load(running.web_port, gateway, "fast.localhost", seconds))
            theirs.append(load(port, pid, "fast.localhost", seconds))
    os.sched_setaffinity(gateway, {PROXY_CORE, OTHER_CORE})
    ratios = [a.per_second / b.per_second for a, b in zip(ours, theirs, strict=True)]
    return [
        result("gateway, requests a second on one core", [x.per_second for x in ours], unit="/s"),
        result("Caddy, the same", [x.per_second for x in theirs], unit="/s"),
        result("gateway over Caddy", ratios, unit="x", must=1.5, aim=2),
        result("gateway, 99 % of answers within", [x.p99_ms for x in ours]),
        result("Caddy, the same", [x.p99_ms for x in theirs]),
        result("gateway, CPU for a request", [x.cpu_us for x in ours], unit="us"),
        result("Caddy, the same", [x.cpu_us for x in theirs], unit="us"),
    ]


def gateway_pid(running: Daemon) -> int:
    """Return the process id of a daemon's gateway."""
    return int((running.data / "gateway" / "lock").read_text())


def first_byte(running: Daemon, host: str) -> float:
    """Return the milliseconds to the first byte of an answer, on a connection that is there."""
    with socket.create_connection(("127.0.0.1", running.web_port), timeout=60) as made:

        def ask() -> None:
            made.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert made.recv(12) == b"HTTP/1.1 200"

        return timed(ask)


def until_status(api: Api, box: str, wanted: str) -> None:
    """Wait until a box has a status."""
    while api.call("GET", f"/v1/boxes/{box}")["status"] != wanted:
        time.sleep(0.05)


def wakes(running: Daemon, count: int) -> list[Result]:
    """First bytes of a box that runs, was warm, was cold; its service is Python's http.server."""
    api = running.api()
    api.create("sleepy")
    api.call("PUT", "/v1/boxes/sleepy", {"sleep": {"warm_after": "1s"}})
    api.call("PUT", "/v1/boxes/sleepy/url", {"access": "public"})
    service = {"cmd": "python3", "args": ["-m", "http.server", "8080"], "http_port": 8080}
    api.call("PUT", "/v1/boxes/sleepy/services/web", service)
    host = "sleepy.localhost"
    awake: list[float] = []
    warm: list[float] = []
    cold: list[float] = []
    first_byte(running, host)
    for _ in range(count):
        awake.append(first_byte(running, host))
        until_status(api, "sleepy", "warm")
        warm.append(first_byte(running, host))
    added = [a - b for a, b in zip(sorted(warm), sorted(awake), strict=True)]
    for _ in range(count):
        api.call("POST", "/v1/boxes/sleepy/stop")
        cold.append(first_byte(running, host))
    api.destroy("sleepy")
    return [
        result("first byte, box running", awake),
        result("first byte, box warm", warm),
        result("added by being warm", added, must=15, aim=3),
        result("first byte, box cold, Python's http.server", cold, must=800, aim=350),
    ]


def asleep(running: Daemon, count: int) -> list[Result]:
    """What many boxes cost while they sleep: all of the daemon's and gateway's CPU, and memory."""
    api = running.api()
    names = [f"asleep-{n}" for n in range(count)]
    for name in names:
        api.create(name)
        api.call("PUT", f"/v1/boxes/{name}", {"sleep": {"warm_after": "1s"}})
    for name in names:
        until_status(api, name, "warm")
    shares: list[float] = []
    for _ in range(5):
        before = cpu_s(running.pid) + cpu_s(gateway_pid(running))
        time.sleep(10)
        after = cpu_s(running.pid) + cpu_s(gateway_pid(running))
        shares.append((after - before) / 10 * 100)
    monitors = count_monitors()
    for name in names:
        api.call("POST", f"/v1/boxes/{name}/stop")
    left = count_monitors() - (monitors - count)
    for name in names:
        api.destroy(name)
    return [
        result(f"{count} warm boxes, of one core", shares, unit="%", must=0.5),
        result(f"{count} cold boxes, processes left", [float(left)], unit="", must=0),
    ]


def count_monitors() -> int:
    """Return how many boxes of this daemon have a process."""
    count = 0
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            count += (
                (entry / "cmdline").read_bytes().startswith(b"[lxc monitor] /run/skerry/bench ")
            )
    return count


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench-gateway.json")
    options = parser.parse_args()
    data = Path(tempfile.mkdtemp(prefix="skerry-bench-", dir="/var/tmp"))
    try:
        with daemon(data) as running:
            print(f"{machine()}\n", flush=True)
            api = running.api()
            api.create("fast")
            api.call("PUT", "/v1/boxes/fast/url", {"access": "public"})
            server = {"cmd": "python3", "args": ["-c", SERVER, "8080"], "http_port": 8080}
            api.call("PUT", "/v1/boxes/fast/services/web", server)
            first_byte(running, "fast.localhost")
            rounds, seconds = (2, 3) if options.quick else (7, 8)
            results = [
                *beside_caddy(running, data, rounds, seconds),
                *wakes(running, 3 if options.quick else 30),
                *asleep(running, 10 if options.quick else 100),
            ]
            running.api().destroy("fast")  # the other connection was idle for too long
            print(table(results))
            write_json(options.json, results)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

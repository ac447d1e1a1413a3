"""How fast the SSH door is: `python -m bench.ssh [--quick] [--json FILE]`, as root.

Beside OpenSSH's sshd on this machine in the same run, each in turn: an exec over a connection that
is open, one with a connection of its own, bytes, and what a connection without a channel costs.
sshd only forks a shell; ours goes into a box, so the difference is the box and the door together.
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from bench.boxes import ROOT, Daemon, daemon, free_port
from bench.measure import Result, machine, result, table, timed, write_json

BOX = "ssh-bench"
BYTES = 64 << 20
SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True)
class Server:
    """Somewhere to log in."""

    name: str
    port: int
    user: str
    key: Path
    pid: int

    async def connect(self) -> asyncssh.SSHClientConnection:
        """Log in by asyncssh's client, which is the same for both."""
        return await asyncssh.connect(
            "127.0.0.1", self.port, username=self.user, client_keys=[str(self.key)],
            known_hosts=None, config=None, agent_path=None,
        )  # fmt: skip

    def once(self) -> None:
        """Run a command by OpenSSH's client, with a connection of its own."""
        options = ["-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
        options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentityAgent=none"]
        line = ["ssh", *options, "-i", str(self.key), "-p", str(self.port), "-l", self.user]
        done = subprocess.run([*line, "127.0.0.1", "echo hi"], capture_output=True, check=True)
        assert done.stdout == b"hi\n"


@contextlib.contextmanager
def door(running: Daemon, key: Path) -> Generator[Server]:
    """Run a door on a daemon."""
    port = free_port()
    skerry = [str(ROOT / "skerry"), "--data", str(running.data)]
    subprocess.run([*skerry, "key", "add", f"{key}.pub"], check=True, capture_output=True)
    command = [sys.executable, "-P", "-m", "skerry.ssh", "--data", str(running.data)]
    command += ["--listen", f"127.0.0.1:{port}", "--api", f"http://127.0.0.1:{running.port}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()
        drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
        try:
            yield Server("SSH door", port, BOX, key, process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)
            drain.wait(timeout=30)


@contextlib.contextmanager
def sshd(directory: Path, key: Path) -> Generator[Server | None]:
    """Run OpenSSH's sshd on loopback, where it is installed."""
    if not Path(SSHD).exists():
        print("sshd is missing, so there is no comparison: apt-get install openssh-server")
        yield None
        return
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    host_key = directory / "sshd_key"
    make_key(host_key)
    settings = (
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nUsePAM no\n"
        f"AuthorizedKeysFile {key}.pub\nStrictModes no\nPermitRootLogin yes\nPidFile none\n"
        "PrintMotd no\nMaxStartups 1000\n"
        # So that bash does not read a ~/.bashrc, which the box has not either.
        "SetEnv SHLVL=2\n"
    )
    (directory / "sshd_config").write_text(settings)
    command = [SSHD, "-D", "-e", "-f", str(directory / "sshd_config")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        time.sleep(0.5)
        try:
            yield Server("sshd", port, "root", key, process.pid)
        finally:
            process.terminate()


def make_key(path: Path) -> None:
    """Make a key without a passphrase."""
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
    subprocess.run(make, check=True)


async def awaited(work: Callable[[], Awaitable[object]]) -> float:
    """Return how many milliseconds work took."""
    begin_ns = time.perf_counter_ns()
    await work()
    return (time.perf_counter_ns() - begin_ns) / 1e6


async def over_one(servers: list[Server], count: int) -> list[list[float]]:
    """Run commands over one connection to each server, in turn."""
    connections = [await server.connect() for server in servers]
    times: list[list[float]] = [[] for _ in servers]

    async def once(connection: asyncssh.SSHClientConnection) -> None:
        assert (await connection.run("echo hi", check=True)).stdout == "hi\n"

    for connection in connections:
        await once(connection)  # the first one asks for a pass
    for _ in range(count):
        for mine, connection in zip(times, connections, strict=True):
            mine.append(await awaited(lambda c=connection: once(c)))
    for connection in connections:
        connection.close()
    return times


def rates(server: Server) -> tuple[float, float]:
    """Return megabytes a second to and from a server, by OpenSSH's client."""
    options = ["-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR"]
    options += ["-o", "UserKnownHostsFile=/dev/null", "-o", "IdentityAgent=none"]
    options += ["-c", "aes128-gcm@openssh.com", "-i", str(server.key), "-p", str(server.port)]
    line = ["ssh", *options, "-l", server.user, "127.0.0.1"]
    data = bytes(BYTES)

    def put() -> None:
        subprocess.run([*line, "cat >/dev/null"], input=data, check=True)

    def get() -> None:
        subprocess.run([*line, f"head -c {BYTES} /dev/zero"], check=True, stdout=subprocess.DEVNULL)

    return BYTES / 1e3 / timed(put), BYTES / 1e3 / timed(get)


async def idle(server: Server, count: int) -> float:
    """Return kilobytes that a connection without a channel costs a server."""
    first = [await server.connect() for _ in range(count // 10)]  # what only the first few cost
    before = memory_kb(server.pid)
    rest = [await server.connect() for _ in range(count)]
    used = memory_kb(server.pid) - before
    connections = first + rest
    for connection in connections:
        connection.close()
    for connection in connections:
        await connection.wait_closed()
    return used / count


def memory_kb(pid: int) -> int:
    """Return the proportional memory of a process and of what it started."""
    total = 0
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total += sum(memory_kb(int(child)) for child in children)
    return total


def measure(ours: Server, theirs: Server | None, count: int) -> list[Result]:
    """Measure both in turn."""
    servers = [ours] + ([theirs] if theirs else [])
    open_ms = asyncio.run(over_one(servers, count))
    fresh_ms: list[list[float]] = [[] for _ in servers]
    for _ in range(count):
        for mine, server in zip(fresh_ms, servers, strict=True):
            mine.append(timed(server.once))
    results: list[Result] = []
    for server, opened, fresh in zip(servers, open_ms, fresh_ms, strict=True):
        must, aim = (40, 15) if server is ours else (None, None)
        name = server.name
        put, get = rates(server)
        idle_kb = asyncio.run(idle(server, 300 if server is ours else 30))
        results += [
            result(f"{name}: exec over an open connection", opened, must=must, aim=aim),
            result(f"{name}: exec with a connection of its own", fresh),
            result(f"{name}: bytes in", [put], unit="MB/s"),
            result(f"{name}: bytes out", [get], unit="MB/s"),
            result(f"{name}: an idle connection", [idle_kb], unit="kB"),
        ]
    return results


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench-ssh.json")
    options = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="skerry-bench-", dir="/var/tmp"))
    try:
        data = directory / "data"
        data.mkdir(mode=0o700)
        key = directory / "key"
        make_key(key)
        with daemon(data) as running:
            running.api().create(BOX)
            print(machine(), flush=True)
            with door(running, key) as ours, sshd(directory, key) as theirs:
                results = measure(ours, theirs, 10 if options.quick else 100)
            running.api().destroy(BOX)
        print(table(results))
        write_json(options.json, results)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""One daemon for all end-to-end tests, driven from outside; nothing of ours is imported here.

Needs root. SKERRY_TEST_DATA names a directory to keep between runs (its base image is built once);
without it a fresh one is made and removed.
"""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SKERRY = str(ROOT / "skerry")
# Of their own, so that two runs can share a machine.
NETWORK = os.environ.get("SKERRY_TEST_NETWORK", "10.216.0.0/16")
INSTANCE = os.environ.get("SKERRY_TEST_INSTANCE", "e2e")


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A daemon on a data directory, and its command line."""

    def __init__(self, data: Path, instance: str = INSTANCE, network: str = NETWORK) -> None:
        self.data = data
        self.instance = instance
        self.network = network
        self.pool = data / "pool"
        self.token = ""
        self.process: subprocess.Popen[str] | None = None
        self.port, self.web_port, self.ssh_port = free_port(), free_port(), free_port()
        self.s3_port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def boxes(self) -> Path:
        """Where the boxes' disks lie."""
        return self.pool / "boxes"

    def start(self, *launcher: str) -> None:
        """Start it and wait until it is ready; launcher stands in for `skerry` where given."""
        command = [
            *(launcher or (SKERRY,)), "--data", str(self.data), "up",
            "--listen", f"127.0.0.1:{self.port}", "--instance", self.instance, "--network", self.network,
            "--gateway-listen", f"127.0.0.1:{self.web_port}",
            "--ssh-listen", f"127.0.0.1:{self.ssh_port}", "--s3-listen", f"127.0.0.1:{self.s3_port}",
        ]  # fmt: skip
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        said: list[str] = []
        for line in self.process.stderr:
            said.append(line)
            if line.startswith("skerry is ready"):
                break
        else:
            raise AssertionError("the daemon did not start: " + "".join(said))
        self._log = threading.Thread(target=self.process.stderr.read)
        self._log.start()

    def stop(self) -> int:
        """Stop it by SIGTERM and return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self._wait()

    def kill(self) -> None:
        """Kill it by SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self._wait()

    def _wait(self) -> int:
        assert self.process is not None
        assert self.process.stderr is not None
        code = self.process.wait(timeout=60)
        # Until its end: what it started has the pipe too, and lets it go soon after.
        self._log.join(60)
        self.process.stderr.close()
        return code

    def run(
        self, *arguments: str | bytes, stdin: bytes = b"", timeout_s: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the command line."""
        return subprocess.run(
            [SKERRY, "--data", str(self.data), *arguments],
            input=stdin, capture_output=True, timeout=timeout_s, check=False,
        )  # fmt: skip

    def ok(self, *arguments: str | bytes, stdin: bytes = b"", timeout_s: float = 120) -> str:
        """Run the command line, which must succeed; return what it printed."""
        done = self.run(*arguments, stdin=stdin, timeout_s=timeout_s)
        assert done.returncode == 0, (arguments, done.returncode, done.stdout, done.stderr)
        return done.stdout.decode(errors="surrogateescape")

    def json(self, *arguments: str) -> Any:
        """Run the command line with --json and return what it printed, decoded."""
        return json.loads(self.ok(*arguments, "--json"))

    def http(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Send one HTTP request; return status, decoded body and headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.token if token is None else token}"}
        text = body if body is None or isinstance(body, (str, bytes)) else json.dumps(body)
        try:
            connection.request(method, path, text, headers)
            response = connection.getresponse()
            data = response.read()
        finally:
            connection.close()
        decoded: Any = data
        if response.headers.get("Content-Type", "").startswith("application/json"):
            decoded = json.loads(data)
        return response.status, decoded, {k.lower(): v for k, v in response.headers.items()}


def make_tiny_root(root: Path) -> None:
    """Make the tree of an image out of a few programs of this machine."""
    for name in ("sh", "sleep", "cat", "rm", "fallocate"):
        program = shutil.which(name)
        assert program is not None, name
        needed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        for path in [word for word in needed.split() if word.startswith("/")]:
            (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / path[1:])
        (root / "bin").mkdir(exist_ok=True)
        shutil.copy(program, root / "bin" / name)
    for name in ("dev", "etc", "proc", "root", "sys", "tmp"):
        (root / name).mkdir()


@contextlib.contextmanager
def another(directory: Path, pool_bytes: int = 2 << 30, **settings: object) -> Iterator[Program]:
    """A second daemon, on a pool of that size, with a tiny default image; all is gone afterwards."""
    if os.geteuid() != 0:
        pytest.skip("end-to-end tests start real boxes, which needs root")
    octets = NETWORK.split(".")
    network = f"{octets[0]}.{int(octets[1]) + 20}.0.0/16"
    program = Program(directory / "data", INSTANCE[:7] + "2", network)
    pool = program.pool = directory / "pool"
    for each in (program.data, pool):
        each.mkdir()
    make_tiny_root(directory / "root")
    with (directory / "pool.img").open("wb") as file:
        file.truncate(pool_bytes)
    subprocess.run(["mkfs.btrfs", "-q", file.name], check=True)
    subprocess.run(["mount", "-o", "loop", file.name, pool], check=True)
    settings |= {"pool_directory": pool}
    lines = [f"{name} = {json.dumps(value, default=str)}" for name, value in settings.items()]
    (program.data / "skerry.toml").write_text("\n".join(lines))
    try:
        program.start()
        try:
            program.token = program.ok("token", "create", "e2e", "--scope", "admin").split()[-1]
            program.ok("image", "import", "base", str(directory / "root"))
            yield program
            for box in program.json("list"):
                program.ok("destroy", box["name"], "--yes", "--purge")
        finally:
            program.stop()
    finally:
        subprocess.run(["umount", pool], check=True)


@pytest.fixture(scope="session")
def program() -> Iterator[Program]:
    """A running daemon with the base image."""
    if os.geteuid() != 0:
        pytest.skip("end-to-end tests start real boxes, which needs root")
    kept = os.environ.get("SKERRY_TEST_DATA")
    data = Path(kept) if kept else Path(tempfile.mkdtemp(prefix="skerry-e2e-", dir="/var/tmp"))
    program = Program(data)
    program.start()
    try:
        if "base" not in {image["name"] for image in program.json("image", "list")}:
            program.ok("image", "build", "base", timeout_s=900)
        program.token = program.ok("token", "create", "e2e", "--scope", "admin").split()[-1]
        yield program
    finally:
        for box in program.json("list"):
            program.ok("destroy", box["name"], "--yes", "--purge")
        program.stop()
        # After all that the tests did to it, nothing may keep the pool in use.
        assert str(data) not in Path("/proc/self/mountinfo").read_text()
        if not kept:
            shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def box(program: Program, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a fresh box, gone for good when the test is over."""
    name = f"t-{abs(hash(request.node.nodeid)) % 10**10}"
    program.ok("create", name)
    yield name
    program.run("destroy", name, "--yes", "--purge")

"""How fast boxes are: `python -m bench.boxes [--quick] [--json FILE]`, as root.

Starts a daemon of its own on a fresh data directory, measures through its public HTTP API with
podman in turn in the same run, prints a table, stops what it started and removes the directory.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.http_api import Api
from bench.measure import Result, machine, result, table, timed, write_json
from bench.podman import Podman, present

ROOT = Path(__file__).parents[1]
INSTANCE = "bench"
NETWORK = "10.215.0.0/16"
DISK_MB = 2000
DIRTY_MB = 50


@dataclass(frozen=True)
class Daemon:
    """A running daemon."""

    data: Path
    port: int
    web_port: int
    token: str
    pid: int

    def api(self) -> Api:
        """Return a new connection to it."""
        return Api(self.port, self.token)


def free_port() -> int:
    """Return a port of this machine that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def daemon(data: Path, launcher: Sequence[str] = ()) -> Generator[Daemon]:
    """Start a daemon on data, build the base image, and give it; stop it at the end.

    launcher: the words of a program that becomes the one which is named after them.
    """
    port, web_port = free_port(), free_port()
    skerry = [str(ROOT / "skerry"), "--data", str(data)]
    settings = [
        "--listen",
        f"127.0.0.1:{port}",
        "--instance",
        INSTANCE,
        "--network",
        NETWORK,
        "--gateway-listen",
        f"127.0.0.1:{web_port}",
        "--ssh-listen",
        f"127.0.0.1:{free_port()}",
        "--s3-listen",
        "",
    ]
    process = subprocess.Popen(
        [*launcher, *skerry, "up", *settings], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("skerry is ready"):
                break
            sys.stderr.write(line)
        else:
            raise RuntimeError("skerry did not start")
        threading.Thread(target=process.stderr.read, daemon=True).start()
        subprocess.run([*skerry, "image", "build", "base"], check=True, stdout=subprocess.DEVNULL)
        created = subprocess.run(
            [*skerry, "token", "create", "bench"], check=True, capture_output=True, text=True
        )
        yield Daemon(data, port, web_port, created.stdout.split()[-1], process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def creates(api: Api, podman: Podman | None, count: int) -> list[Result]:
    """Create to first output, ours and podman's in turn."""
    ours: list[float] = []
    theirs: list[float] = []
    for index in range(count):
        name = f"create-{index}"

        def create_and_run(name: str = name) -> None:
            api.create(name)
            assert api.run(name, "echo", "hi") == "hi\n"

        ours.append(timed(create_and_run))
        api.destroy(name)
        if podman is not None:
            theirs.append(timed(podman.run))
        else:
            time.sleep(0.1)  # as long as podman takes: the next ready box is made meanwhile
    results = [result("create to first output", ours, must=100, aim=25)]
    return results + ([result("podman run", theirs)] if theirs else [])


def execs(api: Api, podman: Podman | None, count: int) -> list[Result]:
    """An exec in a box that runs, ours and podman's in turn."""
    api.create("exec")
    ours: list[float] = []
    theirs: list[float] = []
    if podman is not None:
        podman.start("skerry-bench")
    try:
        for _ in range(count):
            ours.append(timed(lambda: api.run("exec", "echo", "hi")))
            if podman is not None:
                theirs.append(timed(lambda: podman.exec("skerry-bench")))
    finally:
        if podman is not None:
            podman.remove("skerry-bench")
        api.destroy("exec")
    results = [result("exec round trip", ours, must=20, aim=6)]
    return results + ([result("podman exec", theirs)] if theirs else [])


def checkpoints(api: Api, count: int) -> list[Result]:
    """Checkpoint, restore and fork of a box with a 2 GB disk."""
    api.create("disk")
    api.run("disk", "dd", "if=/dev/urandom", "of=/home/box/big", "bs=1M", f"count={DISK_MB}")
    api.run("disk", "sync")
    clean: list[float] = []
    dirty: list[float] = []
    restores: list[float] = []
    forks: list[float] = []
    for index in range(count):
        clean.append(timed(lambda: api.checkpoint("disk")))
        size = f"count={DIRTY_MB}"
        api.run("disk", "dd", "if=/dev/urandom", "of=/home/box/new", "bs=1M", size)
        dirty.append(timed(lambda: api.checkpoint("disk")))

        def restore() -> None:
            api.call("POST", "/v1/boxes/disk/checkpoints/v1/restore")
            api.run("disk", "true")

        restores.append(timed(restore))

        def fork(name: str = f"fork-{index}") -> None:
            api.call("POST", "/v1/boxes/disk/fork", {"name": name})
            assert api.run(name, "echo", "hi") == "hi\n"

        forks.append(timed(fork))
        api.destroy(f"fork-{index}")
    api.destroy("disk")
    return [
        result("checkpoint, 2 GB disk, clean", clean, must=40, aim=10),
        result("checkpoint, 50 MB just written", dirty, must=200, aim=80),
        result("restore until an exec answers", restores, must=250, aim=80),
        result("fork to first output", forks, must=150, aim=50),
    ]


def burst(running: Daemon, count: int, repeats: int) -> list[Result]:
    """Many creates at once, until each has answered an exec."""

    def one(name: str) -> None:
        api = running.api()
        api.create(name)
        assert api.run(name, "echo", "hi") == "hi\n"

    walls: list[float] = []
    for repeat in range(repeats):
        names = [f"burst-{repeat}-{n}" for n in range(count)]
        threads = [threading.Thread(target=one, args=(name,)) for name in names]

        def all_at_once(threads: list[threading.Thread] = threads) -> None:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        walls.append(timed(all_at_once) / 1000)
        api = running.api()
        answered = {box["name"] for box in api.call("GET", "/v1/boxes?max_results=1000")["boxes"]}
        assert set(names) <= answered
        for name in names:
            api.destroy(name)
    return [result(f"{count} creates at once", walls, unit="s", must=6, aim=2)]


def memory(running: Daemon, count: int) -> list[Result]:
    """Resident memory of the daemon's processes, and of each idle box's monitor and first process."""
    api = running.api()
    for index in range(count):
        api.create(f"idle-{index}")
        api.run(f"idle-{index}", "true")
    time.sleep(3)
    resident = _resident_mb(running.pid)
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    resident += sum(_resident_mb(int(child)) for child in children)
    monitors = [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _is_monitor(entry)
    ]
    per_box = [_resident_mb(pid) for pid in monitors]
    for index in range(count):
        api.destroy(f"idle-{index}")
    return [
        result("resident memory, daemon and zygote", [resident], unit="MB", must=120, aim=70),
        result("resident memory, idle box", per_box, unit="MB", must=6, aim=3),
    ]


def _is_monitor(entry: Path) -> bool:
    with contextlib.suppress(OSError):
        return (
            (entry / "cmdline")
            .read_bytes()
            .startswith(f"[lxc monitor] /run/skerry/{INSTANCE} ".encode())
        )
    return False


def _resident_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)


def podman_root(running: Daemon) -> Path:
    """Return a writable copy of the base image for podman, on the same storage."""
    image = next((running.data / "pool" / "images").iterdir())
    target = running.data / "pool" / "podman-root"
    subprocess.run(
        ["btrfs", "subvolume", "snapshot", str(image), str(target)],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return target


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench-boxes.json")
    options = parser.parse_args()
    count = 10 if options.quick else 100
    data = Path(tempfile.mkdtemp(prefix="skerry-bench-", dir="/var/tmp"))
    try:
        with daemon(data) as running:
            api = running.api()
            podman = Podman(podman_root(running)) if present() else None
            peer = podman.describe() if podman else "podman is not installed"
            print(f"{machine()}; {peer}\n", flush=True)
            results = [
                *creates(api, podman, count),
                *execs(api, podman, count),
                *checkpoints(api, max(5, count // 5)),
                *burst(running, 50, 1 if options.quick else 5),
                *memory(running, 10),
            ]
            if podman is not None:
                subprocess.run(
                    ["btrfs", "subvolume", "delete", str(data / "pool" / "podman-root")],
                    check=True, stdout=subprocess.DEVNULL,
                )  # fmt: skip
            print(table(results))
            write_json(options.json, results)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What an allowed DNS look-up costs: `python -m bench.dns [--quick] [--json FILE]`, as root.

A server of names of our own, on this machine's loopback, is asked in turn by a program of this
machine directly, and by the same program in a box with a network policy through Skerry's resolver.
What is added is the difference of the two at the same percentile. Nothing leaves the machine.
"""

import argparse
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from multiprocessing import Process
from pathlib import Path

from bench.boxes import ROOT, Daemon, daemon
from bench.http_api import Api
from bench.measure import Result, machine, result, table, write_json

UPSTREAM = "127.0.0.77"
DOMAIN = "bench.example"
BATCH = 50
PAUSE_S = 0.004  # so that no limit of questions a second is met

# Asks a server for the addresses of COUNT names from FIRST on; prints how long each took, in ms.
ASK = f"""
import json, re, socket, sys, time
server, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if server == "resolv.conf":
    server = re.search(r"nameserver (\\S+)", open("/etc/resolv.conf").read())[1]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
s.connect((server, 53))
took = []
for number in range(first, first + count):
    name = b"".join(bytes([len(p)]) + p for p in f"n{{number}}.{DOMAIN}".encode().split(b"."))
    question = b"\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + name + b"\\0\\0\\1\\0\\1"
    time.sleep({PAUSE_S})
    begin = time.perf_counter_ns()
    s.send(question)
    answer = s.recv(512)
    took.append((time.perf_counter_ns() - begin) / 1e6)
    assert answer[3] & 15 == 0 and answer[7] == 1, answer
print(json.dumps(took))
"""


def serve() -> None:
    """Answer each question with one address, which follows from the number in the name."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind((UPSTREAM, 53))
        while True:
            question, source = door.recvfrom(512)
            number = int(question[14 : 13 + question[12]])
            # 203.0.113.0/24 and 198.51.100.0/24 are for documents: nobody has them.
            nets = (b"\xcb\0\x71", b"\xc6\x33\x64")
            address = nets[number // 256 % 2] + bytes([number % 256])
            head = question[:2] + b"\x81\x80\0\1\0\1\0\0\0\0"
            record = b"\xc0\x0c\0\1\0\1\0\0\x01\x2c\0\4" + address
            door.sendto(head + question[12:] + record, source)


@contextlib.contextmanager
def upstream(running: Daemon, folder: Path) -> Generator[None]:
    """Have a server of names that the daemon asks, and nobody else on this machine."""
    server = Process(target=serve, daemon=True)
    server.start()
    conf = folder / "resolv.conf"
    conf.write_text(f"nameserver {UPSTREAM}\n")
    # In the mount namespace that the daemon alone has.
    command = ["nsenter", "-m", "-t", str(running.pid), "mount", "--bind", str(conf)]
    subprocess.run([*command, "/etc/resolv.conf"], check=True)
    try:
        yield
    finally:
        server.terminate()
        server.join()


def lookups(api: Api, count: int) -> list[Result]:
    """Look-ups directly and through Skerry, in turn: of known addresses, then of new ones."""
    api.create("dns")
    rules = [{"domain": f"*.{DOMAIN}", "action": "allow"}]
    api.call("POST", "/v1/boxes/dns/policy/network", {"rules": rules})
    directly: list[float] = []
    known: list[float] = []
    new: list[float] = []
    for number in range(0, count, BATCH):
        directly += _ask_directly(number)
        known += json.loads(api.run("dns", "python3", "-c", ASK, "resolv.conf", "0", str(BATCH)))
    for number in range(BATCH, BATCH + min(count, 450), BATCH):
        new += json.loads(
            api.run("dns", "python3", "-c", ASK, "resolv.conf", str(number), str(BATCH))
        )
    api.destroy("dns")
    return [
        result("DNS look-up, the server asked directly", directly),
        result("DNS look-up from a box with a policy", known),
        result("an allowed DNS look-up, added", _added(known, directly), must=1, aim=0.3),
        result("the same, of an address new to the box", _added(new, directly)),
    ]


def _ask_directly(first: int) -> list[float]:
    command = [sys.executable, "-c", ASK, UPSTREAM, str(first), str(BATCH)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def _added(values: list[float], base: list[float]) -> list[float]:
    """Return differences whose percentiles are the differences of the percentiles."""
    ordered = sorted(base)
    return [
        value - ordered[index * len(ordered) // len(values)]
        for index, value in enumerate(sorted(values))
    ]


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the repetitions")
    parser.add_argument("--json", type=Path, default=ROOT / "build" / "bench-dns.json")
    options = parser.parse_args()
    data = Path(tempfile.mkdtemp(prefix="skerry-bench-", dir="/var/tmp"))
    try:
        with daemon(data, launcher=("unshare", "--mount")) as running, upstream(running, data):
            print(f"{machine()}\n", flush=True)
            results = lookups(running.api(), 200 if options.quick else 2000)
            print(table(results))
            write_json(options.json, results)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

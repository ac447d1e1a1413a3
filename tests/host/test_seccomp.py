"""The filter: its table, and what the kernel makes of it."""

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from skerry.host import seccomp

PROBES = Path(__file__).with_name("probes.py")
x86_only = pytest.mark.skipif(platform.machine() != "x86_64", reason="calls of x86 by number")


@pytest.fixture(scope="module")
def program() -> bytes:
    return seccomp.build_program()


def probe(program: bytes, name: str) -> object:
    request = json.dumps({"program": program.hex(), "probe": name})
    done = subprocess.run(
        [sys.executable, str(PROBES)], input=request, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def matched(pairs: list[tuple[int, int]], bits: int) -> set[int]:
    return {n for n in range(1 << bits) if any(n & mask == value for mask, value in pairs)}


@pytest.mark.parametrize("allowed", [set[int](), {0}, {255}, {9, 13, 54}, set(range(256))])
def test_all_but_matches_exactly_the_others(allowed: set[int]):
    assert matched(seccomp.all_but(allowed, 8), 8) == set(range(256)) - allowed


def test_few_comparisons_cover_many_numbers():
    assert len(seccomp.all_but({9, 13, 54}, 8)) <= 16


def test_every_match_looks_at_32_bits_at_most():
    masks = [rule.match.mask for rule in seccomp.RULES if rule.match]

    assert all(0 < mask <= 0xFFFFFFFF for mask in masks)


@pytest.mark.machine
def test_the_program_is_the_same_each_time(program: bytes):
    assert program == seccomp.build_program()
    assert len(program) % 8 == 0


@pytest.mark.machine
def test_an_unknown_call_is_refused_when_building():
    with pytest.raises(seccomp.NotAvailable, match="no_such_call"):
        seccomp.build_program([seccomp.Rule(("no_such_call",), 1)])


@pytest.mark.machine
@x86_only
@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("make a subvolume", "ENOTTY"),
        ("make a snapshot", "ENOTTY"),
        ("make a subvolume, high bits set", "ENOTTY"),
        ("a future command of btrfs", "ENOTTY"),
        ("make a subvolume, 32 bit", "ENOTTY"),
        ("socket of the hypervisor", "EAFNOSUPPORT"),
        ("socket of the hypervisor, 32 bit", "EAFNOSUPPORT"),
        ("socket by the old call, 32 bit", "EAFNOSUPPORT"),
        ("socket of the kernel's ciphers", "EAFNOSUPPORT"),
        ("own pid, x32", "ENOSYS"),
        ("io_uring", "ENOSYS"),
        ("add a key", "ENOSYS"),
        ("load a bpf program", "EPERM"),
        ("open by file handle", "EPERM"),
        ("read the kernel's log", "EPERM"),
        ("load a module", "EPERM"),
    ],
)
def test_what_the_table_names_is_refused(program: bytes, name: str, error: str):
    assert probe(program, name) == error


@pytest.mark.machine
@x86_only
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        # EBADF is the kernel's own answer: the filter let the call pass.
        ("reflink", "EBADF"),
        ("reflink a range", "EBADF"),
        ("deduplicate", "EBADF"),
        ("ask for a terminal's settings", "EBADF"),
        ("ask for a terminal's settings, 32 bit", "EBADF"),
        ("unix socket", None),
        ("unix socket, 32 bit", None),
        ("pair of unix sockets", None),
        ("internet socket", None),
    ],
)
def test_what_daily_work_needs_passes(program: bytes, name: str, answer: str | None):
    assert probe(program, name) == answer


@pytest.mark.machine
def test_the_filter_holds_for_one_thread_and_what_it_starts(program: bytes):
    script = (
        "import sys, threading, subprocess; from skerry.host import seccomp\n"
        "def mode(pid): return [l for l in open(f'/proc/{pid}/status') if l[:8] == 'Seccomp:']\n"
        "def work():\n"
        "    seccomp.confine_thread(bytes.fromhex(sys.stdin.read()))\n"
        "    print(subprocess.run(['grep', 'Seccomp:', '/proc/self/status'],"
        " capture_output=True, text=True).stdout.split())\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
        "print(mode('self')[0].split())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=program.hex(), capture_output=True, text=True,
        check=True, env=os.environ,
    )  # fmt: skip

    assert done.stdout.splitlines() == ["['Seccomp:', '2']", "['Seccomp:', '0']"]

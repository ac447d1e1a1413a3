"""What root in a box must not be able to do. Each probe runs in a box as its root."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Program

# Each row: what is tried, as a shell script that ends with 0 if it got through.
REFUSED = {
    "loading a module": "modprobe dummy || insmod /dev/null",
    "module system call": "python3 -c 'import ctypes as c; l=c.CDLL(None,use_errno=True); "
    "r=l.syscall(175,0,0,0); exit(0 if r==0 or c.get_errno() not in (1,38) else 1)'",
    "making a block device": "mknod /tmp/dev b 254 0 && head -c 1 /tmp/dev",
    "making a character device": "mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem",
    "reading a host disk": "cat /dev/vda | head -c 1 | grep -q .",
    "mounting a host disk": "mkdir -p /m && mount -t ext4 /dev/vda /m",
    "mounting the pool": "mkdir -p /m && mount -t btrfs /dev/loop0 /m",
    "writing a kernel setting": "echo 1 > /proc/sys/kernel/panic",
    "writing a host-wide limit": "echo 1 > /proc/sys/fs/file-max",
    "core pattern": "echo '|/bin/sh' > /proc/sys/kernel/core_pattern",
    "sysrq": "echo b > /proc/sysrq-trigger",
    "kernel memory": "head -c 1 /proc/kcore | grep -q .",
    "kernel log": "dmesg | grep -q .",
    "setting the clock": "date -s '2001-01-01'",
    "raising priority": "nice -n -20 sh -c 'test $(nice) -lt 0'",
    "raising its memory limit": "mkdir -p /cg && mount -t cgroup2 none /cg && "
    "echo max > /cg/memory.max && echo max > /cg/../memory.max",
    "raising its process limit (v1)": "mkdir -p /cg1 && mount -t cgroup -o pids none /cg1 && "
    "echo max > /cg1/pids.max",
    "leaving its control group": "mkdir -p /cg2 && mount -t cgroup2 none /cg2 && "
    "echo $$ > /cg2/../cgroup.procs && echo $$ > /cg2/cgroup.procs",
    "making a subvolume": 'btrfs subvolume create /tmp/sub || python3 -c "import fcntl,os; '
    "fcntl.ioctl(os.open('/tmp',0), 0x5000940e, b'\\0'*8+b'sub'+b'\\0'*4085)\"",
    "making a snapshot": "python3 -c \"import fcntl,os,struct; fd=os.open('/',0); "
    "fcntl.ioctl(fd, 0x50009417, bytearray(struct.pack('=qQQQQ16x4040s',fd,0,0,0,0,b'snap')))\"",
    "io_uring": "python3 -c 'import ctypes as c; l=c.CDLL(None,use_errno=True); "
    "exit(0 if l.syscall(425,8,c.create_string_buffer(120))>=0 else 1)'",
    "bpf": "python3 -c 'import ctypes as c; l=c.CDLL(None,use_errno=True); "
    "exit(0 if l.syscall(321,0,c.create_string_buffer(120),120)>=0 else 1)'",
    "opening files by handle": "python3 -c 'import ctypes as c; l=c.CDLL(None,use_errno=True); "
    "exit(0 if l.syscall(304,3,c.create_string_buffer(64),0)>=0 or c.get_errno()!=1 else 1)'",
    "changing a checkpoint": "touch /.skerry/checkpoints/v1/x",
    "changing a checkpoint after a remount": "mount -o remount,bind,rw /.skerry/checkpoints; "
    "touch /.skerry/checkpoints/v1/x || touch /.skerry/checkpoints/x",
    "removing a checkpoint": "mount -o remount,bind,rw /.skerry/checkpoints; "
    "rmdir /.skerry/checkpoints/v1 || mv /.skerry/checkpoints/v1 /.skerry/checkpoints/v9",
    "replacing its first program": "echo x > /.skerry/init",
    "taking the neighbour's address": "ip addr add $(ip route | awk '/^default/{print $3}')/32 dev eth0 "
    "&& ping -c1 -W1 -I $(ip route | awk '/^default/{print $3}') 1.1.1.1",
}


@pytest.fixture(scope="module")
def jail(program: Program) -> Iterator[str]:
    """One box with a checkpoint, in which all that is refused is tried."""
    name = "jail"
    program.ok("create", name)
    program.ok("checkpoint", "create", name)
    yield name
    program.run("destroy", name, "--yes", "--purge")


def as_root(program: Program, box: str, script: str) -> tuple[int, str]:
    done = program.run("exec", "--user", "root", box, "--", "bash", "-c", script)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def test_a_probe_that_gets_through_is_seen(program: Program, jail: str) -> None:
    assert as_root(program, jail, "id -u | grep -qx 0 && touch /tmp/allowed") == (0, "")
    assert as_root(program, jail, "mkdir -p /m && mount -t tmpfs none /m && umount /m")[0] == 0


@pytest.mark.parametrize("script", REFUSED.values(), ids=REFUSED.keys())
def test_root_in_a_box_may_not(program: Program, jail: str, script: str) -> None:
    code, said = as_root(program, jail, script)

    assert code != 0, said


def test_no_process_of_the_host_is_seen(program: Program, jail: str) -> None:
    _, said = as_root(program, jail, "ls /proc | grep -E '^[0-9]+$' | wc -l")

    assert int(said) < 20
    assert as_root(program, jail, f"kill -0 {os.getpid()}")[0] != 0


def test_no_file_of_the_host_is_reached(program: Program, jail: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("secret of the host")
    for path in (f"/proc/1/root{canary}", f"/proc/self/root{canary}", str(canary)):
        code, said = as_root(program, jail, f"cat {path}")
        assert code != 0
        assert "secret" not in said
    as_root(program, jail, f"ln -sfn {canary} /tmp/link; ln -sfn / /tmp/top")
    for path in ("/tmp/link", f"/tmp/top{canary}", f"/../../../..{canary}"):
        done = program.run("file", "cat", jail, path)
        assert done.returncode != 0
        assert b"secret" not in done.stdout


def test_the_daemons_socket_is_out_of_reach(program: Program, jail: str) -> None:
    assert as_root(program, jail, f"ls {program.data}")[0] != 0
    gateway = "$(ip route | awk '/^default/{print $3}')"
    probe = f"timeout 3 bash -c 'echo > /dev/tcp/{gateway}/{program.port}'"
    assert as_root(program, jail, probe)[0] != 0


def test_other_boxes_are_out_of_reach(program: Program, jail: str, box: str) -> None:
    address = program.json("info", box)["address"]
    program.ok("exec", "--detach", box, "--", "python3", "-m", "http.server", "8000")

    assert as_root(program, jail, f"timeout 3 bash -c 'echo > /dev/tcp/{address}/8000'")[0] != 0


def test_private_networks_are_closed(program: Program, jail: str) -> None:
    for address in ("10.0.0.1", "192.168.0.1", "172.16.0.1", "169.254.169.254"):
        script = f"timeout 3 bash -c 'echo > /dev/tcp/{address}/80'"
        assert as_root(program, jail, script)[0] != 0


def test_tracing_ends_at_the_box(program: Program, jail: str) -> None:
    script = (
        "python3 -c 'import ctypes as c; l=c.CDLL(None,use_errno=True); "
        f"exit(0 if l.ptrace(16,{os.getpid()},0,0)==0 else 1)'"
    )

    assert as_root(program, jail, script)[0] != 0


def test_an_exec_is_confined_as_the_first_process_is(program: Program, jail: str) -> None:
    script = (
        "for p in 1 $$; do grep -E 'CapBnd|Seccomp:|NoNewPrivs' /proc/$p/status; "
        "readlink /proc/$p/ns/{user,pid,mnt,net,ipc,uts,cgroup}; done"
    )
    _, said = as_root(program, jail, script)
    lines = said.splitlines()

    half = len(lines) // 2
    assert half >= 10
    assert lines[:half] == lines[half:]

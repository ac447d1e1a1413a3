"""What a command in a box is and may do, and what does not become one."""

import dataclasses
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skerry.base import SkerryError
from skerry.host.seam import Exit
from skerry.testing.live_box import (
    LiveBox,
    begin,
    collect,
    execute,
    new_session_id,
    opened,
    run,
    running_box,
    until,
)

pytestmark = pytest.mark.machine


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBox]:
    with running_box(tmp_path_factory.mktemp("box")) as box:
        yield box


def refused(box: LiveBox, *argv: bytes | str, **options: Any) -> str:
    """Return the code of the error that starting a command gives."""
    session_id = new_session_id()
    with pytest.raises(SkerryError) as caught:
        execute(box, *argv, session_id=session_id, **options)
    assert box.is_clear_of(session_id)
    return caught.value.code


# -- what does not start ---------------------------------------------------------------------------


ROWS_REFUSED: list[tuple[str, list[bytes], dict[str, Any]]] = [
    ("command_not_found", [b"no-such-command"], {}),
    ("command_not_found", [b"/no/such/command"], {}),
    ("command_not_found", [b""], {}),
    ("command_not_runnable", [b"/etc"], {}),
    ("command_not_runnable", [b"/etc/passwd"], {"user": "root"}),
    ("command_not_runnable", [b"/tmp/script"], {}),
    ("command_not_runnable", [b"/tmp/garbage"], {}),
    ("bad_directory", [b"true"], {"directory": b"/nowhere"}),
    ("bad_directory", [b"true"], {"directory": b"/root/secret"}),
    ("bad_user", [b"true"], {"user": "nobody-of-that-name"}),
    ("bad_user", [b"true"], {"user": "4711"}),
    ("arguments_too_long", [b"true", b"x" * 200_000], {}),
    ("arguments_too_long", [b"true", *[b"x" * 100_000] * 70], {}),
    ("bad_argument", [b"true", b"a\0b"], {}),
    ("bad_argument", [], {}),
    ("bad_argument", [b"true"], {"env": {b"A=B": b"c"}}),
]


@pytest.mark.parametrize(("code", "argv", "options"), ROWS_REFUSED)
def test_what_cannot_start_says_why(
    box: LiveBox, code: str, argv: list[bytes], options: dict[str, Any]
) -> None:
    (box.disk / "root" / "secret").mkdir(mode=0o700, exist_ok=True)
    (box.disk / "root").chmod(0o700)
    for name, content in (("script", "#!/no/such/interpreter\n"), ("garbage", "neither")):
        (box.disk / "tmp" / name).write_text(content)
        (box.disk / "tmp" / name).chmod(0o755)

    assert refused(box, *argv, **options) == code


def test_a_box_that_was_started_anew_counts_as_not_running(box: LiveBox) -> None:
    first = box.entry.first
    earlier = dataclasses.replace(first, started_ticks=first.started_ticks - 1)
    stale = dataclasses.replace(box, entry=dataclasses.replace(box.entry, first=earlier))

    assert refused(stale, "true") == "box_not_running"


def test_a_box_that_is_gone_counts_as_not_running(box: LiveBox) -> None:
    first = dataclasses.replace(box.entry.first, init_pid=2**22 - 1)
    stale = dataclasses.replace(box, entry=dataclasses.replace(box.entry, first=first))

    assert refused(stale, "true") == "box_not_running"


def test_a_frozen_box_refuses_at_once(box: LiveBox) -> None:
    freeze = Path(box.entry.group) / "cgroup.freeze"
    freeze.write_text("1")
    try:
        run(until(lambda: "frozen 1" in (freeze.parent / "cgroup.events").read_text()))

        assert refused(box, "true") == "box_frozen"
    finally:
        freeze.write_text("0")


def test_a_box_full_of_processes_refuses(box: LiveBox) -> None:
    limit = Path(box.entry.processes_directory) / "pids.max"
    before = limit.read_text()
    limit.write_text("1")
    try:
        assert refused(box, "true") == "processes_limit"
    finally:
        limit.write_text(before)


def test_memory_that_runs_out_is_named(box: LiveBox) -> None:
    script = "x=a; while :; do x=$x$x; done"

    _, _, end = execute(box, "bash", "-c", script)

    assert end.code == 137
    assert "memory limit" in end.notice


# -- what a command is allowed --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CapBnd", "Seccomp", "Seccomp_filters", "NoNewPrivs", "CapEff"])
def test_root_in_the_box_is_what_its_first_process_is(box: LiveBox, name: str) -> None:
    stdout, _, _ = execute(box, "cat", "/proc/self/status", user="root")

    status = Path(f"/proc/{box.entry.first.init_pid}/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith(f"{name}:"))
    assert line in stdout.decode().splitlines()


def test_an_ordinary_user_has_no_capabilities(box: LiveBox) -> None:
    lines = execute(box, "cat", "/proc/self/status")[0].decode().splitlines()

    values = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Cap")}
    assert {values[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}


def test_namespaces_are_those_of_the_first_process(box: LiveBox) -> None:
    names = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
    first = Path(f"/proc/{box.entry.first.init_pid}/ns")

    stdout, _, _ = execute(box, "readlink", *[f"/proc/self/ns/{name}" for name in names])

    assert stdout.decode().split() == [str((first / name).readlink()) for name in names]


def test_the_command_is_in_its_own_group_and_in_the_boxs(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "cat", stdin=True)
            (pid,) = box.processes(link.state.session_id)
            for tasks in box.entry.legacy_tasks:
                assert str(pid) in Path(tasks).read_text().split()
            await link.write_eof()
            await collect(link)

    run(work())


@pytest.mark.parametrize("tty", [False, True])
def test_nothing_of_the_hosts_is_open_in_the_command(box: LiveBox, *, tty: bool) -> None:
    stdout, _, _ = execute(box, "ls", "/proc/self/fd", tty=tty)

    assert stdout.split() == [b"0", b"1", b"2", b"3"]  # the last one is ls reading it


def test_signals_and_limits_are_at_their_defaults(box: LiveBox) -> None:
    status, _, _ = execute(box, "cat", "/proc/self/status", "/proc/self/oom_score_adj")
    fields = dict(line.split(":\t") for line in status.decode().splitlines() if ":\t" in line)

    assert {fields[name] for name in ("SigBlk", "SigIgn", "SigCgt")} == {"0" * 16}
    assert status.endswith(b"\n0\n")
    assert execute(box, "sh", "-c", "ulimit -n; ulimit -c")[0] == b"1024\n0\n"


HOSTILE_PASSWD = {
    "ids that no box has": b"box:x:4000000000:1000::/:/bin/sh\n",
    "ids beyond all numbers": b"box:x:99999999999999999999:0::/:/bin/sh\n",
    "minus one": b"box:x:4294967295:4294967295::/:/bin/sh\n",
    "garbage": bytes(range(256)) * 4000,
    "a number that is none": "box:x:²:²::/:/bin/sh\n".encode(),
}


@pytest.mark.parametrize("text", HOSTILE_PASSWD.values(), ids=HOSTILE_PASSWD.keys())
def test_a_hostile_passwd_gives_no_user(box: LiveBox, text: bytes) -> None:
    passwd = box.disk / "etc" / "passwd"
    before = passwd.read_bytes()
    passwd.write_bytes(text)
    try:
        assert refused(box, "true", user="box") == "bad_user"
    finally:
        passwd.write_bytes(before)


def test_a_pipe_in_the_place_of_passwd_blocks_nobody(box: LiveBox) -> None:
    passwd = box.disk / "etc" / "passwd"
    before = passwd.read_bytes()
    passwd.unlink()
    os.mkfifo(passwd)
    try:
        assert execute(box, "id", "-u")[0] == b"0\n"
    finally:
        passwd.unlink()
        passwd.write_bytes(before)


def test_the_hosts_interpreter_cannot_be_written_through_the_command(box: LiveBox) -> None:
    script = box.disk / "tmp" / "itself"
    script.write_text("#!/proc/self/exe\n")
    script.chmod(0o755)

    _, _, end = execute(box, "sh", "-c", "/tmp/itself & sleep 0; true")

    assert end == Exit(0)
    status = os.stat(os.path.realpath("/proc/self/exe"))
    assert (status.st_uid, status.st_mode & 0o022) == (0, 0)

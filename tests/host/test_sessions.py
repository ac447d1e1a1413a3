"""Sessions in a real box: what commands see, what clients see, and what is left afterwards."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from skerry.base import SkerryError
from skerry.holder import frames
from skerry.host import cgroups
from skerry.host.containers import BoxEntry, Containers
from skerry.host.holder_connection import dial
from skerry.host.seam import BoxLimits, BoxStart, ExecSpec, Exit, Output
from skerry.host.sessions import Link, SessionRules, Sessions
from skerry.testing.small_disk import build_small_disk

pytestmark = pytest.mark.machine

IDS_BASE = 2_000_000_000
SECOND_NS = 10**9
RULES = SessionRules(linger_ns=2 * SECOND_NS)


@dataclass(frozen=True)
class LiveBox:
    box_id: str
    disk: Path
    entry: BoxEntry
    program: bytes
    sessions: str

    @property
    def exec_groups(self) -> list[str]:
        return [name for name in cgroups.list_children(self.entry.group) if name.startswith("exec")]

    def init_status(self, name: str) -> str:
        lines = Path(f"/proc/{self.entry.first.init_pid}/status").read_text().splitlines()
        return next(line for line in lines if line.startswith(f"{name}:"))


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBox]:
    """A box that runs, on a disk of a few programs."""
    top = tmp_path_factory.mktemp("sessions")
    disk, checkpoints = top / "disk", top / "checkpoints"
    build_small_disk(disk)
    checkpoints.mkdir()
    slot = 2 + os.getpid() % 20_000
    instance = f"t{os.getpid() % 10**6}s"
    containers = Containers(run_directory=f"{top}/run", instance=instance, ids_base=IDS_BASE)
    limits = BoxLimits(cpus=2, memory_bytes=256 * 2**20, disk_bytes=2**30, processes=200)
    start = BoxStart(box_id="box_test", slot=slot, hostname="test", limits=limits)
    try:
        containers.start(start, str(disk), str(checkpoints))
        entry = containers.entry("box_test")
        yield LiveBox("box_test", disk, entry, containers.program, f"{top}/run/sessions")
    finally:
        containers.stop("box_test", 0)
        containers.sweep()
        containers.close()
        _remove_groups(instance)


def _remove_groups(instance: str) -> None:
    layout = cgroups.find_layout("/nonexistent")
    for name in (instance, f"{instance}.monitor", f"{instance}.pivot"):
        cgroups.kill_and_remove(cgroups.Tree(layout, name), 10 * SECOND_NS)


@asynccontextmanager
async def opened(box: LiveBox, rules: SessionRules = RULES) -> AsyncIterator[Sessions]:
    sessions = Sessions(directory=box.sessions, program=box.program, rules=rules)
    try:
        yield sessions
    finally:
        await sessions.close()


def new_id() -> str:
    new_id.count += 1  # pyright: ignore[reportFunctionMemberAccess]
    return f"ses_{os.getpid()}_{new_id.count}"  # pyright: ignore[reportFunctionMemberAccess]


new_id.count = 0  # pyright: ignore[reportFunctionMemberAccess]


async def begin(sessions: Sessions, box: LiveBox, *argv: bytes | str, **options: Any) -> Link:
    words = [word.encode() if isinstance(word, str) else word for word in argv]
    return await sessions.open(box.box_id, box.entry, new_id(), ExecSpec(argv=words, **options))


async def collect(link: Link) -> tuple[bytes, bytes, Exit]:
    """Read a link to its end: stdout, stderr, exit."""
    streams, end = {"stdout": b"", "stderr": b""}, None
    async for event in link.events():
        if isinstance(event, Output):
            streams[event.stream] += event.data
        else:
            end = event
    await link.close()
    assert end is not None
    return streams["stdout"], streams["stderr"], end


async def read_until(link: Link, wanted: bytes) -> bytes:
    """Read a link until stdout holds wanted."""
    seen = b""
    async for event in link.events():
        assert isinstance(event, Output), f"it ended after {seen!r}"
        seen += event.data
        if wanted in seen:
            break
    return seen


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def execute(box: LiveBox, *argv: bytes | str, **options: Any) -> tuple[bytes, bytes, Exit]:
    """Run a command to its end."""

    async def work() -> tuple[bytes, bytes, Exit]:
        async with opened(box) as sessions:
            return await collect(await begin(sessions, box, *argv, **options))

    return asyncio.run(asyncio.wait_for(work(), 60))


def refused(box: LiveBox, *argv: bytes | str, **options: Any) -> str:
    """Return the code of the error that starting a command gives."""
    with pytest.raises(SkerryError) as caught:
        execute(box, *argv, **options)
    assert box.exec_groups == []
    assert sessions_on_disk(box) == []
    return caught.value.code


def sessions_on_disk(box: LiveBox) -> list[str]:
    return cgroups.list_children(f"{box.sessions}/{box.box_id}")


# -- streams, arguments, ends ---------------------------------------------------------------------


def test_streams_stay_apart_and_the_exit_code_arrives(box: LiveBox) -> None:
    result = execute(box, "sh", "-c", "echo out; echo err >&2; exit 3")

    assert result == (b"out\n", b"err\n", Exit(3))


def test_any_byte_but_nul_passes_through_arguments_and_environment(box: LiveBox) -> None:
    every_byte = bytes(range(1, 256))

    stdout, _, _ = execute(box, "sh", "-c", 'cat <<E\n$1$V\nE', "x", every_byte, env={b"V": every_byte})

    assert stdout == every_byte * 2 + b"\n"


def test_ten_thousand_arguments_arrive(box: LiveBox) -> None:
    stdout, _, _ = execute(box, "sh", "-c", "echo $#", "x", *[b"y" * 190] * 10_000)

    assert stdout == b"10000\n"


def test_a_signal_gives_128_and_its_number(box: LiveBox) -> None:
    assert execute(box, "sh", "-c", "kill -TERM $$")[2] == Exit(128 + signal.SIGTERM)


def test_a_lot_of_output_arrives_whole(box: LiveBox) -> None:
    stdout, _, end = execute(box, "head", "-c", "20000000", "/dev/zero")

    assert (len(stdout), end) == (20_000_000, Exit(0))


def test_stdin_reaches_its_end(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "wc", "-c", stdin=True)
            await link.write(b"x" * 1_000_000)
            await link.write_eof()
            assert (await collect(link))[0] == b"1000000\n"

    run(work())


def test_without_stdin_there_is_nothing_to_read(box: LiveBox) -> None:
    stdout, _, _ = execute(box, "sh", "-c", "wc -c; readlink /proc/self/fd/0")

    assert stdout == b"0\n/dev/null\n"


def test_a_signal_gets_past_input_that_is_not_read(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "sleep", "60", stdin=True)
            writing = asyncio.create_task(link.write(b"x" * 1_000_000))
            await link.signal(signal.SIGINT)
            assert (await collect(link))[2] == Exit(128 + signal.SIGINT)
            await writing

    run(work())


def test_defaults_are_the_users(box: LiveBox) -> None:
    stdout, _, _ = execute(box, "sh", "-c", "pwd; id -u; id -g; id -G; echo $HOME $USER $SHELL $LANG; umask")

    assert stdout == b"/home/box\n1000\n1000\n1000 50\n/home/box box /bin/bash C.UTF-8\n0022\n"


def test_directory_user_and_environment_are_as_asked(box: LiveBox) -> None:
    script = "pwd; id -u; echo $HOME $A"

    stdout, _, _ = execute(box, "sh", "-c", script, user="0", directory=b"/tmp", env={b"A": b"b"})

    assert stdout == b"/tmp\n0\n/root b\n"


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
    stale = BoxEntry(
        **{
            **{name: getattr(box.entry, name) for name in BoxEntry.__slots__},
            "first": type(first)(first.init_pid, first.started_ticks + 1),
        }
    )

    assert refused(LiveBox(box.box_id, box.disk, stale, box.program, box.sessions), "true") == (
        "box_not_running"
    )


def test_a_frozen_box_refuses_at_once(box: LiveBox) -> None:
    freeze = Path(box.entry.group) / "cgroup.freeze"
    freeze.write_text("1")
    try:
        asyncio.run(until(lambda: "frozen 1" in (freeze.parent / "cgroup.events").read_text()))

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


# -- terminals ------------------------------------------------------------------------------------


def test_a_terminal_has_a_name_a_size_and_one_stream(box: LiveBox) -> None:
    script = "tty; stty size; echo err >&2; ls -l $(tty) >/dev/null && echo $TERM"

    stdout, stderr, end = execute(box, "sh", "-c", script, tty=True, rows=33, cols=111)

    assert (stderr, end) == (b"", Exit(0))
    assert stdout.split(b"\r\n")[1:] == [b"33 111", b"err", b"xterm-256color", b""]
    assert stdout.startswith(b"/dev/pts/")


def test_a_terminal_can_be_resized(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            script = "trap 'stty size; exit' WINCH; sleep 60 & echo ready; wait"
            link = await begin(sessions, box, "bash", "-c", script, tty=True, contain=True)
            await read_until(link, b"ready")
            await link.resize(50, 200)
            assert (await collect(link))[0] == b"50 200\r\n"

    run(work())


def test_control_c_reaches_the_foreground(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "sh", "-c", "echo ready; exec sleep 60", tty=True)
            await read_until(link, b"ready")
            await link.write(b"\x03")
            assert (await collect(link))[2] == Exit(130)

    run(work())


def test_the_end_of_transmission_ends_a_shell(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "cat", tty=True)
            await link.write_eof()
            assert (await collect(link))[2] == Exit(0)

    run(work())


# -- what is left ---------------------------------------------------------------------------------


def test_an_exec_that_ended_leaves_no_group_and_no_directory(box: LiveBox) -> None:
    execute(box, "true")

    assert box.exec_groups == []
    asyncio.run(until(lambda: sessions_on_disk(box) == []))


BACKGROUND = "setsid nohup sleep 61 </dev/null >/dev/null 2>&1 & echo started"


def test_children_in_the_background_are_left_alone(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "sh", "-c", BACKGROUND)
            assert await collect(link) == (b"started\n", b"", Exit(0))
            await until(lambda: sessions_on_disk(box) == [])
            await sessions.sweep([box.entry.group])
            (group,) = box.exec_groups
            assert len(cgroups.list_processes(f"{box.entry.group}/{group}")) == 1
            kill(box, group)
            await until(lambda: cgroups.list_processes(f"{box.entry.group}/{group}") == [])
            await sessions.sweep([box.entry.group])
            assert box.exec_groups == []

    run(work())


def kill(box: LiveBox, group: str) -> None:
    cgroups.write_value(f"{box.entry.group}/{group}/cgroup.kill", "1")


def test_children_that_still_write_get_no_broken_pipe(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            fifo = box.disk / "tmp" / new_id()
            os.mkfifo(fifo)
            fifo.chmod(0o666)
            # After the exec has ended it writes more than a pipe holds, then tells of it.
            script = f"(read x; head -c 300000 /dev/zero; echo $? >{inside(box, fifo)}) <{inside(box, fifo)} &"
            link = await begin(sessions, box, "bash", "-c", script)
            told = await asyncio.to_thread(fifo.open, "w")
            await collect(link)
            await until(lambda: sessions_on_disk(box) == [])
            told.write("go\n")
            await asyncio.to_thread(told.close)
            assert await asyncio.to_thread(fifo.read_text) == "0\n"
            await until(lambda: cgroups.list_processes(box.entry.group + "/" + box.exec_groups[0]) == [] if box.exec_groups else True)
            await sessions.sweep([box.entry.group])

    run(work())


def inside(box: LiveBox, path: Path) -> str:
    return "/" + str(path.relative_to(box.disk))


def test_contain_ends_what_the_command_left(box: LiveBox) -> None:
    assert execute(box, "sh", "-c", BACKGROUND, contain=True)[0] == b"started\n"

    assert box.exec_groups == []


def test_ending_a_session_leaves_nothing(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            script = f"trap '' TERM; {BACKGROUND}; sleep 62 & while :; do wait; done"
            link = await begin(sessions, box, "bash", "-c", script)
            await read_until(link, b"started")
            code = await sessions.end(box.box_id, link.state.session_id, signal.SIGTERM, SECOND_NS // 10)
            assert (code, box.exec_groups) == (137, [])
            assert (await collect(link))[2] == Exit(137)

    run(work())


def test_a_client_that_is_lost_for_too_long_ends_everything(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            options = {"disconnect_ns_max": SECOND_NS // 100}
            link = await begin(sessions, box, "sh", "-c", f"{BACKGROUND}; sleep 63", **options)
            await read_until(link, b"started")
            await link.close()
            await until(lambda: box.exec_groups == [])
            again = await sessions.attach(box.box_id, link.state.session_id)
            assert await collect(again) == (b"started\n", b"", Exit(137))

    run(work())


def test_a_cancelled_start_leaves_nothing(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            await sessions.start()
            options = {"disconnect_ns_max": None}
            starting = asyncio.create_task(begin(sessions, box, "sleep", "64", **options))
            await asyncio.sleep(0)
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            await until(lambda: box.exec_groups == [] and sessions_on_disk(box) == [])

    run(work())


def test_a_killed_holder_is_buried_with_all_that_it_started(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "sh", "-c", f"{BACKGROUND}; sleep 65")
            await read_until(link, b"started")
            os.kill(holder_of(box, link.state.session_id), signal.SIGKILL)
            with pytest.raises(SkerryError, match="broke off"):
                await collect(link)
            assert (box.exec_groups, sessions_on_disk(box)) == ([], [])

    run(work())


def holder_of(box: LiveBox, session_id: str) -> int:
    with dial(f"{box.sessions}/{box.box_id}/{session_id}") as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], "little")


# -- clients that come and go ---------------------------------------------------------------------


def test_a_session_outlives_the_daemon_and_replays_its_output(box: LiveBox) -> None:
    async def first() -> str:
        async with opened(box) as sessions:
            options = {"disconnect_ns_max": None, "stdin": True}
            link = await begin(sessions, box, "sh", "-c", "echo before; cat", **options)
            await read_until(link, b"before")
            await link.close()
            return link.state.session_id

    async def second(session_id: str) -> None:
        async with opened(box) as sessions:
            (state,) = await sessions.states(box.box_id)
            assert (state.session_id, state.attached, state.exit_code) == (session_id, 0, None)
            link = await sessions.attach(box.box_id, session_id)
            await link.write(b"after\n")
            await link.write_eof()
            assert await collect(link) == (b"before\nafter\n", b"", Exit(0))

    run(second(asyncio.run(first())))


def test_execs_go_on_when_the_zygote_was_killed(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "cat", stdin=True)
            zygote = sessions._zygote._process
            assert zygote is not None
            zygote.kill()
            await asyncio.to_thread(zygote.wait)
            assert (await collect(await begin(sessions, box, "true")))[2] == Exit(0)
            await link.write_eof()
            assert (await collect(link))[2] == Exit(0)

    run(work())


def test_a_client_that_never_reads_makes_the_command_wait(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            script = "head -c 50000000 /dev/zero; echo done >&2"
            link = await begin(sessions, box, "sh", "-c", script)
            await until(lambda: link._connection._is_paused)
            watcher = await sessions.states(box.box_id)
            assert [state.exit_code for state in watcher] == [None]
            assert link._connection._arrived_bytes < 2 * 2**20
            stdout, stderr, _ = await collect(link)
            assert (len(stdout), stderr) == (50_000_000, b"done\n")

    run(work())


def test_a_client_that_never_reads_is_cut_in_the_end(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box, SessionRules(stall_ns_max=SECOND_NS // 20)) as sessions:
            options = {"disconnect_ns_max": SECOND_NS // 100}
            link = await begin(sessions, box, "yes", **options)
            await until(lambda: box.exec_groups == [])
            with pytest.raises(SkerryError, match="broke off"):
                await collect(link)
            await sessions.end(box.box_id, link.state.session_id, signal.SIGKILL, 0)

    run(work())


def test_two_clients_share_a_session(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            one = await begin(sessions, box, "cat", stdin=True)
            two = await sessions.attach(box.box_id, one.state.session_id)
            assert two.state.attached == 2
            await two.write(b"hello\n")
            await read_until(one, b"hello\n")
            await read_until(two, b"hello\n")
            await one.write_eof()
            assert [(await collect(link))[2] for link in (one, two)] == [Exit(0)] * 2

    run(work())


def test_an_unknown_session_is_not_found(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            for call in (
                sessions.attach(box.box_id, "ses_none"),
                sessions.end(box.box_id, "ses_none", signal.SIGTERM, 0),
            ):
                with pytest.raises(SkerryError) as caught:
                    await call
                assert caught.value.code == "session_not_found"
            assert await sessions.states("box_none") == []

    run(work())


# -- what a command is allowed --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["CapBnd", "Seccomp", "Seccomp_filters", "NoNewPrivs", "CapEff"])
def test_root_in_the_box_is_what_its_first_process_is(box: LiveBox, name: str) -> None:
    stdout, _, _ = execute(box, "cat", "/proc/self/status", user="root")

    assert box.init_status(name) in stdout.decode().splitlines()


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
            (group,) = box.exec_groups
            (pid,) = cgroups.list_processes(f"{box.entry.group}/{group}")
            for tasks in box.entry.legacy_tasks:
                assert str(pid) in Path(tasks).read_text().split()
            await link.write_eof()
            await collect(link)

    run(work())


@pytest.mark.parametrize("tty", [False, True])
def test_nothing_of_the_hosts_is_open_in_the_command(box: LiveBox, tty: bool) -> None:  # noqa: FBT001
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


def test_frames_of_a_newer_daemon_are_passed_over(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "cat", stdin=True)
            link._connection.send(250, b"what")
            link._connection.send(frames.QUERY)
            await link.write_eof()
            assert (await collect(link))[2] == Exit(0)

    run(work())


def test_many_execs_at_once_all_answer(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            links = await asyncio.gather(*(begin(sessions, box, "sh", "-c", f"exit {n}") for n in range(40)))
            ends = await asyncio.gather(*(collect(link) for link in links))
            assert [end.code for _, _, end in ends] == list(range(40))

    begun = time.monotonic()
    run(work())
    assert time.monotonic() - begun < 60

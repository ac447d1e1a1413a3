"""Sessions in a real box: their streams, terminals and clients, and what is left afterwards."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from skerry.base import SkerryError
from skerry.holder import frames
from skerry.host import cgroups
from skerry.host.holder_connection import dial
from skerry.host.seam import Exit, SessionState
from skerry.host.sessions import SessionRules, Sessions
from skerry.testing.live_box import (
    SECOND_NS,
    LiveBox,
    begin,
    collect,
    execute,
    new_session_id,
    opened,
    read_until,
    run,
    running_box,
    until,
)

pytestmark = pytest.mark.machine


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveBox]:
    with running_box(tmp_path_factory.mktemp("box")) as box:
        yield box


# -- streams, arguments, ends ---------------------------------------------------------------------


def test_streams_stay_apart_and_the_exit_code_arrives(box: LiveBox) -> None:
    result = execute(box, "sh", "-c", "echo out; echo err >&2; exit 3")

    assert result == (b"out\n", b"err\n", Exit(3))


def test_any_byte_but_nul_passes_through_arguments_and_environment(box: LiveBox) -> None:
    every_byte = bytes(range(1, 256))

    stdout, _, _ = execute(
        box, "sh", "-c", "cat <<E\n$1$V\nE", "x", every_byte, env={b"V": every_byte}
    )

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
    stdout, _, _ = execute(
        box, "sh", "-c", "pwd; id -u; id -g; id -G; echo $HOME $USER $SHELL $LANG; umask"
    )

    assert stdout == b"/home/box\n1000\n1000\n1000 50\n/home/box box /bin/bash C.UTF-8\n0022\n"


def test_directory_user_and_environment_are_as_asked(box: LiveBox) -> None:
    script = "pwd; id -u; echo $HOME $A"

    stdout, _, _ = execute(box, "sh", "-c", script, user="0", directory=b"/tmp", env={b"A": b"b"})

    assert stdout == b"/tmp\n0\n/root b\n"


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


def test_an_exec_that_ended_leaves_nothing(box: LiveBox) -> None:
    session_id = new_session_id()

    execute(box, "true", session_id=session_id)

    assert not box.group(session_id).exists()
    run(until(lambda: box.is_clear_of(session_id)))


BACKGROUND = "setsid nohup sleep 61 </dev/null >/dev/null 2>&1 & echo started"


def test_children_in_the_background_are_left_alone(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "sh", "-c", BACKGROUND)
            session_id = link.state.session_id
            assert await collect(link) == (b"started\n", b"", Exit(0))
            await until(lambda: not box.directory(session_id).exists())
            await sessions.sweep([box.entry.group])
            assert len(box.processes(session_id)) == 1
            cgroups.write_value(f"{box.group(session_id)}/cgroup.kill", "1")
            await until(lambda: box.processes(session_id) == [])
            await sessions.sweep([box.entry.group])
            assert box.is_clear_of(session_id)

    run(work())


def test_children_that_still_write_get_no_broken_pipe(box: LiveBox) -> None:
    go, told = box.disk / "tmp" / "go", box.disk / "tmp" / "told"
    os.mkfifo(go)
    go.chmod(0o644)
    # More than a pipe holds, when nobody is there any more to whom it could go.
    script = "(read x </tmp/go; head -c 300000 /dev/zero; echo $? >/tmp/told) &"

    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "sh", "-c", script)
            await collect(link)
            await until(lambda: not box.directory(link.state.session_id).exists())
            await asyncio.to_thread(go.write_text, "x\n")
            await until(lambda: told.exists() and told.read_text() == "0\n")
            await until(lambda: box.is_clear_of(link.state.session_id))

    run(work())


def test_contain_ends_what_the_command_left(box: LiveBox) -> None:
    session_id = new_session_id()
    options = {"contain": True, "session_id": session_id}

    assert execute(box, "sh", "-c", BACKGROUND, **options)[0] == b"started\n"

    assert not box.group(session_id).exists()


def test_ending_a_session_leaves_nothing(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            script = f"trap '' TERM; {BACKGROUND}; sleep 62 & while :; do wait; done"
            link = await begin(sessions, box, "bash", "-c", script)
            session_id = link.state.session_id
            await read_until(link, b"started")
            code = await sessions.end(box.box_id, session_id, signal.SIGTERM, SECOND_NS // 10)
            assert (code, box.group(session_id).exists()) == (137, False)
            assert (await collect(link))[2] == Exit(137)

    run(work())


def test_a_client_that_is_lost_for_too_long_ends_everything(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            options: dict[str, Any] = {"disconnect_ns_max": SECOND_NS // 100}
            link = await begin(sessions, box, "sh", "-c", f"{BACKGROUND}; sleep 63", **options)
            await read_until(link, b"started")
            await link.close()
            await until(lambda: not box.group(link.state.session_id).exists())
            again = await sessions.attach(box.box_id, link.state.session_id)
            assert await collect(again) == (b"started\n", b"", Exit(137))

    run(work())


@pytest.mark.parametrize("turns", [0, 1, 2, 4, 8, 12, 16])
def test_a_start_that_is_cancelled_leaves_nothing(box: LiveBox, turns: int) -> None:
    session_id = new_session_id()

    async def work() -> None:
        async with opened(box) as sessions:
            await sessions.start()
            options: dict[str, Any] = {"disconnect_ns_max": None, "session_id": session_id}
            starting = asyncio.create_task(begin(sessions, box, "sleep", "64", **options))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            with suppress(asyncio.CancelledError):
                await starting
            # Requests are taken in turn: when this one is done the other was taken.
            await collect(await begin(sessions, box, "true"))
            await until(lambda: box.is_clear_of(session_id))

    run(work())


def test_a_killed_holder_is_buried_with_all_that_it_started(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "sh", "-c", f"{BACKGROUND}; sleep 65")
            await read_until(link, b"started")
            os.kill(holder_of(box, link.state.session_id), signal.SIGKILL)
            with pytest.raises(SkerryError, match="broke off"):
                await collect(link)
            assert box.is_clear_of(link.state.session_id)

    run(work())


def test_a_sweep_buries_what_nobody_watched(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            options: dict[str, Any] = {"disconnect_ns_max": None}
            link = await begin(sessions, box, "sh", "-c", f"{BACKGROUND}; sleep 66", **options)
            await read_until(link, b"started")
            await link.close()
            os.kill(holder_of(box, link.state.session_id), signal.SIGKILL)
            await sessions.sweep([box.entry.group])
            assert box.is_clear_of(link.state.session_id)

    run(work())


def holder_of(box: LiveBox, session_id: str) -> int:
    with dial(f"{box.sessions}/{box.box_id}/{session_id}") as connection:
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[:4], sys.byteorder)


# -- clients that come and go ---------------------------------------------------------------------


def test_a_session_outlives_the_daemon_and_replays_its_output(box: LiveBox) -> None:
    async def first() -> str:
        async with opened(box) as sessions:
            options: dict[str, Any] = {"disconnect_ns_max": None, "stdin": True}
            link = await begin(sessions, box, "sh", "-c", "echo before; cat", **options)
            await read_until(link, b"before")
            await link.close()
            return link.state.session_id

    async def second(session_id: str) -> None:
        async with opened(box) as sessions:
            (state,) = await states(sessions, box, session_id)
            assert (state.attached, state.exit_code) == (0, None)
            link = await sessions.attach(box.box_id, session_id)
            await link.write(b"after\n")
            await link.write_eof()
            assert await collect(link) == (b"before\nafter\n", b"", Exit(0))

    run(second(asyncio.run(first())))


def test_execs_go_on_when_the_zygote_was_killed(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "cat", stdin=True)
            os.kill(zygote_of_this_process(), signal.SIGKILL)
            assert (await collect(await begin(sessions, box, "true")))[2] == Exit(0)
            await link.write_eof()
            assert (await collect(link))[2] == Exit(0)

    run(work())


async def states(sessions: Sessions, box: LiveBox, session_id: str) -> list[SessionState]:
    return [s for s in await sessions.states(box.box_id) if s.session_id == session_id]


def zygote_of_this_process() -> int:
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    (zygote,) = (c for c in children if b"holder.zygote" in Path(f"/proc/{c}/cmdline").read_bytes())
    return int(zygote)


def test_a_client_that_never_reads_makes_the_command_wait(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            script = "head -c 50000000 /dev/zero; echo done >&2"
            link = await begin(sessions, box, "sh", "-c", script)
            await until(lambda: link.connection.is_paused)
            (state,) = await states(sessions, box, link.state.session_id)
            assert state.exit_code is None
            assert link.connection.queued_bytes < 2 * 2**20
            stdout, stderr, _ = await collect(link)
            assert (len(stdout), stderr) == (50_000_000, b"done\n")

    run(work())


def test_a_client_that_never_reads_is_cut_in_the_end(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(
            box, SessionRules(stall_ns_max=SECOND_NS // 20, linger_ns=SECOND_NS)
        ) as sessions:
            options: dict[str, Any] = {"disconnect_ns_max": SECOND_NS // 100}
            link = await begin(sessions, box, "yes", **options)
            await until(lambda: not box.group(link.state.session_id).exists())
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


def test_a_box_has_no_more_sessions_than_it_may(box: LiveBox) -> None:
    async def work() -> None:
        here = Path(box.sessions) / box.box_id
        await until(lambda: not here.exists() or not os.listdir(here))
        async with opened(box, rules=SessionRules(sessions_max=1)) as sessions:
            link = await begin(sessions, box, "cat", stdin=True)
            with pytest.raises(SkerryError) as caught:
                await begin(sessions, box, "true")
            assert caught.value.code == "sessions_limit"
            await link.write_eof()
            assert (await collect(link))[2] == Exit(0)
            await until(lambda: not here.exists() or not os.listdir(here))
            assert (await collect(await begin(sessions, box, "true")))[2] == Exit(0)

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


def test_frames_of_a_newer_daemon_are_passed_over(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            link = await begin(sessions, box, "cat", stdin=True)
            link.connection.send(250, b"what")
            link.connection.send(frames.QUERY)
            await link.write_eof()
            assert (await collect(link))[2] == Exit(0)

    run(work())


def test_many_execs_at_once_all_answer(box: LiveBox) -> None:
    async def work() -> None:
        async with opened(box) as sessions:
            links = await asyncio.gather(
                *(begin(sessions, box, "sh", "-c", f"exit {n}") for n in range(40))
            )
            ends = await asyncio.gather(*(collect(link) for link in links))
            assert [end.code for _, _, end in ends] == list(range(40))

    run(work())

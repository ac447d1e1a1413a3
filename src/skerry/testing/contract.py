"""What every implementation of host.seam.Machine must do. Subclass it and give `running_box`."""

import asyncio
import itertools
import socket
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from skerry.base import Conflict, NotFound
from skerry.host.seam import ExecSpec, Exit, Machine, Output

_numbers = itertools.count()
BOX = "box_0123456789abcdef"
Given: TypeAlias = Callable[[Callable[[Machine], Awaitable[None]]], None]


async def run(
    machine: Machine, *argv: str, stdin: bytes | None = None, box: str = BOX
) -> tuple[bytes, int]:
    """Run a command to its end; return its stdout and exit code."""
    spec = ExecSpec(argv=[a.encode() for a in argv], stdin=stdin is not None)
    link = await machine.open_session(box, f"ses_{next(_numbers):016d}", spec)
    if stdin is not None:
        await link.write(stdin)
        await link.write_eof()
    output, code = b"", -1
    async for event in link.events():
        match event:
            case Output(stream="stdout", data=data):
                output += data
            case Exit(code=exit_code):
                code = exit_code
            case _:
                pass
    await link.close()
    return output, code


class MachineContract:
    """The contract. The fixture `given` runs a test on a machine on which BOX runs."""

    def test_a_command_runs_and_its_output_and_exit_code_come_back(self, given: Given) -> None:
        """Output comes whole, the exit code last."""

        async def check(machine: Machine) -> None:
            assert await run(machine, "echo", "hello") == (b"hello\n", 0)
            assert await run(machine, "sh", "-c", "exit 7") == (b"", 7)

        given(check)

    def test_stdin_reaches_the_command_until_its_end(self, given: Given) -> None:
        """Bytes pass unchanged."""

        async def check(machine: Machine) -> None:
            assert await run(machine, "cat", stdin=b"\x00\xff bytes") == (b"\x00\xff bytes", 0)

        given(check)

    def test_a_command_that_is_not_there_is_said_so(self, given: Given) -> None:
        """An error with a code, not an exit code."""

        async def check(machine: Machine) -> None:
            with pytest.raises(NotFound) as caught:
                await run(machine, "no-such-command")
            assert caught.value.code == "command_not_found"

        given(check)

    def test_a_swapped_disk_holds_the_checkpoint_and_keeps_what_it_replaced(
        self, given: Given
    ) -> None:
        """The heart of a restore."""

        async def check(machine: Machine) -> None:
            await run(machine, "tee", "/tmp/note", stdin=b"old")
            await machine.snapshot(BOX, "v1")
            await run(machine, "tee", "/tmp/note", stdin=b"new")
            before = await machine.disk_id(BOX)
            await machine.stage_disk(BOX, "v1", "auto-2")
            await machine.stop(BOX, 0)
            await machine.swap_disk(BOX, "auto-2")
            disks = (await machine.disks())[BOX]
            assert disks.disk_id != before
            assert disks.checkpoints["auto-2"] == before
            changes = {c.path: c.kind for c in await machine.changes(BOX, "v1", "auto-2")}
            assert changes["/tmp/note"] == "modified"

        given(check)

    def test_a_frozen_box_stands_still_until_it_is_thawed(self, given: Given) -> None:
        """And nobody enters it meanwhile."""

        async def check(machine: Machine) -> None:
            await machine.freeze(BOX)
            await machine.freeze(BOX)
            assert BOX in await machine.frozen()
            with pytest.raises(Conflict) as caught:
                await run(machine, "true")
            assert caught.value.code == "box_frozen"
            await machine.push_out(BOX)
            await machine.thaw(BOX)
            await machine.thaw(BOX)
            assert BOX not in await machine.frozen()
            assert await run(machine, "echo", "awake") == (b"awake\n", 0)

        given(check)

    def test_a_frozen_box_can_be_stopped(self, given: Given) -> None:
        """At once or with grace."""

        async def check(machine: Machine) -> None:
            await machine.freeze(BOX)
            await machine.stop(BOX, 10**8)
            assert BOX not in await machine.running()
            with pytest.raises(Conflict):
                await machine.freeze(BOX)

        given(check)

    def test_stopping_twice_is_stopping(self, given: Given) -> None:
        """What is gone stays gone, without complaint."""

        async def check(machine: Machine) -> None:
            await machine.stop(BOX, 0)
            await machine.stop(BOX, 0)
            assert BOX not in await machine.running()
            with pytest.raises(Conflict) as caught:
                await run(machine, "true")
            assert caught.value.code == "box_not_running"

        given(check)

    def test_deleting_twice_is_deleting(self, given: Given) -> None:
        """Half done work can be done again."""

        async def check(machine: Machine) -> None:
            await machine.snapshot(BOX, "v1")
            await machine.delete_checkpoint(BOX, "v1")
            await machine.delete_checkpoint(BOX, "v1")
            assert "v1" not in (await machine.disks())[BOX].checkpoints
            await machine.stop(BOX, 0)
            await machine.delete_disks(BOX)
            await machine.delete_disks(BOX)
            assert BOX not in await machine.disks()

        given(check)

    def test_a_session_can_be_ended(self, given: Given) -> None:
        """Its exit code says by which signal."""

        async def check(machine: Machine) -> None:
            link = await machine.open_session(
                BOX, "ses_sleeper000000000", ExecSpec(argv=[b"sleep", b"1000"])
            )
            assert [s.exit_code for s in await machine.sessions(BOX)] == [None]
            code = await machine.end_session(BOX, link.state.session_id, 15, 10**10)
            assert code == 128 + 15
            await link.close()

        given(check)

    def test_a_box_has_one_socket_inside_and_only_while_it_runs(self, given: Given) -> None:
        """The newest, which listens as soon as there is one."""

        async def check(machine: Machine) -> None:
            with machine.listen_inside(BOX), machine.listen_inside(BOX) as newest:
                assert newest.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1
                assert not newest.getblocking()
            await machine.stop(BOX, 0)
            with pytest.raises(FileNotFoundError):
                machine.listen_inside(BOX)

        given(check)

    def test_boxes_at_once_do_not_mix(self, given: Given) -> None:
        """Many execs in one box, each with its own output."""

        async def check(machine: Machine) -> None:
            results = await asyncio.gather(*(run(machine, "echo", f"{n}") for n in range(20)))
            assert results == [(f"{n}\n".encode(), 0) for n in range(20)]

        given(check)

"""Reading a service's log: the last lines, older files too, and what comes after."""

import asyncio
import gzip
import os
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from skerry.holder.pump import fork_pump
from skerry.host.service_log import delete_log, read_log


def last(directory: Path, lines: int) -> list[bytes]:
    async def story() -> bytes:
        found = read_log(str(directory), "web", lines=lines, follow=False)
        return b"".join([piece async for piece in found])

    return asyncio.run(story()).split(b"\n")[:-1]


def test_the_last_lines_come_from_older_files_too(tmp_path: Path) -> None:
    (tmp_path / "web.log-20260101T000000.001.gz").write_bytes(gzip.compress(b"1\n2\n"))
    (tmp_path / "web.log-20260101T000000.002").write_bytes(b"3\n4\n")
    (tmp_path / "web.log").write_bytes(b"5\n6\nunfinished")

    assert last(tmp_path, 1) == [b"6"]
    assert last(tmp_path, 3) == [b"4", b"5", b"6"]
    assert last(tmp_path, 100) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert last(tmp_path, 0) == []


def test_no_service_is_told_the_lines_of_one_whose_name_goes_on(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_bytes(b"mine\n")
    (tmp_path / "web-api.log").write_bytes(b"another's\n")
    (tmp_path / "web-api.log-20260101T000000.001").write_bytes(b"another's\n")
    (tmp_path / "web.log-20260101T000000.001.log").write_bytes(b"another's\n")

    assert last(tmp_path, 10) == [b"mine"]


def test_a_carriage_return_ends_no_line(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_bytes(b"first\n10%\r20%\r30%\n")

    assert last(tmp_path, 1) == [b"10%\r20%\r30%"]
    assert last(tmp_path, 2) == [b"first", b"10%\r20%\r30%"]


def test_a_file_is_not_told_twice_while_its_compressed_one_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "web.log-20260101T000000.001.gz").write_bytes(gzip.compress(b"1\n"))
    (tmp_path / "web.log-20260101T000000.001").write_bytes(b"1\n")
    (tmp_path / "web.log").write_bytes(b"2\n")

    assert last(tmp_path, 10) == [b"1", b"2"]


def test_a_line_without_end_does_not_hold_up_who_follows(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_bytes(b"")

    async def story() -> int:
        found = read_log(str(tmp_path), "web", lines=0, follow=True)
        waiting = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0)
        (tmp_path / "web.log").write_bytes(b"x" * 1_000_000)
        return len(await waiting)

    assert asyncio.run(story()) > 0


def test_who_follows_is_done_when_the_log_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_bytes(b"one\n")

    async def story() -> list[bytes]:
        found = read_log(str(tmp_path), "web", lines=10, follow=True)
        told = [await anext(found)]
        with (tmp_path / "web.log").open("ab") as file:
            file.write(b"two\n")
        delete_log(str(tmp_path), "web")
        return told + [piece async for piece in found]

    assert asyncio.run(story()) == [b"one\n", b"two\n"]


def test_a_deleted_log_takes_its_older_files_along_and_no_others(tmp_path: Path) -> None:
    for name in ("web.log", "web.pid", "web.log-20260101T000000.001.gz", "web-api.log"):
        (tmp_path / name).touch()

    delete_log(str(tmp_path), "web")
    delete_log(str(tmp_path / "none"), "web")

    assert os.listdir(tmp_path) == ["web-api.log"]


def test_a_log_is_deleted_when_the_pump_that_just_began_has_ended_and_does_not_come_back(
    tmp_path: Path,
) -> None:
    ours, theirs = os.pipe()
    pump = fork_pump(str(tmp_path), "web", {ours: b"stdout"}, bytes_max=1 << 20, files_max=3)
    os.close(ours)
    os.write(theirs, b"last words\n")
    with ThreadPoolExecutor() as pool:
        deletion = pool.submit(delete_log, str(tmp_path), "web")
        assert not wait([deletion], 0.2).done
        os.close(theirs)
        deletion.result()

    assert os.listdir(tmp_path) == []
    assert os.waitpid(pump, 0)[1] == 0


def test_long_files_are_read_from_their_end(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_bytes(b"".join(b"line %d\n" % n for n in range(200_000)))

    assert last(tmp_path, 20_000)[0] == b"line 180000"


@pytest.mark.parametrize("broken", [b"", b"\x1f\x8b\x08 cut"])
def test_no_log_and_a_broken_one_are_no_lines(tmp_path: Path, broken: bytes) -> None:
    assert last(tmp_path, 10) == []
    (tmp_path / "web.log-20260101T000000.001.gz").write_bytes(broken)
    (tmp_path / "web.log").write_bytes(b"here\n")
    assert last(tmp_path, 10) == [b"here"]


def test_what_comes_is_told_across_a_turn_of_the_file(tmp_path: Path) -> None:
    log = tmp_path / "web.log"

    async def story() -> list[bytes]:
        found = read_log(str(tmp_path), "web", lines=10, follow=True)
        told: list[bytes] = []

        async def until(text: bytes) -> None:
            while not told or not told[-1].endswith(text):
                told.append(await anext(found))

        async def write(text: bytes) -> None:
            with log.open("ab") as file:
                file.write(text)

        waiting = asyncio.create_task(until(b"one\n"))
        await asyncio.sleep(0)
        await write(b"one\n")
        await waiting
        await write(b"two\nth")
        await until(b"two\n")
        await write(b"ree\n" + b"long\n" * 200_000)
        os.rename(log, tmp_path / "web.log-20260101T000000.001")
        await write(b"four\n")
        await until(b"four\n")
        return told

    assert b"".join(asyncio.run(story())) == b"one\ntwo\nthree\n" + b"long\n" * 200_000 + b"four\n"

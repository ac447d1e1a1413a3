"""Reading a service's log: the last lines, older files too, and what comes after."""

import asyncio
import gzip
import os
from pathlib import Path

import pytest

from skerry.host.service_log import read_log


def last(directory: Path, lines: int) -> list[bytes]:
    async def story() -> bytes:
        found = read_log(str(directory), "web", lines=lines, follow=False)
        return b"".join([piece async for piece in found])

    return asyncio.run(story()).splitlines()


def test_the_last_lines_come_from_older_files_too(tmp_path: Path) -> None:
    (tmp_path / "web-1.log.gz").write_bytes(gzip.compress(b"1\n2\n"))
    (tmp_path / "web-2.log").write_bytes(b"3\n4\n")
    (tmp_path / "web.log").write_bytes(b"5\n6\nunfinished")

    assert last(tmp_path, 1) == [b"6"]
    assert last(tmp_path, 3) == [b"4", b"5", b"6"]
    assert last(tmp_path, 100) == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert last(tmp_path, 0) == []


def test_long_files_are_read_from_their_end(tmp_path: Path) -> None:
    (tmp_path / "web.log").write_bytes(b"".join(b"line %d\n" % n for n in range(200_000)))

    assert last(tmp_path, 20_000)[0] == b"line 180000"


@pytest.mark.parametrize("broken", [b"", b"\x1f\x8b\x08 cut"])
def test_no_log_and_a_broken_one_are_no_lines(tmp_path: Path, broken: bytes) -> None:
    assert last(tmp_path, 10) == []
    (tmp_path / "web-1.log.gz").write_bytes(broken)
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
        await write(b"ree\n")
        os.rename(log, tmp_path / "web-1.log")
        await write(b"four\n")
        await until(b"four\n")
        return told

    assert b"".join(asyncio.run(story())) == b"one\ntwo\nthree\nfour\n"

"""A service's log: lines with their time and stream, turned over, reopened, never in the way."""

import gzip
import os
import re
import resource
import signal
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from skerry.holder.log_file import LogFile, archives, compress, stamp
from skerry.holder.pump import fork_pump

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \[(stdout|stderr)\] (.*)")


class Service:
    """Two pipes with a pump at their other end."""

    def __init__(self, directory: Path, *, bytes_max: int, files_max: int) -> None:
        self.log = directory / "web.log"
        ends = [os.pipe() for _ in range(2)]
        self.stdout, self.stderr = (write for _, write in ends)
        self.reads = {ends[0][0]: b"stdout", ends[1][0]: b"stderr"}
        self._limits = {"bytes_max": bytes_max, "files_max": files_max}
        self._directory = str(directory)
        self.start()

    def start(self) -> None:
        self.pump = fork_pump(self._directory, "web", self.reads, **self._limits)

    def end(self) -> None:
        """Close the pipes and wait for the pump."""
        for descriptor in (self.stdout, self.stderr, *self.reads):
            os.close(descriptor)
        os.waitpid(self.pump, 0)

    def lines(self) -> list[tuple[str, str]]:
        """What the log says now: stream and text."""
        found = [LINE.fullmatch(line) for line in self.log.read_text().splitlines()]
        return [(match[1], match[2]) for match in found if match is not None]


@contextmanager
def logged(directory: Path, *, bytes_max: int = 1 << 20, files_max: int = 3) -> Generator[Service]:
    service = Service(directory, bytes_max=bytes_max, files_max=files_max)
    yield service
    service.end()


def wait_for(path: Path, text: str) -> None:
    while not (path.exists() and text in path.read_text()):
        pass


def test_each_line_has_its_time_and_its_stream(tmp_path: Path) -> None:
    with logged(tmp_path) as service:
        os.write(service.stdout, b"one\ntw")
        wait_for(service.log, "one")
        os.write(service.stderr, b"wrong\n\n")
        wait_for(service.log, "wrong")
        os.write(service.stdout, b"o\nno end")

    assert sorted(service.lines()) == sorted(
        [("stdout", "one"), ("stderr", "wrong"), ("stderr", ""), ("stdout", "two"),
         ("stdout", "no end")]
    )  # fmt: skip


def test_a_line_without_end_is_broken_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    with logged(tmp_path) as service:
        for _ in range(10):
            os.write(service.stdout, b"x" * 40_000)

    assert sum(len(text) for _, text in service.lines()) == 400_000
    assert len(service.lines()) > 3


def test_a_flood_stays_within_the_files_that_it_may_have(tmp_path: Path) -> None:
    with logged(tmp_path, bytes_max=100_000, files_max=3) as service:
        for number in range(2000):
            os.write(service.stdout, b"%06d %s\n" % (number, b"x" * 1000))

    kept = ["web.log", *archives(str(tmp_path), "web")]
    assert 2 <= len(kept) <= 5  # one may have been compressed just now
    assert sum((tmp_path / name).stat().st_size for name in kept) < 6 * 400_000
    assert service.lines()[-1][1].startswith("001999")


def test_a_killed_pump_can_be_replaced_and_nothing_is_lost_in_between(tmp_path: Path) -> None:
    with logged(tmp_path) as service:
        os.write(service.stdout, b"before\n")
        wait_for(service.log, "before")
        os.kill(service.pump, signal.SIGKILL)
        os.waitpid(service.pump, 0)
        os.write(service.stdout, b"meanwhile\n")
        service.start()

    assert [text for _, text in service.lines()] == ["before", "meanwhile"]


def test_a_pump_does_not_bring_back_the_logs_of_a_box_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fork_pump(str(tmp_path / "gone"), "web", {}, bytes_max=1, files_max=1)

    assert os.listdir(tmp_path) == []


def test_a_hang_up_has_the_file_opened_anew(tmp_path: Path) -> None:
    with logged(tmp_path) as service:
        os.write(service.stdout, b"old\n")
        wait_for(service.log, "old")
        service.log.rename(tmp_path / "web.log.1")
        wait_for(tmp_path / "web.pid", str(service.pump))
        os.kill(service.pump, signal.SIGHUP)
        while not service.log.exists():
            pass
        os.write(service.stdout, b"new\n")

    assert [text for _, text in service.lines()] == ["new"]


def test_a_day_that_ends_turns_the_file_over(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), "web", bytes_max=1 << 20, files_max=3)
    log.write(b"yesterday\n")
    os.utime(tmp_path / "web.log", (0, 0))
    log.reopen()
    log.write(b"today\n")

    assert (tmp_path / "web.log").read_bytes() == b"today\n"
    assert len(archives(str(tmp_path), "web")) == 1


def test_a_log_is_not_thrown_away_with_the_older_ones_of_another(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), "web", bytes_max=10, files_max=1)
    for name in ("web-api.log", "web-api.log-20260101T000000.000", "web.log-2026.log"):
        (tmp_path / name).write_bytes(b"another's\n")
    for _ in range(5):
        log.write(b"0123456789\n")

    assert len(archives(str(tmp_path), "web")) == 1
    assert {"web-api.log", "web-api.log-20260101T000000.000", "web.log-2026.log"} < {
        *os.listdir(tmp_path)
    }


def test_older_files_stay_in_the_order_of_time_when_the_clock_is_set_back(tmp_path: Path) -> None:
    (tmp_path / "web.log-29991231T235959.999").write_bytes(b"from the future\n")
    log = LogFile(str(tmp_path), "web", bytes_max=10, files_max=3)
    for number in range(3):
        log.write(b"line %d is long\n" % number)

    future, first, second = archives(str(tmp_path), "web")
    assert future == "web.log-29991231T235959.999"
    assert [name.removesuffix(".gz") for name in (first, second)] == [
        "web.log-30000101T000000.000", "web.log-30000101T000000.001",
    ]  # fmt: skip


def test_a_file_that_was_put_aside_without_a_new_one_is_not_written_on(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), "web", bytes_max=10, files_max=3)
    log.write(b"0123456789\n")
    (tmp_path / "web.log").rename(tmp_path / "web.log-20260101T000000.000")
    log.write(b"after\n")

    assert (tmp_path / "web.log").read_bytes() == b"after\n"


def test_what_compressing_left_that_was_killed_is_removed(tmp_path: Path) -> None:
    (tmp_path / "web.log-20260101T000000.000.tmp").write_bytes(b"half")
    LogFile(str(tmp_path), "web", bytes_max=10, files_max=3)

    assert os.listdir(tmp_path) == ["web.log"]


def test_a_line_that_found_no_room_half_way_does_not_run_into_the_next(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), "web", bytes_max=1 << 20, files_max=3)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4, before[1]))
    log.write(b"torn line\n")
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    log.write(b"there\n")

    first, second, third = (tmp_path / "web.log").read_text().splitlines()
    assert (first, third) == ("torn", "there")
    assert second.endswith("[skerry] 6 bytes were lost: no room")


def test_what_finds_no_room_is_counted_and_told_later(tmp_path: Path) -> None:
    log = LogFile(str(tmp_path), "web", bytes_max=1 << 20, files_max=3)
    (tmp_path / "web.log").unlink()
    (tmp_path / "web.log").symlink_to("/dev/full")
    log.reopen()
    log.write(b"lost\n")
    (tmp_path / "web.log").unlink()
    log.reopen()
    log.write(b"there\n")

    first, second = (tmp_path / "web.log").read_text().splitlines()
    assert first.endswith("[skerry] 5 bytes were lost: no room")
    assert second == "there"


def test_a_compressed_file_takes_the_place_of_the_plain_one(tmp_path: Path) -> None:
    (tmp_path / "web-1.log").write_bytes(b"text\n" * 1000)

    compress(str(tmp_path / "web-1.log"))

    assert gzip.decompress((tmp_path / "web-1.log.gz").read_bytes()) == b"text\n" * 1000
    assert os.listdir(tmp_path) == ["web-1.log.gz"]


def test_what_cannot_be_compressed_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "web-1.log").write_bytes(b"text\n")
    (tmp_path / "web-1.log.gz").mkdir()

    with pytest.raises(OSError, match="directory"):
        compress(str(tmp_path / "web-1.log"))

    assert (tmp_path / "web-1.log").read_bytes() == b"text\n"


def test_a_moment_is_written_to_the_millisecond() -> None:
    assert stamp(1_780_420_274_555_999_999) == "2026-06-02T17:11:14.555Z"

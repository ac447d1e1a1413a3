"""Services in real boxes: kept running, in order, logged, back after everything."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SKERRY, Program
from tests.process import running

# Says that it begins, then a line now and then.
TICK = "import time, sys\nprint('begin', flush=True)\nwhile True:\n    time.sleep(0.1)\n    print('tick', flush=True)"


@pytest.fixture
def host(program: Program, request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of a box of its own."""
    name = f"serve-{abs(hash(request.node.nodeid)) % 10**10}"
    program.ok("create", name)
    yield name
    program.run("destroy", name, "--yes", "--purge")


def service(program: Program, box: str, name: str) -> dict[str, Any]:
    return program.json("service", "info", box, name)


def size_of(path: Path) -> int:
    """The size of a file, which may be thrown away in this moment."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def until(condition: Callable[[], bool]) -> None:
    """Wait; pytest's own limit ends a wait in vain."""
    while not condition():
        pass


def tick(program: Program, box: str, name: str = "tick", *more: str) -> None:
    program.ok(
        "service", "create", box, name, "--cmd", "python3", "--arg=-c", f"--arg={TICK}", *more
    )
    until(lambda: service(program, box, name)["state"]["status"] == "running")


def test_a_service_runs_is_logged_and_stops_for_good(program: Program, host: str) -> None:
    tick(program, host, "tick", "-e", "X=1")
    until(lambda: "tick" in program.ok("logs", host, "tick"))
    line = program.ok("logs", host, "tick", "-n", "1000").splitlines()[0]
    assert line == "begin"

    program.ok("service", "stop", host, "tick")
    assert service(program, host, "tick")["state"]["status"] == "stopped"
    assert program.run("exec", host, "--", "pgrep", "python3").returncode == 1
    program.ok("stop", host)
    program.ok("start", host)
    assert service(program, host, "tick")["state"]["status"] == "stopped"
    program.ok("service", "start", host, "tick")
    until(lambda: service(program, host, "tick")["state"]["status"] == "running")


def test_a_service_that_crashes_is_started_again_ever_later(program: Program, host: str) -> None:
    crash = ["--cmd", "sh", "--arg=-c", "--arg=echo crashed >&2; exit 3"]
    program.ok("service", "create", host, "crash", *crash)
    until(lambda: service(program, host, "crash")["state"]["restart_count"] >= 2)
    until(lambda: service(program, host, "crash")["state"]["status"] == "failed")

    told = service(program, host, "crash")["state"]
    assert told["error"] == "it ended with exit code 3"
    assert told["next_restart_at"] is not None
    assert program.ok("logs", host, "crash").count("crashed") >= 2


def test_services_start_in_order_and_come_back_with_their_box(program: Program, host: str) -> None:
    serve = ["--cmd", "python3", "--arg=-m", "--arg=http.server", "--arg=8000"]
    program.ok("service", "create", host, "db", *serve, "--http-port", "8000", "--ready-path", "/")
    look = (
        "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000').status, flush=True)"
    )
    wait = f"{look}; import time; time.sleep(1000)"
    program.ok(
        "service", "create", host, "web", "--cmd", "python3", "--arg=-c", f"--arg={wait}",
        "--needs", "db",
    )  # fmt: skip
    until(lambda: "200" in program.ok("logs", host, "web"))

    program.ok("stop", host)
    program.ok("exec", host, "--", "true")
    until(lambda: program.ok("logs", host, "web").count("200") == 2)
    assert service(program, host, "web")["state"]["restart_count"] == 0
    refused = program.run("service", "create", host, "other", *serve, "--http-port", "1")
    assert b"already has an HTTP port configured" in refused.stderr


def test_a_service_outlives_the_daemon_and_its_log_misses_nothing(
    program: Program, host: str
) -> None:
    count = "import time, itertools\nfor n in itertools.count():\n    print(n, flush=True); time.sleep(0.01)"
    program.ok("service", "create", host, "count", "--cmd", "python3", "--arg=-c", f"--arg={count}")
    until(lambda: program.ok("logs", host, "count") != "")
    pid = service(program, host, "count")["state"]["pid"]

    program.kill()
    program.start()

    until(lambda: service(program, host, "count")["state"]["pid"] == pid)
    until(lambda: len(program.ok("logs", host, "count", "-n", "10000").splitlines()) > 300)
    numbers = [int(n) for n in program.ok("logs", host, "count", "-n", "10000").splitlines()]
    assert numbers == list(range(len(numbers)))


def test_a_killed_pump_is_replaced_and_the_service_does_not_notice(
    program: Program, host: str
) -> None:
    tick(program, host)
    box_id = program.json("info", host)["id"]
    path = program.data / "logs" / box_id / "tick.pid"
    until(path.exists)
    before, pid = service(program, host, "tick")["state"], int(path.read_text())
    os.kill(pid, signal.SIGKILL)
    until(lambda: int(path.read_text()) != pid)
    size = (path.parent / "tick.log").stat().st_size
    until(lambda: (path.parent / "tick.log").stat().st_size > size)

    assert service(program, host, "tick")["state"] == before


def test_a_flood_of_output_stays_within_its_files(program: Program, host: str) -> None:
    program.ok("service", "create", host, "flood", "--cmd", "yes", "--arg", "x" * 200)
    logs = program.data / "logs" / program.json("info", host)["id"]
    until(lambda: len(list(logs.glob("flood.log-*"))) >= 7)
    sizes = [size_of(path) for path in logs.glob("flood*")]
    program.ok("service", "delete", host, "flood")

    assert sum(sizes) < 12 * (10 << 20)
    assert list(logs.glob("flood*")) == [], "a log goes with its service"
    assert program.run("exec", host, "--", "pgrep", "yes").returncode == 1


def test_a_killed_holder_leaves_nothing_behind_that_keeps_the_next_run_from_its_port(
    program: Program, host: str
) -> None:
    serve = "python3 -m http.server 8000 & echo began; wait"
    program.ok(
        "service", "create", host, "web", "--cmd", "sh", "--arg=-c", f"--arg={serve}",
        "--http-port", "8000", "--ready-path", "/",
    )  # fmt: skip
    until(lambda: service(program, host, "web")["state"]["status"] == "running")
    os.kill(parent_of(first_pid_of("http.server 8000 & echo began")), signal.SIGKILL)
    until(lambda: service(program, host, "web")["state"]["restart_count"] == 1)
    until(lambda: service(program, host, "web")["state"]["status"] == "running")

    assert program.ok("logs", host, "web").count("began") == 2


def first_pid_of(text: str) -> int:
    """The process of this machine whose command line has text in it."""
    found = subprocess.run(["pgrep", "-f", text], capture_output=True, check=True).stdout
    return int(found.split()[0])


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_what_a_service_prints_is_told_as_it_is(program: Program, host: str) -> None:
    show = r"printf '10%%\r20%%\n'; head -c 500000 /dev/zero | tr '\0' x; echo; echo end; sleep 999"
    program.ok("service", "create", host, "show", "--cmd", "sh", "--arg=-c", f"--arg={show}")
    until(lambda: "end" in program.ok("logs", host, "show"))
    _, told, _ = program.http("GET", f"/v1/sprites/{host}/services/show/logs?lines=1000")
    events = [json.loads(line) for line in told.splitlines()]
    data = [event["data"] for event in events if event["type"] == "stdout"]

    assert data[0] == "10%\r20%\n"
    assert data[-1] == "end\n"
    assert sum(line.count("x") for line in data) == 500_000


def test_logs_are_followed(program: Program, host: str) -> None:
    tick(program, host)
    command = [SKERRY, "--data", str(program.data), "logs", "-f", "-n", "0", host, "tick"]
    with running(subprocess.Popen(command, stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"tick\n"
        process.terminate()


def test_who_follows_a_log_is_done_when_the_service_is_deleted(program: Program, host: str) -> None:
    tick(program, host)
    command = [SKERRY, "--data", str(program.data), "logs", "-f", "-n", "0", host, "tick"]
    with running(subprocess.Popen(command, stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"tick\n"
        program.ok("service", "delete", host, "tick")
        assert process.wait() == 0


def test_forks_have_the_services_too_and_nothing_is_left_of_a_box(
    program: Program, host: str
) -> None:
    tick(program, host)
    program.ok("fork", host, f"{host}-f")
    until(lambda: service(program, f"{host}-f", "tick")["state"]["status"] == "running")
    box_id = program.json("info", f"{host}-f")["id"]
    program.ok("destroy", f"{host}-f", "--yes", "--purge")

    assert not (program.data / "logs" / box_id).exists()


def test_the_events_of_a_start_are_those_of_the_protocol(program: Program, host: str) -> None:
    body = {"cmd": "sh", "args": ["-c", "echo out; echo err >&2; sleep 1000"]}
    status, told, headers = program.http(
        "PUT", f"/v1/sprites/{host}/services/web?duration=1s", body
    )
    events = [json.loads(line) for line in told.splitlines()]

    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    assert events[0]["type"] == "started"
    assert events[-1]["type"] == "complete"
    assert {(each["type"], each.get("data")) for each in events} >= {
        ("stdout", "out\n"), ("stderr", "err\n"),
    }  # fmt: skip
    again = program.http("PUT", f"/v1/sprites/{host}/services/web?duration=0", body)[1]
    assert b"already running" in again
    path = f"/v1/sprites/{host}/services"
    assert program.http("POST", f"{path}/signal", {"name": "web", "signal": "TERM"})[0] == 204
    assert program.http("POST", f"{path}/signal", {"name": "web", "signal": "NONE"})[0] == 400
    assert program.http("DELETE", f"{path}/web")[0] == 204
    assert program.http("GET", path)[:2] == (200, [])
    assert program.http("GET", f"{path}/web")[0] == 404

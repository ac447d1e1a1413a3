"""Processes that stand beside the daemon: real ones, found and ended by others than who began them."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from skerry.host import companion
from skerry.host.companion import Companion

SLEEP = (
    sys.executable,
    "-c",
    "import sys, time; print('awake', file=sys.stderr); time.sleep(1000)",
)
FAIL = (sys.executable, "-c", "import sys; print('one', file=sys.stderr); sys.exit('it broke')")


def started(folder: Path, command: tuple[str, ...]) -> Companion:
    lock = companion.take_lock(folder / "lock")
    assert lock is not None
    return companion.start(command, lock, [], folder / "err")


def test_one_that_lives_holds_its_lock_and_is_found_by_it(tmp_path: Path) -> None:
    made = started(tmp_path, (*SLEEP, "marked"))

    assert companion.take_lock(tmp_path / "lock") is None
    found = companion.find(tmp_path / "lock", "marked", tmp_path / "err")
    assert found is not None
    assert (found.pid, found.command) == (made.pid, (*SLEEP, "marked"))
    assert companion.find(tmp_path / "lock", "another", tmp_path / "err") is None

    asyncio.run(found.end(20))
    lock = companion.take_lock(tmp_path / "lock")
    assert lock is not None
    os.close(lock)
    found.close()
    made.close()


def test_one_whose_starter_was_killed_at_once_is_found_all_the_same(tmp_path: Path) -> None:
    # Killed within its call: nothing that it would have done after the fork is done.
    starter = (
        "import os; from pathlib import Path; from skerry.host import companion;"
        "companion.os.close = companion.os.pidfd_open = lambda *_: os._exit(0);"
        f"folder = Path({str(tmp_path)!r}); lock = companion.take_lock(folder / 'lock');"
        f"companion.start({(*SLEEP, 'marked')!r}, lock, [], folder / 'err')"
    )
    subprocess.run([sys.executable, "-c", starter], check=True)

    found = companion.find(tmp_path / "lock", "marked", tmp_path / "err")
    assert found is not None
    asyncio.run(found.end(20))
    found.close()


def test_its_last_words_are_told(tmp_path: Path) -> None:
    made = started(tmp_path, FAIL)

    assert asyncio.run(made.ended()) == "it broke"
    made.close()


def test_one_that_does_not_end_is_made_to(tmp_path: Path) -> None:
    deaf = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); open({!r}, 'w'); time.sleep(1000)"
    )
    made = started(tmp_path, (sys.executable, "-c", deaf.format(str(tmp_path / "deaf"))))
    while not (tmp_path / "deaf").exists():
        pass

    asyncio.run(made.end(0.05))
    lock = companion.take_lock(tmp_path / "lock")
    assert lock is not None
    os.close(lock)
    made.close()


def test_one_that_has_ended_already_is_no_trouble(tmp_path: Path) -> None:
    made = started(tmp_path, SLEEP)
    os.kill(made.pid, signal.SIGKILL)

    async def twice() -> None:
        await made.ended()
        await made.end(20)

    asyncio.run(twice())
    made.close()

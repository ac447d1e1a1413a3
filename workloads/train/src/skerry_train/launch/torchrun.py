"""Starting one process for each GPU of this machine, by torchrun.

It does not know what the processes do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType


def is_launched() -> bool:
    """Tell whether torchrun, or what speaks as it does, has started this process."""
    return "WORLD_SIZE" in os.environ


def command(words: Sequence[str], processes: int, restarts: int = 0) -> list[str]:
    """Return the command that runs `skerry-train` with these words in so many processes.

    restarts: how often all are started anew when one has died.
    """
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *torchrun, f"--max-restarts={restarts}", "-m", "skerry_train", *words]


def run(words: Sequence[str], processes: int, restarts: int = 0) -> int:
    """Run `skerry-train` in so many processes and return its exit code: 1 for any that is not 0.

    SIGTERM and Ctrl-C go to them alone, and they save and end: torchrun itself would give them half a
    minute for it, and answer with an error.
    """
    # A group of its own: a terminal's Ctrl-C would reach each of them by itself, and torchrun too.
    with subprocess.Popen(command(words, processes, restarts), process_group=0) as child:  # noqa: S603 - our own program

        def hand_on(_number: int, _frame: FrameType | None) -> None:
            for each in _workers(child.pid) or [child.pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each, signal.SIGTERM)

        before = {each: signal.signal(each, hand_on) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            return child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _workers(pid: int) -> list[int]:
    """Return the processes that a process has started. Source: proc(5), children."""
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []

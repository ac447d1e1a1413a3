"""Starting one process for each GPU of this machine, by torchrun.

It does not know what the processes do.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
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
    """Run `skerry-train` in so many processes and return its exit code.

    SIGTERM and Ctrl-C go on to them, and they save and end.
    """
    # torchrun alone answers 1 whatever its processes say; what they say is on the terminal.
    with subprocess.Popen(command(words, processes, restarts)) as child:  # noqa: S603 - our own program

        def hand_on(number: int, _frame: FrameType | None) -> None:
            child.send_signal(number)

        before = {each: signal.signal(each, hand_on) for each in (signal.SIGTERM, signal.SIGINT)}
        try:
            return child.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

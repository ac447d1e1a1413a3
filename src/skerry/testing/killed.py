"""A daemon that kills itself at a step: `python -m skerry.testing.killed N FILE up [SETTINGS]`.

Every call to the machine that changes something counts twice, before and after; at the Nth count
the process gets SIGKILL, as if the power had gone for it alone. N = 0 never. Counting begins when
FILE is there, which is then told the count.
"""

import argparse
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

from skerry import app, config
from skerry.host.seam import Machine

CHANGES = frozenset(
    (
        "clone_image", "clone_disk", "snapshot", "stage_disk", "swap_disk", "seal_checkpoint",
        "delete_checkpoint", "delete_disks", "save_image", "delete_image", "give_identity",
        "start", "stop",
    )
)  # fmt: skip


class Killer:
    """Stands before a machine and counts. Armed by the creation of the file `armed`."""

    def __init__(self, machine: Machine, kill_at: int, armed: Path) -> None:
        self._machine = machine
        self._kill_at = kill_at
        self._armed = armed
        self._count = 0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the machine has
        attribute = getattr(self._machine, name)
        return self._counted(attribute) if name in CHANGES else attribute

    def _counted(self, call: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
        async def counted(*arguments: object, **named: object) -> object:
            self._step()
            result = await call(*arguments, **named)
            self._step()
            return result

        return counted

    def _step(self) -> None:
        if not self._armed.exists():
            return
        self._count += 1
        self._armed.write_text(str(self._count))
        if self._count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    """Run what `skerry up` runs, with the killer between domain and machine."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kill_at", type=int)
    parser.add_argument("armed", type=Path)
    parser.add_argument("command", choices=["up"])
    config.add_arguments(parser)
    options = parser.parse_args()
    app.run(
        config.from_arguments(options),
        lambda machine: cast("Machine", Killer(machine, options.kill_at, options.armed)),
    )


if __name__ == "__main__":
    main()

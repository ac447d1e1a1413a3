"""What stands of a simulated machine when its daemon ends: disks, running boxes, and what a test set.

How a daemon works on it is in `machine`.
"""

from dataclasses import dataclass, field

from skerry.host.policy_rules import NetworkPolicy
from skerry.host.seam import BoxLimits, Running

Files = dict[str, bytes]


class Crash(BaseException):
    """The daemon ends here, as by SIGKILL: nothing after it runs."""


@dataclass
class Disk:
    """A subvolume: an id and its files."""

    subvolume_id: int
    files: Files
    read_only: bool = False


@dataclass
class BoxData:
    """What the pool holds for one box."""

    disk: Disk | None = None
    checkpoints: dict[str, Disk] = field(default_factory=dict[str, Disk])


@dataclass
class World:
    """What a crash leaves standing. steps counts the machine's changes; crash_at ends one.

    folder: where disks are copied to when somebody wants to see them as directories.
    """

    folder: str
    images: dict[str, Files] = field(default_factory=dict[str, Files])
    boxes: dict[str, BoxData] = field(default_factory=dict[str, BoxData])
    running: dict[str, Running] = field(default_factory=dict[str, Running])
    frozen: set[str] = field(default_factory=set[str])
    cpu_ns: dict[str, int] = field(default_factory=dict[str, int])
    memory_available_share: float = 1.0
    freezes_fail: bool = False
    printed_at_ns: int = 0
    limits: dict[str, BoxLimits] = field(default_factory=dict[str, BoxLimits])
    disk_limits: dict[str, int] = field(default_factory=dict[str, int])
    limits_fail: bool = False
    policies: dict[str, NetworkPolicy] = field(default_factory=dict[str, NetworkPolicy])
    listening: set[int] = field(default_factory=set[int])
    hostnames: dict[str, str] = field(default_factory=dict[str, str])
    subvolumes_made: int = 256
    steps: int = 0
    crash_at: int | None = None
    starts_fail: bool = False

    def step(self) -> None:
        """Count one change of the world; raise Crash instead when it is time."""
        self.steps += 1
        if self.crash_at is not None and self.steps >= self.crash_at:
            raise Crash

    def new_disk(self, files: Files, *, read_only: bool = False) -> Disk:
        """Return a new subvolume with a copy of files."""
        self.subvolumes_made += 1
        return Disk(self.subvolumes_made, dict(files), read_only)

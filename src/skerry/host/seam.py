"""The seam between what Skerry knows (boxes) and the Linux machine that carries it out.

`skerry.host.machine.LinuxMachine` is the real one, `skerry.testing.SimulatedMachine` the one for
tests; one contract suite passes on both. Every call may be repeated after a crash: those that make
something first remove a half made one, those that remove something accept that it is gone.
"""

from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from socket import socket
from typing import Literal, Protocol, TypeAlias

from skerry.host.policy_log import Refusal
from skerry.host.policy_rules import NetworkPolicy


@dataclass(frozen=True, slots=True)
class BoxLimits:
    """What a box may use: CPUs (a fraction is fine), bytes, bytes, tasks."""

    cpus: float
    memory_bytes: int
    disk_bytes: int
    processes: int


@dataclass(frozen=True, slots=True)
class BoxStart:
    """All that is needed to start a box. slot is unique among boxes: address and ids follow it."""

    box_id: str
    slot: int
    hostname: str
    limits: BoxLimits


@dataclass(frozen=True, slots=True)
class Running:
    """A box that runs now. The pair of pid and start time names its first process for good."""

    init_pid: int
    started_ticks: int


@dataclass(frozen=True, slots=True)
class BoxDisk:
    """What the pool holds for one box: subvolume ids.

    disk_id None: there is no disk. checkpoints: by name.
    """

    disk_id: int | None
    checkpoints: Mapping[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class BoxUsage:
    """What a box uses now; None where the kernel does not tell. *_hit count since its start."""

    cpu_ns: int | None = None
    memory_bytes: int | None = None
    disk_bytes: int | None = None
    processes: int | None = None
    memory_hit: int = 0
    processes_hit: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What the kernel has counted of one box; None where it does not tell, or nothing runs.

    epoch: names the life of the counters, which begin at 0 with a start; None while it is stopped.
    memory_bytes leaves out file cache that could be dropped at once. received and sent are the
    box's own. stored_bytes: its disk and checkpoints.
    """

    epoch: str | None = None
    cpu_ns: int | None = None
    memory_bytes: int | None = None
    written_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    stored_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class DiskChange:
    """One path that differs between two states of a disk; paths begin with `/`."""

    path: str
    kind: Literal["added", "modified", "deleted", "renamed", "metadata"]
    from_path: str | None = None


@dataclass(frozen=True, slots=True)
class LogSpec:
    """Where the output of a service goes: a file by that name, of at most so many bytes.

    files_max: how many older ones are kept beside it, compressed.
    """

    name: str
    bytes_max: int
    files_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecSpec:
    """One command to run in a box. argv and env values are bytes: any byte but NUL may stand there.

    user: a name or number in the box's /etc/passwd, None is `box` where it exists, else root.
    env: added to the default environment. disconnect_ns_max: how long it may run on with nobody
    attached, None for ever. contain: end what it left in the background when it ends by itself.
    log: its output goes to a log, and no client gets to see it; it has neither stdin nor terminal.
    """

    argv: Sequence[bytes]
    env: Mapping[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    directory: bytes | None = None
    user: str | None = None
    tty: bool = False
    rows: int = 24
    cols: int = 80
    stdin: bool = False
    contain: bool = False
    disconnect_ns_max: int | None = 10 * 10**9
    log: LogSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionState:
    """What is known of one session."""

    session_id: str
    box_id: str
    argv: tuple[bytes, ...]
    directory: bytes
    tty: bool
    created_at_ns: int
    last_output_at_ns: int
    attached: int
    exit_code: int | None  # None while it runs
    pid: int


@dataclass(frozen=True, slots=True)
class Output:
    """Some bytes that the command wrote; on a terminal both streams are stdout."""

    stream: Literal["stdout", "stderr"]
    data: bytes


@dataclass(frozen=True, slots=True)
class Exit:
    """How the command ended: its exit code, or 128 + the signal. Always the last event."""

    code: int
    notice: str = ""


class SessionLink(Protocol):
    """One client's hold on a session. Closing it leaves the session to its own rules."""

    @property
    def state(self) -> SessionState:
        """What was known of the session when it was joined."""
        ...

    def events(self) -> AsyncIterator[Output | Exit]:
        """Yield recent output first (on attach), then live; ends after Exit.

        Not reading holds the command's own writes back.
        """
        ...

    async def write(self, data: bytes) -> None:
        """Send data to its stdin; waits while the command does not read."""
        ...

    async def write_eof(self) -> None:
        """Close its stdin (a terminal: send end of transmission)."""
        ...

    async def resize(self, rows: int, cols: int) -> None:
        """Give its terminal a new size."""
        ...

    async def signal(self, number: int) -> None:
        """Send a signal to its process group."""
        ...

    async def close(self) -> None:
        """Let go. What happens next is disconnect_ns_max's business."""
        ...


Progress: TypeAlias = Callable[[str], None]
"""Told a line about each step of a long piece of work, from any thread."""


Connection: TypeAlias = tuple[StreamReader, StreamWriter]
"""An open TCP connection to a program in a box."""


class Machine(Protocol):
    """The Linux machine, as far as boxes need it. All ids are safe as file names."""

    @property
    def slot_last(self) -> int:
        """The highest slot that the boxes' network has an address for."""
        ...

    def address_of(self, slot: int) -> str:
        """Return the address of the box with that slot."""
        ...

    # -- disks: durable when the call returns --

    async def clone_image(self, image_id: str, box_id: str, disk_bytes_max: int) -> None:
        """Make a box's disk as a writable snapshot of an image."""
        ...

    async def clone_disk(
        self, source_id: str, checkpoint: str | None, box_id: str, disk_bytes_max: int
    ) -> None:
        """Make a box's disk as a writable snapshot of another's disk, or of its checkpoint."""
        ...

    async def snapshot(self, box_id: str, checkpoint: str) -> int:
        """Keep the disk as it is now as a read-only checkpoint; return its subvolume's id.

        Raises Conflict(nested_subvolumes) if the disk holds subvolumes, which it could not keep.
        """
        ...

    async def stage_disk(self, box_id: str, checkpoint: str, staged_as: str) -> None:
        """Put a writable snapshot of checkpoint beside the checkpoints, under staged_as."""
        ...

    async def swap_disk(self, box_id: str, staged_as: str) -> None:
        """Exchange, in one step, the disk and the staged one.

        The old disk becomes the read-only checkpoint staged_as. The box must be stopped. The one
        call that is not repeated: after a crash the subvolumes' ids tell whether it happened, and
        seal_checkpoint completes it.
        """
        ...

    async def seal_checkpoint(self, box_id: str, checkpoint: str) -> None:
        """Make a checkpoint read-only, as it is unless a crash came between."""
        ...

    async def delete_checkpoint(self, box_id: str, checkpoint: str) -> None:
        """Remove a checkpoint."""
        ...

    async def delete_disks(self, box_id: str) -> None:
        """Remove a box's disk and all its checkpoints. The box must be stopped."""
        ...

    async def disks(self) -> Mapping[str, BoxDisk]:
        """Return what the pool holds, by box id."""
        ...

    async def disk_id(self, box_id: str) -> int | None:
        """Return the id of the subvolume that is a box's disk, None where there is none."""
        ...

    async def limit_disk(self, box_id: str, disk_bytes_max: int) -> None:
        """Change how much a box may keep, checkpoints included."""
        ...

    async def changes(self, box_id: str, old: str, new: str | None) -> Sequence[DiskChange]:
        """Return what differs from checkpoint old to checkpoint new, or to the disk as it is."""
        ...

    async def open_disk(self, box_id: str, checkpoint: str | None) -> int:
        """Return a new O_PATH descriptor of a box's root directory, or of its checkpoint's.

        Raises NotFound(no_such_disk).
        """
        ...

    # -- images --

    async def recipe_parent(self, recipe: str) -> str | None:
        """Return the name of the image that a recipe builds on. Raises NotFound(no_such_recipe)."""
        ...

    async def save_image(self, box_id: str, checkpoint: str | None, image_id: str) -> None:
        """Keep a box's disk, or a checkpoint of it, as an image."""
        ...

    async def build_image(
        self, recipe: str, parent_id: str | None, image_id: str, progress: Progress
    ) -> None:
        """Build an image by the recipe of that name, on top of an image where it has a parent.

        Raises NotFound(no_such_recipe), Failed(image_build_failed).
        """
        ...

    async def import_image(self, path: str, image_id: str, progress: Progress) -> Mapping[str, str]:
        """Make an image of a directory, a tar of a root, an OCI layout or a `docker save` tar.

        Returns the variables that a container image wants its programs to have. Raises Invalid(bad_image), NotFound(no_such_path).
        """
        ...

    async def delete_image(self, image_id: str) -> None:
        """Remove an image; boxes made from it keep what they share."""
        ...

    async def images(self) -> frozenset[str]:
        """Return the ids of the images in the pool."""
        ...

    # -- running --

    async def give_identity(self, box_id: str, hostname: str, *, fresh: bool) -> None:
        """Write hostname, hosts and resolv.conf into the disk.

        fresh: a new machine-id too, and no SSH host keys. A running box's host name changes at
        once.
        """
        ...

    async def start(self, start: BoxStart) -> Running:
        """Start a box and its network; return when execs may begin. Already running: just say so.

        Raises NotAvailable(box_start_failed) with what the runtime said.
        """
        ...

    async def stop(self, box_id: str, grace_ns: int) -> None:
        """End all processes of a box: SIGTERM, then after grace_ns SIGKILL. Gone when it returns."""
        ...

    async def running(self) -> Mapping[str, Running]:
        """Return the boxes that run now, by box id."""
        ...

    def listen_inside(self, box_id: str) -> socket:
        """Return a listening Unix socket that a running box finds at `/.skerry/api.sock`.

        It takes the place of an earlier one; no other box can reach it. Raises OSError, which
        where the box does not run is FileNotFoundError.
        """
        ...

    async def freeze(self, box_id: str) -> None:
        """Stop every process of a running box where it is; its memory stays.

        Raises NotAvailable(box_busy), Conflict(box_not_running), with the box running on.
        """
        ...

    async def thaw(self, box_id: str) -> None:
        """Let a frozen box run on. One that is not frozen, or does not run, is fine."""
        ...

    async def frozen(self) -> frozenset[str]:
        """Return the ids of the running boxes that are frozen."""
        ...

    async def push_out(self, box_id: str) -> None:
        """Move the memory of a frozen box to the host's swap, if it has any; a thaw ends this."""
        ...

    async def cpu_times(self, box_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the nanoseconds of CPU that running boxes have used; those that tell."""
        ...

    async def memory_available_share(self) -> float:
        """Return which part of the host's memory new work could have, 0 to 1."""
        ...

    async def limit(self, box_id: str, limits: BoxLimits) -> None:
        """Change the limits of a running box."""
        ...

    async def usage(self, box_id: str) -> BoxUsage:
        """Return what a box uses now."""
        ...

    async def metered(self, slots: Mapping[str, int]) -> Mapping[str, Metered]:
        """Return what was counted of boxes, given with their slots; in one go, and cheaply."""
        ...

    async def sweep(self, boxes: Mapping[int, str]) -> None:
        """Remove what a killed daemon left: of boxes, links, execs. Nothing may be under way.

        boxes: those that run and shall, by slot; one whose start was cut short is made whole.
        """
        ...

    async def tidy(self) -> None:
        """Remove what ended execs left, and mend what others broke. At any time."""
        ...

    # -- network policy --

    async def set_policy(self, box_id: str, slot: int, policy: NetworkPolicy | None) -> None:
        """Hold a box to a policy, before it starts or while it runs; None leaves its network open.

        Live and in one step: connections to what is not allowed any more are cut. Raises
        NotAvailable(network_unavailable).
        """
        ...

    async def refusals(self, box_id: str, since_ns: int) -> Sequence[Refusal]:
        """Return what the policy of a box refused after since_ns, the oldest first."""
        ...

    # -- services --

    async def connect(self, box_id: str, port: int) -> Connection:
        """Connect to a port of a running box, on its own localhost.

        Raises NotAvailable(port_closed) where nothing listens, Conflict(box_not_running).
        """
        ...

    async def listen_problem(self, listen: str) -> str | None:
        """Return why nobody can listen at ADDRESS:PORT of this machine, None if somebody can."""
        ...

    async def listening(self, first: Running) -> Mapping[int, str]:
        """Return the TCP ports that listen in a box, and on which address.

        first: the box's first process; if it is gone, nothing listens.
        """
        ...

    async def answers(self, box_id: str, port: int, path: str | None) -> bool:
        """Return whether a port of a box listens on its localhost; path: and answers it well."""
        ...

    def service_log(
        self, box_id: str, name: str, *, lines: int, follow: bool
    ) -> AsyncIterator[bytes]:
        """Yield the last lines of a service's log in pieces; follow: then what comes, to its end."""
        ...

    async def delete_service_log(self, box_id: str, name: str) -> None:
        """Delete the log of a service that has ended, if there is one."""
        ...

    # -- execs and sessions --

    async def open_session(self, box_id: str, session_id: str, spec: ExecSpec) -> SessionLink:
        """Start a command in a running box.

        Raises NotFound(command_not_found), Invalid(command_not_runnable, bad_directory, bad_user,
        arguments_too_long), Conflict(box_not_running), LimitReached(processes_limit).
        """
        ...

    async def attach_session(self, box_id: str, session_id: str) -> SessionLink:
        """Join a session. Raises NotFound(session_not_found)."""
        ...

    async def sessions(self, box_id: str) -> Sequence[SessionState]:
        """Return the sessions of a box, the oldest first."""
        ...

    async def end_session(
        self, box_id: str, session_id: str, signal: int, grace_ns: int
    ) -> int | None:
        """Send signal to what a session started, after grace_ns SIGKILL to all of it.

        Returns its exit code. Raises NotFound(session_not_found).
        """
        ...

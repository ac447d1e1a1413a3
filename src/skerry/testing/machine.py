"""A simulated machine: implements host.seam.Machine on a few dicts, and can crash at any step.

It knows just the commands that the contract suite uses. What it must share with the real one is
in `contract.py`, which runs on both.
"""

import asyncio
import contextlib
import dataclasses
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence

from skerry.base import Conflict, NotAvailable, NotFound
from skerry.host.inside import Insides
from skerry.host.policy_log import Refusal
from skerry.host.policy_rules import NetworkPolicy
from skerry.host.seam import (
    BoxDisk,
    BoxLimits,
    BoxStart,
    BoxUsage,
    Connection,
    DiskChange,
    ExecSpec,
    Exit,
    Metered,
    Output,
    Progress,
    Running,
    SessionState,
)
from skerry.testing.world import BoxData, Crash, Files, World

__all__ = ["Crash", "SimulatedMachine", "World"]


class SimulatedMachine:
    """Implements host.seam.Machine over a World."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._links: dict[str, SimulatedLink] = {}
        self._insides = Insides(f"{world.folder}/inside")

    def _box(self, box_id: str) -> BoxData:
        return self.world.boxes.setdefault(box_id, BoxData())

    def _source(self, box_id: str, checkpoint: str | None) -> Files:
        data = self.world.boxes.get(box_id, BoxData())
        disk = data.disk if checkpoint is None else data.checkpoints.get(checkpoint)
        if disk is None:
            raise NotFound("no_such_disk", f"The pool has no disk of {box_id} {checkpoint or ''}.")
        return disk.files

    @property
    def slot_last(self) -> int:
        """Implement the seam."""
        return 2000

    def address_of(self, slot: int) -> str:
        """Implement the seam."""
        return f"10.0.{slot // 256}.{slot % 256}"

    # -- disks --

    async def clone_image(self, image_id: str, box_id: str, disk_bytes_max: int) -> None:
        """Implement the seam."""
        self.world.step()
        if image_id not in self.world.images:
            raise NotFound("no_such_disk", f"The pool has no image {image_id}.")
        self._box(box_id).disk = self.world.new_disk(self.world.images[image_id])
        self.world.disk_limits[box_id] = disk_bytes_max

    async def clone_disk(
        self, source_id: str, checkpoint: str | None, box_id: str, disk_bytes_max: int
    ) -> None:
        """Implement the seam."""
        files = self._source(source_id, checkpoint)
        self.world.step()
        self._box(box_id).disk = self.world.new_disk(files)
        self.world.disk_limits[box_id] = disk_bytes_max

    async def snapshot(self, box_id: str, checkpoint: str) -> int:
        """Implement the seam."""
        files = self._source(box_id, None)
        self.world.step()
        kept = self.world.new_disk(files, read_only=True)
        self._box(box_id).checkpoints[checkpoint] = kept
        return kept.subvolume_id

    async def stage_disk(self, box_id: str, checkpoint: str, staged_as: str) -> None:
        """Implement the seam."""
        files = self._source(box_id, checkpoint)
        self.world.step()
        self._box(box_id).checkpoints[staged_as] = self.world.new_disk(files)

    async def swap_disk(self, box_id: str, staged_as: str) -> None:
        """Implement the seam; the exchange and the sealing are two steps, as they really are."""
        self.world.step()
        data = self._box(box_id)
        assert data.disk is not None
        data.disk, data.checkpoints[staged_as] = data.checkpoints[staged_as], data.disk
        await self.seal_checkpoint(box_id, staged_as)

    async def seal_checkpoint(self, box_id: str, checkpoint: str) -> None:
        """Implement the seam."""
        self.world.step()
        self._box(box_id).checkpoints[checkpoint].read_only = True

    async def delete_checkpoint(self, box_id: str, checkpoint: str) -> None:
        """Implement the seam."""
        self.world.step()
        self._box(box_id).checkpoints.pop(checkpoint, None)

    async def delete_disks(self, box_id: str) -> None:
        """Implement the seam."""
        assert box_id not in self.world.running, "a running box's disk must not go"
        self.world.step()
        if box_id in self.world.boxes:
            self.world.boxes[box_id].disk = None
        self.world.step()
        self.world.boxes.pop(box_id, None)

    async def disks(self) -> Mapping[str, BoxDisk]:
        """Implement the seam."""
        return {
            box_id: BoxDisk(
                data.disk.subvolume_id if data.disk else None,
                {name: disk.subvolume_id for name, disk in data.checkpoints.items()},
            )
            for box_id, data in self.world.boxes.items()
        }

    async def disk_id(self, box_id: str) -> int | None:
        """Implement the seam."""
        disk = (await self.disks()).get(box_id)
        return disk.disk_id if disk else None

    async def limit_disk(self, box_id: str, disk_bytes_max: int) -> None:
        """Implement the seam: kept, though nothing is ever full here."""
        self.world.step()
        self.world.disk_limits[box_id] = disk_bytes_max

    async def changes(self, box_id: str, old: str, new: str | None) -> Sequence[DiskChange]:
        """Implement the seam."""
        before, after = self._source(box_id, old), self._source(box_id, new)
        changes = [DiskChange(p, "added") for p in after if p not in before]
        changes += [DiskChange(p, "deleted") for p in before if p not in after]
        changes += [
            DiskChange(p, "modified") for p in after if p in before and before[p] != after[p]
        ]
        return sorted(changes, key=lambda change: change.path)

    async def open_disk(self, box_id: str, checkpoint: str | None) -> int:
        """Implement the seam with a directory that holds copies of the files."""
        files = self._source(box_id, checkpoint)
        folder = tempfile.mkdtemp(dir=self.world.folder)
        for path, content in files.items():
            target = folder + path
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
        return os.open(folder, os.O_PATH | os.O_DIRECTORY)

    # -- images --

    async def recipe_parent(self, recipe: str) -> str | None:
        """Implement the seam for the two recipes `base` and `dev`."""
        if recipe not in ("base", "dev"):
            raise NotFound("no_such_recipe", f"There is no recipe {recipe!r}.")
        return "base" if recipe == "dev" else None

    async def build_image(
        self, recipe: str, parent_id: str | None, image_id: str, progress: Progress
    ) -> None:
        """Implement the seam."""
        progress(f"building {recipe}")
        self.world.step()
        below = self.world.images[parent_id] if parent_id else {}
        self.world.images[image_id] = {**below, f"/etc/{recipe}": b"built\n"}

    async def import_image(self, path: str, image_id: str, progress: Progress) -> Mapping[str, str]:
        """Implement the seam."""
        progress(f"importing {path}")
        self.world.step()
        self.world.images[image_id] = {"/etc/imported": path.encode()}
        return {"IMPORTED": path}

    async def save_image(self, box_id: str, checkpoint: str | None, image_id: str) -> None:
        """Implement the seam."""
        files = self._source(box_id, checkpoint)
        self.world.step()
        self.world.images[image_id] = dict(files)

    async def delete_image(self, image_id: str) -> None:
        """Implement the seam."""
        self.world.step()
        self.world.images.pop(image_id, None)

    async def images(self) -> frozenset[str]:
        """Implement the seam."""
        return frozenset(self.world.images)

    # -- running --

    async def give_identity(self, box_id: str, hostname: str, *, fresh: bool) -> None:
        """Implement the seam."""
        self.world.step()
        data = self._box(box_id)
        assert data.disk is not None, "identity is given to a box that has a disk"
        data.disk.files["/etc/hostname"] = hostname.encode() + b"\n"
        if fresh or "/etc/machine-id" not in data.disk.files:
            data.disk.files["/etc/machine-id"] = box_id.encode()
        self.world.hostnames[box_id] = hostname

    async def start(self, start: BoxStart) -> Running:
        """Implement the seam."""
        self.world.step()
        if self.world.starts_fail:
            raise NotAvailable("box_start_failed", "This machine was told to fail.")
        known = self.world.running.get(start.box_id)
        running = known or Running(1000 + self.world.steps, self.world.steps)
        self.world.running[start.box_id] = running
        self.world.limits[start.box_id] = start.limits
        return running

    async def stop(self, box_id: str, grace_ns: int) -> None:
        """Implement the seam."""
        self.world.step()
        self.world.running.pop(box_id, None)
        self.world.frozen.discard(box_id)
        for session_id, link in list(self._links.items()):
            if link.state.box_id == box_id:
                link.end(137)
                del self._links[session_id]

    async def running(self) -> Mapping[str, Running]:
        """Implement the seam."""
        return dict(self.world.running)

    def listen_inside(self, box_id: str) -> socket.socket:
        """Implement the seam: the socket is where the real one's is on the host."""
        if box_id not in self.world.running:
            raise FileNotFoundError(box_id)
        self._insides.prepare(box_id)
        return self._insides.listen(box_id)

    async def freeze(self, box_id: str) -> None:
        """Implement the seam."""
        self.world.step()
        if box_id not in self.world.running:
            raise Conflict("box_not_running", "The box does not run.")
        if self.world.freezes_fail:
            raise NotAvailable("box_busy", "This machine was told to fail.")
        self.world.frozen.add(box_id)

    async def thaw(self, box_id: str) -> None:
        """Implement the seam."""
        self.world.step()
        self.world.frozen.discard(box_id)

    async def frozen(self) -> frozenset[str]:
        """Implement the seam."""
        return frozenset(self.world.frozen)

    async def push_out(self, box_id: str) -> None:
        """Implement the seam: there is no swap here."""

    async def cpu_times(self, box_ids: Sequence[str]) -> Mapping[str, int]:
        """Implement the seam: what the test says."""
        return {each: self.world.cpu_ns[each] for each in box_ids if each in self.world.cpu_ns}

    async def memory_available_share(self) -> float:
        """Implement the seam: what the test says."""
        return self.world.memory_available_share

    async def limit(self, box_id: str, limits: BoxLimits) -> None:
        """Implement the seam: kept, though nothing is ever limited here."""
        self.world.step()
        if self.world.limits_fail:
            raise Conflict("limit_below_use", "This machine was told to fail.")
        self.world.limits[box_id] = limits

    async def usage(self, box_id: str) -> BoxUsage:
        """Implement the seam."""
        return BoxUsage()

    async def metered(self, slots: Mapping[str, int]) -> Mapping[str, Metered]:
        """Implement the seam: the CPU time that the test says."""
        return {
            box_id: Metered(
                epoch=str(self.world.running[box_id]) if box_id in self.world.running else None,
                cpu_ns=self.world.cpu_ns.get(box_id, 0),
                stored_bytes=0,
            )
            for box_id in slots
        }

    async def sweep(self, boxes: Mapping[int, str]) -> None:
        """Implement the seam: nothing is ever left behind here."""

    async def tidy(self) -> None:
        """Implement the seam: nothing is ever left behind here."""

    # -- network policy --

    async def set_policy(self, box_id: str, slot: int, policy: NetworkPolicy | None) -> None:
        """Implement the seam: kept, though there is no network here."""
        if policy == self.world.policies.get(box_id):
            return
        self.world.step()
        if policy is None:
            self.world.policies.pop(box_id, None)
        else:
            self.world.policies[box_id] = policy

    async def refusals(self, box_id: str, since_ns: int) -> Sequence[Refusal]:
        """Implement the seam: nobody is refused anything here."""
        return ()

    # -- services --

    async def connect(self, box_id: str, port: int) -> Connection:
        """Implement the seam with a port of this machine, if the test says that it is open."""
        if box_id not in self.world.running:
            raise Conflict("box_not_running", "The box does not run.")
        if port not in self.world.listening:
            raise NotAvailable("port_closed", f"Nothing listens on port {port}.")
        return await asyncio.open_connection("127.0.0.1", port)

    async def listen_problem(self, listen: str) -> str | None:
        """Implement the seam: ports of the privileged are in use here."""
        return "in use" if int(listen.rpartition(":")[2]) < 1024 else None

    async def listening(self, first: Running) -> Mapping[int, str]:
        """Implement the seam: what the test says."""
        ports = self.world.listening if first in self.world.running.values() else ()
        return dict.fromkeys(ports, "127.0.0.1")

    async def answers(self, box_id: str, port: int, path: str | None) -> bool:
        """Implement the seam: what the test says."""
        return box_id in self.world.running and port in self.world.listening

    async def service_log(
        self, box_id: str, name: str, *, lines: int, follow: bool
    ) -> AsyncIterator[bytes]:
        """Implement the seam: there are no logs here."""
        for piece in ():
            yield piece

    async def delete_service_log(self, box_id: str, name: str) -> None:
        """Implement the seam: there are no logs here."""

    # -- execs and sessions --

    async def open_session(self, box_id: str, session_id: str, spec: ExecSpec) -> "SimulatedLink":
        """Implement the seam for the commands of the contract suite."""
        if box_id not in self.world.running:
            raise Conflict("box_not_running", "The box does not run.")
        if box_id in self.world.frozen:
            raise Conflict("box_frozen", "The box is frozen.")
        if spec.argv[0] not in (b"true", b"echo", b"cat", b"tee", b"sh", b"sleep"):
            raise NotFound("command_not_found", f"There is no {spec.argv[0]!r} in the box.")
        state = SessionState(
            session_id=session_id, box_id=box_id, argv=tuple(spec.argv), directory=b"/",
            tty=spec.tty, created_at_ns=0, last_output_at_ns=0, attached=1, exit_code=None, pid=1,
        )  # fmt: skip
        disk = self._box(box_id).disk
        assert disk is not None
        link = SimulatedLink(state, disk.files, has_stdin=spec.stdin)
        self._links[session_id] = link
        return link

    def _link(self, box_id: str, session_id: str) -> "SimulatedLink":
        link = self._links.get(session_id)
        if link is None or link.state.box_id != box_id:
            raise NotFound("session_not_found", f"There is no session {session_id}.")
        return link

    async def attach_session(self, box_id: str, session_id: str) -> "SimulatedLink":
        """Implement the seam."""
        return self._link(box_id, session_id)

    async def sessions(self, box_id: str) -> Sequence[SessionState]:
        """Implement the seam."""
        states = [link.state for link in self._links.values() if link.state.box_id == box_id]
        printed_ns = self.world.printed_at_ns
        return [dataclasses.replace(state, last_output_at_ns=printed_ns) for state in states]

    async def end_session(
        self, box_id: str, session_id: str, signal: int, grace_ns: int
    ) -> int | None:
        """Implement the seam."""
        link = self._link(box_id, session_id)
        link.end(128 + signal)
        return link.state.exit_code


class SimulatedLink:
    """Implements host.seam.SessionLink: runs one toy command on a dict of files."""

    def __init__(self, state: SessionState, files: Files, *, has_stdin: bool) -> None:
        self.state = state
        self._files = files
        self._stdin = b""
        self._events: asyncio.Queue[Output | Exit] = asyncio.Queue()
        if not has_stdin or state.argv[0] in (b"true", b"echo", b"sh"):
            self._run()

    def _run(self) -> None:
        match self.state.argv:
            case (b"true",):
                self.end(0)
            case (b"echo", *words):
                self._say(b" ".join(words) + b"\n")
            case (b"cat",):
                self._say(self._stdin)
            case (b"cat", path):
                content = self._files.get(path.decode())
                self.end(1) if content is None else self._say(content)
            case (b"tee", path):
                self._files[path.decode()] = self._stdin
                self._say(self._stdin)
            case (b"sh", b"-c", script) if script.startswith(b"exit "):
                self.end(int(script.removeprefix(b"exit ")))
            case _:
                pass  # sleeps until it is ended

    def _say(self, data: bytes) -> None:
        if data:
            self._events.put_nowait(Output("stdout", data))
        self.end(0)

    def end(self, code: int) -> None:
        """End the command with code, unless it has ended."""
        if self.state.exit_code is None:
            self.state = dataclasses.replace(self.state, exit_code=code)
            self._events.put_nowait(Exit(code))

    async def events(self) -> AsyncIterator[Output | Exit]:
        """Implement the seam."""
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Exit):
                return

    async def write(self, data: bytes) -> None:
        """Implement the seam."""
        self._stdin += data

    async def write_eof(self) -> None:
        """Implement the seam."""
        self._run()

    async def resize(self, rows: int, cols: int) -> None:
        """Implement the seam: there is no terminal."""

    async def signal(self, number: int) -> None:
        """Implement the seam."""
        self.end(128 + number)

    async def close(self) -> None:
        """Implement the seam."""
        with contextlib.suppress(asyncio.QueueEmpty):
            self._events.get_nowait()

"""The real machine: implements host.seam.Machine on btrfs, LXC, nftables and holder processes.

Puts the parts together and carries what blocks into threads. What each part does is its own affair.
"""

import asyncio
import contextlib
import errno
import functools
import gc
import os
import shutil
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from skerry.base import SkerryError
from skerry.host import (
    box_socket,
    freezer,
    image_build,
    image_import,
    image_recipe,
    meter,
    port_probe,
    service_log,
)
from skerry.host.clock import entropy
from skerry.host.containers import RUNTIME_PATH, Containers
from skerry.host.dns import DnsSockets, open_dns_sockets
from skerry.host.expected_errors import suppress_code
from skerry.host.identity import write_identity
from skerry.host.inside import Insides
from skerry.host.listener import listen_problem
from skerry.host.listening import listening_ports
from skerry.host.network import Network
from skerry.host.policy_log import Refusal
from skerry.host.policy_rules import NetworkPolicy
from skerry.host.policy_service import serve_policies
from skerry.host.pool import Pool
from skerry.host.pool_errors import explained
from skerry.host.resolvers import HostResolvers
from skerry.host.seam import (
    BoxDisk,
    BoxLimits,
    BoxStart,
    BoxUsage,
    Connection,
    DiskChange,
    ExecSpec,
    Metered,
    Progress,
    Running,
    SessionLink,
    SessionState,
)
from skerry.host.sessions import Sessions
from skerry.host.slots import slots_of


def _leave(containers: Containers, rules: Network | None) -> None:
    """Take back what a start made that failed later; boxes that run keep what they need."""
    running = containers.running()
    containers.close()
    if not running:
        containers.retire()
        if rules is not None:
            rules.close()


# Enough that a slow snapshot of one box holds up no other; each thread costs little when idle.
_THREADS = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxMachine:
    """Implements host.seam.Machine; see there for what each call promises."""

    pool: Pool
    containers: Containers
    network: Network
    session_host: Sessions
    insides: Insides
    name_sockets: DnsSockets
    apt_mirror: str | None
    slot_last: int
    slot_users: dict[int, str]

    @classmethod
    def open(  # noqa: PLR0913 - what an owner may set, all of it by name
        cls,
        data: Path,
        *,
        instance: str,
        network: str,
        network_allow: Sequence[str],
        ids_base: int,
        pool_directory: Path | None,
        pool_size_bytes: int | None,
        apt_mirror: str | None,
    ) -> Self:
        """Mount the pool, find the control groups, put the network's rules in force. Blocks.

        Raises NotAvailable with what the machine lacks, Invalid(bad_instance, bad_network,
        bad_ids); nothing stays on the machine then, unless boxes run.
        """
        slot_last = slots_of(instance, network, network_allow, ids_base)
        run_directory = data / "run"
        run_directory.mkdir(mode=0o700, exist_ok=True)
        with contextlib.ExitStack() as undo:
            containers = Containers(
                run_directory=str(run_directory), instance=instance, ids_base=ids_base
            )
            undo.callback(_leave, containers, None)
            rules = Network.open(instance=instance, network=network, allowed_private=network_allow)
            undo.pop_all()
            undo.callback(_leave, containers, rules)
            name_sockets = open_dns_sockets(rules.plan.gateway)
            undo.callback(name_sockets.udp.close)
            undo.callback(name_sockets.tcp.close)
            sessions = Sessions(
                directory=str(run_directory / "sessions"),
                logs=str(data / "logs"),
                program=containers.program,
            )
            # The last that can fail, so that nothing is mounted then.
            pool = Pool.open(data, directory=pool_directory, size_bytes=pool_size_bytes)
            undo.pop_all()
        return cls(
            pool=pool,
            containers=containers,
            network=rules,
            name_sockets=name_sockets,
            session_host=sessions,
            insides=Insides(f"{RUNTIME_PATH}/{instance}/inside"),
            apt_mirror=apt_mirror,
            slot_last=slot_last,
            slot_users={},
        )

    async def begin(self) -> None:
        """Make ready for the first exec, and give this loop threads enough."""
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "machine"))
        await self.session_host.start()

    async def close(self) -> None:
        """Let go. While boxes run, pool and network stay; else nothing of us is left on the host."""
        await self.session_host.close()
        self.name_sockets.udp.close()
        self.name_sockets.tcp.close()
        running = await self.running()
        self.containers.close()
        if not running:
            await asyncio.to_thread(self.containers.retire)
            await asyncio.to_thread(self.network.close)
            # A request that failed may still be held by its own traceback, and a root directory in
            # the pool by the request: until it is collected, the pool is in use.
            gc.collect()
            await asyncio.to_thread(self.pool.close)

    async def serve_names(self) -> None:
        """Answer the boxes' DNS queries, as their policies let them ask, until cancelled."""
        await serve_policies(self.network, self.name_sockets, HostResolvers())

    def address_of(self, slot: int) -> str:
        """Implement the seam."""
        return str(self.network.plan.address(slot))

    # -- disks --

    async def clone_image(self, image_id: str, box_id: str, disk_bytes_max: int) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.clone_image, image_id, box_id, disk_bytes_max)

    async def clone_disk(
        self, source_id: str, checkpoint: str | None, box_id: str, disk_bytes_max: int
    ) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.clone_disk, source_id, checkpoint, box_id, disk_bytes_max)

    async def snapshot(self, box_id: str, checkpoint: str) -> int:
        """Implement the seam."""
        return await asyncio.to_thread(self.pool.snapshot, box_id, checkpoint)

    async def stage_disk(self, box_id: str, checkpoint: str, staged_as: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.stage_disk, box_id, checkpoint, staged_as)

    async def swap_disk(self, box_id: str, staged_as: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.swap_disk, box_id, staged_as)

    async def seal_checkpoint(self, box_id: str, checkpoint: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.seal_checkpoint, box_id, checkpoint)

    async def delete_checkpoint(self, box_id: str, checkpoint: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.delete_checkpoint, box_id, checkpoint)

    async def delete_disks(self, box_id: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.delete_disks, box_id)
        await asyncio.to_thread(
            shutil.rmtree, self.session_host.log_directory(box_id), ignore_errors=True
        )
        self.insides.forget(box_id)

    async def disks(self) -> Mapping[str, BoxDisk]:
        """Implement the seam."""
        return await asyncio.to_thread(self.pool.disks)

    async def disk_id(self, box_id: str) -> int | None:
        """Implement the seam."""
        return await asyncio.to_thread(self.pool.disk_id, box_id)

    async def limit_disk(self, box_id: str, disk_bytes_max: int) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.limit_disk, box_id, disk_bytes_max)

    async def changes(self, box_id: str, old: str, new: str | None) -> Sequence[DiskChange]:
        """Implement the seam."""
        return await asyncio.to_thread(self.pool.changes, box_id, old, new)

    async def open_disk(self, box_id: str, checkpoint: str | None) -> int:
        """Implement the seam."""
        return await asyncio.to_thread(self.pool.open_disk, box_id, checkpoint)

    # -- images --

    async def recipe_parent(self, recipe: str) -> str | None:
        """Implement the seam."""
        return (
            await asyncio.to_thread(
                image_recipe.read_recipe, image_recipe.recipe_directory(), recipe
            )
        ).parent

    async def build_image(
        self, recipe: str, parent_id: str | None, image_id: str, progress: Progress
    ) -> None:
        """Implement the seam."""

        def build() -> None:
            plan = image_recipe.read_recipe(image_recipe.recipe_directory(), recipe)
            with self.pool.new_image(image_id, parent_id) as tree:
                image_build.build_image(plan, str(tree), progress, mirror=self.apt_mirror)

        await asyncio.to_thread(build)

    async def import_image(self, path: str, image_id: str, progress: Progress) -> Mapping[str, str]:
        """Implement the seam."""

        def bring_in() -> Mapping[str, str]:
            with self.pool.new_image(image_id, None) as tree:
                config = image_import.import_image(path, str(tree), progress).config
            return config.environment if config is not None else {}

        return await asyncio.to_thread(bring_in)

    async def save_image(self, box_id: str, checkpoint: str | None, image_id: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.save_image, box_id, checkpoint, image_id)

    async def delete_image(self, image_id: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.pool.delete_image, image_id)

    async def images(self) -> frozenset[str]:
        """Implement the seam."""
        return await asyncio.to_thread(self.pool.images)

    # -- running --

    async def give_identity(self, box_id: str, hostname: str, *, fresh: bool) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self._give_identity, box_id, hostname, fresh=fresh)

    def _give_identity(self, box_id: str, hostname: str, *, fresh: bool) -> None:
        root = self.pool.open_disk(box_id, None)
        try:
            resolver = self.network.plan.resolv_conf
            machine_id = entropy(16).hex()
            write = functools.partial(
                write_identity, root, hostname, resolver, machine_id=machine_id, fresh=fresh
            )
            with explained():
                try:
                    write()
                except OSError as error:
                    if error.errno != errno.EDQUOT:
                        raise
                    with self.pool.more_room(box_id):  # a full box is to start all the same
                        write()
        finally:
            os.close(root)
        if not fresh:
            with suppress_code("box_not_running"):
                self.containers.set_hostname(box_id, hostname)

    async def start(self, start: BoxStart) -> Running:
        """Implement the seam."""
        return await asyncio.to_thread(self._start, start)

    def _start(self, start: BoxStart) -> Running:
        disk, checkpoints = self.pool.paths(start.box_id)
        if self.slot_users.get(start.slot) != start.box_id:
            self.network.forget(start.slot)
            self.slot_users[start.slot] = start.box_id
        running = self.containers.start(start, disk, checkpoints)
        try:
            self._show(start.box_id, running)
            self.network.attach(running.init_pid, start.slot, start.box_id)
        except SkerryError:
            self._stop(start.box_id, 0)
            raise
        return running

    def _show(self, box_id: str, first: Running) -> None:
        logs = self.session_host.log_directory(box_id)
        self.insides.show(box_id, first, self.pool.paths(box_id)[1], logs)

    async def stop(self, box_id: str, grace_ns: int) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self._stop, box_id, grace_ns)

    def _stop(self, box_id: str, grace_ns: int) -> None:
        self.containers.stop(box_id, grace_ns)
        self.insides.remove(box_id)

    def listen_inside(self, box_id: str) -> socket.socket:
        """Implement the seam."""
        return self.insides.listen(box_id)  # a few short calls: a thread would take longer to begin

    async def running(self) -> Mapping[str, Running]:
        """Implement the seam."""
        return await asyncio.to_thread(self.containers.running)

    async def freeze(self, box_id: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.containers.freeze, box_id)

    async def thaw(self, box_id: str) -> None:
        """Implement the seam."""
        self.containers.thaw(box_id)  # one short write: a thread would take longer to begin

    async def frozen(self) -> frozenset[str]:
        """Implement the seam."""
        return await asyncio.to_thread(self.containers.frozen)

    async def push_out(self, box_id: str) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.containers.push_out, box_id)

    async def cpu_times(self, box_ids: Sequence[str]) -> Mapping[str, int]:
        """Implement the seam."""
        return await asyncio.to_thread(self.containers.cpu_times, box_ids)

    async def memory_available_share(self) -> float:
        """Implement the seam."""
        return freezer.memory_available_share()

    async def limit(self, box_id: str, limits: BoxLimits) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.containers.limit, box_id, limits)

    async def usage(self, box_id: str) -> BoxUsage:
        """Implement the seam."""
        return await asyncio.to_thread(self._usage, box_id)

    def _usage(self, box_id: str) -> BoxUsage:
        disk_bytes = self.pool.used_bytes(box_id)
        with suppress_code("box_not_running"):
            use = self.containers.usage(box_id)
            return BoxUsage(
                cpu_ns=use.cpu_ns,
                memory_bytes=use.memory_bytes,
                disk_bytes=disk_bytes,
                processes=use.processes,
                memory_hit=use.memory_hit,
                processes_hit=use.processes_hit,
            )
        return BoxUsage(disk_bytes=disk_bytes)

    async def metered(self, slots: Mapping[str, int]) -> Mapping[str, Metered]:
        """Implement the seam."""
        return await asyncio.to_thread(self._metered, slots)

    def _metered(self, slots: Mapping[str, int]) -> Mapping[str, Metered]:
        plan = self.network.plan
        links = meter.read_links(plan.link_prefix)
        stored = self.pool.stored_bytes()
        running = self.containers.running()
        found: dict[str, Metered] = {}
        for box_id, slot in slots.items():
            first = running.get(box_id)
            if first is None:
                found[box_id] = Metered(stored_bytes=stored.get(box_id))
                continue
            counters = self.containers.counters(box_id, links.get(plan.link_name(slot)))
            found[box_id] = meter.metered_of(first, counters, stored.get(box_id))
        return found

    async def sweep(self, boxes: Mapping[int, str]) -> None:
        """Implement the seam."""
        self.slot_users.update(boxes)
        await asyncio.to_thread(self.containers.sweep)
        await asyncio.to_thread(self.network.sweep, list(boxes))
        await asyncio.to_thread(self._sweep_insides, boxes)
        await self.tidy()

    def _sweep_insides(self, running: Mapping[int, str]) -> None:
        self.insides.sweep(frozenset(running.values()))
        for slot, box_id in running.items():
            # What the box did to its mounts is its own affair, and it may end in this moment.
            with contextlib.suppress(OSError), suppress_code("box_not_running"):
                first = self.containers.entry(box_id).first
                # Its start may have been cut short before it had a network; its walls stand.
                self.network.attach(first.init_pid, slot, box_id)
                self._show(box_id, first)

    async def tidy(self) -> None:
        """Implement the seam."""
        await self.session_host.sweep(await asyncio.to_thread(self.containers.groups))
        await asyncio.to_thread(self.network.repair)
        await asyncio.to_thread(self.pool.drop_stale_groups)

    # -- network policy --

    async def set_policy(self, box_id: str, slot: int, policy: NetworkPolicy | None) -> None:
        """Implement the seam."""
        await asyncio.to_thread(self.network.set_policy, box_id, slot, policy)
        await asyncio.to_thread(self.insides.show_policy, box_id, policy)

    async def refusals(self, box_id: str, since_ns: int) -> Sequence[Refusal]:
        """Implement the seam."""
        return self.network.refusals(box_id, since_ns)

    # -- services --

    async def connect(self, box_id: str, port: int) -> Connection:
        """Implement the seam."""
        return await box_socket.connect(self.containers.entry(box_id).first, port)

    async def listen_problem(self, listen: str) -> str | None:
        """Implement the seam."""
        return listen_problem(listen)

    async def listening(self, first: Running) -> Mapping[int, str]:
        """Implement the seam."""
        return await asyncio.to_thread(listening_ports, first)

    async def answers(self, box_id: str, port: int, path: str | None) -> bool:
        """Implement the seam."""
        try:
            first = self.containers.entry(box_id).first
        except SkerryError:
            return False
        return await port_probe.answers(first, port, path)

    def service_log(
        self, box_id: str, name: str, *, lines: int, follow: bool
    ) -> AsyncIterator[bytes]:
        """Implement the seam."""
        return service_log.read_log(
            self.session_host.log_directory(box_id), name, lines=lines, follow=follow
        )

    async def delete_service_log(self, box_id: str, name: str) -> None:
        """Implement the seam."""
        directory = self.session_host.log_directory(box_id)
        await asyncio.to_thread(service_log.delete_log, directory, name)

    # -- execs and sessions --

    async def open_session(self, box_id: str, session_id: str, spec: ExecSpec) -> SessionLink:
        """Implement the seam."""
        entry = self.containers.entry(box_id)
        return await self.session_host.open(box_id, entry, session_id, spec)

    async def attach_session(self, box_id: str, session_id: str) -> SessionLink:
        """Implement the seam."""
        return await self.session_host.attach(box_id, session_id)

    async def sessions(self, box_id: str) -> Sequence[SessionState]:
        """Implement the seam."""
        return await self.session_host.states(box_id)

    async def end_session(
        self, box_id: str, session_id: str, signal: int, grace_ns: int
    ) -> int | None:
        """Implement the seam."""
        return await self.session_host.end(box_id, session_id, signal, grace_ns)

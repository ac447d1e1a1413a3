"""Boxes that run: starting them under LXC, ending them, their limits and what they use.

What is true is asked of the kernel each time and kept nowhere: a box runs if the control group of
its monitor holds a monitor of ours with a first process. So nothing here has to be read back after
the daemon was killed, and every call may be repeated. One call at a time per box; all block, so
callers on an event loop run them in threads. Disks and networks are the business of others.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from skerry.base import Conflict, Failed, NotAvailable
from skerry.host import cgroup_limits, cgroups, freezer, lxc_config, meter, process, seccomp
from skerry.host.cgroup_limits import INNER
from skerry.host.cgroups import Tree
from skerry.host.data_errors import writing_to
from skerry.host.devices import DeviceGuard
from skerry.host.monitors import Monitor, find_monitor, is_monitor, started_ticks, still_runs
from skerry.host.mount_points import prepare_mount_points, withhold
from skerry.host.seam import BoxLimits, BoxStart, Running
from skerry.host.termination import terminate

# On two cores, 24 boxes start in 0.8 s one by one, 0.5 s two at once, 0.4 s four or eight at once:
# a start mostly waits for the kernel to move processes between control groups.
_STARTS_AT_ONCE = 8
_START_TIMEOUT_NS = 60 * 10**9
_END_TIMEOUT_NS = 10 * 10**9
_LOG_LINES_SHOWN = 6
_PAUSE_S = 0.002
_CLONE_NEWUTS = 0x04000000
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# liblxc takes newuidmap wherever it finds it, and that asks for ranges in /etc/subuid even of root;
# where it finds none it writes the id maps itself, which is what root may do.
_RUNTIME_ENVIRONMENT = {"PATH": "/nonexistent", "LC_ALL": "C.UTF-8"}
# The path that liblxc calls containers by. It wants one that the box's own ids can pass through,
# which the data directory is not: that is for root alone.
RUNTIME_PATH = "/run/skerry"
_RUNTIME_LOCKS = "/run/lxc/lock"  # where liblxc leaves an empty file for each name for good
# Joins a control group, then becomes the command: for machines whose v2 tree the runtime ignores.
_JOIN_AND_RUN = 'echo $$ >"$0" && exec "$@"'


@dataclass(frozen=True, slots=True)
class BoxEntry:
    """All that an exec needs to enter a running box.

    first: names the first process, whose namespaces and capability bounds it takes on. group: the
    box's directory in the v2 tree, in which each exec makes a group of its own. legacy_tasks: the
    v1 files to write itself into besides. freeze_files: cgroup.events and freezer.state of the box.
    processes_directory: holds pids.current and pids.max. memory_counter: its `oom_kill N` counts
    processes ended for want of memory, and `max N` of processes_counter forks that were refused.
    """

    first: Running
    group: str
    legacy_tasks: tuple[str, ...]
    freeze_files: tuple[str, ...]
    processes_directory: str
    memory_counter: str
    processes_counter: str


class Containers:
    """The running boxes of one daemon.

    run_directory: where configurations lie, for root alone. instance: names the control groups;
    two daemons on a machine have different ones. ids_base: first host id of the range that boxes'
    ids are cut from, by slot. Of a box id, only that it is safe as a file name is assumed.
    """

    def __init__(self, *, run_directory: str, instance: str, ids_base: int) -> None:
        """Find the machine's control groups, build the seccomp program, confine start threads.

        `program` is the seccomp program, which also holds for all that enters boxes.

        Raises NotAvailable(cgroups_missing, seccomp_missing, devices_open, command_missing).
        """
        self._instance = instance
        self._ids_base = ids_base
        self._runtime_path = f"{RUNTIME_PATH}/{instance}"
        os.makedirs(self._runtime_path, mode=0o755, exist_ok=True)
        self._found: Mapping[str, Running] = {}
        self._configs = os.path.join(os.path.abspath(run_directory), "lxc")
        os.makedirs(self._configs, mode=0o700, exist_ok=True)
        self.layout = cgroups.find_layout(os.path.join(run_directory, "cgroup2"))
        cgroups.enable_controllers(self.layout, instance)
        self.program = seccomp.build_program()
        self._devices = DeviceGuard()
        self._runtime = _installed("lxc-start", "lxc")
        self._init_program = _installed("catatonit", "catatonit")
        # Boxes are started from threads that live under the filter, so that it holds for the box's
        # first process before its first instruction and for the monitor as well. The rest of the
        # daemon is not under it.
        self._confined = ThreadPoolExecutor(_STARTS_AT_ONCE, "confined-start")
        confined = [
            self._confined.submit(_confine_and_meet, self.program, barrier)
            for barrier in [threading.Barrier(_STARTS_AT_ONCE)]
            for _ in range(_STARTS_AT_ONCE)
        ]
        for each in confined:
            each.result()

    def close(self) -> None:
        """Let the start threads end, after the starts in progress. Boxes run on."""
        self._confined.shutdown()
        self._devices.close()

    def retire(self) -> None:
        """Remove what this instance has on the machine beside boxes: when none runs any more."""
        for tree in (self._boxes(), self._monitors(), self._pivots()):
            for directory in tree.directories():
                with contextlib.suppress(OSError):  # somebody uses it, or it never was
                    os.rmdir(directory)
        shutil.rmtree(self._runtime_path, ignore_errors=True)

    # -- life --

    def start(self, start: BoxStart, disk: str, checkpoints: str) -> Running:
        """Start a box on its disk, which has its checkpoints in a directory of that name.

        Afterwards its limits hold and execs may enter. A box that runs already gets its limits
        again and is otherwise left alone. The caller adds the network and shows it the
        checkpoints, which it will not be able to change.

        Raises NotAvailable(box_start_failed, cgroups_missing, devices_open, data_unwritable),
        LimitReached(data_full), and leaves nothing
        half made then.
        """
        self._await_start(start.box_id)
        monitor = self._monitor(start.box_id)
        if monitor is not None and monitor.first is not None:
            _check_confined(monitor.first.init_pid)
            cgroups.thaw(self._group(start.box_id))
            self._settle(self._group(start.box_id), start.limits)
            return monitor.first
        self._clear(start.box_id)
        cgroups.enable_controllers(self.layout, self._instance)
        prepare_mount_points(disk)
        withhold(checkpoints, lxc_config.NOBODY)
        try:
            with writing_to(self._configs):
                return self._start_new(start, disk)
        except BaseException:
            self._clear(start.box_id)
            raise

    def stop(self, box_id: str, grace_ns: int) -> None:
        """End a box: SIGTERM to all of it but its init, after grace_ns at most SIGKILL.

        Its processes, monitor, control groups and configuration are gone when it returns. A frozen
        box is thawed for it. A box that does not run is fine.

        Raises NotAvailable(cgroup_busy) if it does not die, such as with a process in a dead disk.
        """
        self._await_start(box_id)
        monitor = self._monitor(box_id)
        if monitor is not None and monitor.first is not None and grace_ns > 0:
            cgroups.thaw(self._group(box_id))
            # Its init is spared: it would take the others with it at once.
            terminate(self._group(box_id), monitor.first.init_pid, grace_ns)
        self._clear(box_id)

    def running(self) -> Mapping[str, Running]:
        """Return the boxes that run, by id; one that is just being started is not among them."""
        found = dict[str, Running]()
        for box_id in cgroups.list_children(self._monitors().unified):
            first = self._found.get(box_id)
            if first is None or not still_runs(first):
                monitor = self._monitor(box_id)
                first = monitor.first if monitor is not None else None
            if first is not None:
                found[box_id] = first
        self._found = found  # asked every few seconds: to look for each anew costs four times that
        return found

    def sweep(self) -> None:
        """Remove what boxes that no longer run left: processes, control groups, configurations.

        No box may be started or stopped meanwhile.
        """
        known = set(os.listdir(self._configs))
        for tree in (self._boxes(), self._monitors(), self._pivots()):
            for directory in tree.directories():
                known |= set(cgroups.list_children(directory))
        for box_id in sorted(known):
            self._await_start(box_id)
            monitor = self._monitor(box_id)
            if monitor is None or monitor.first is None:
                self._clear(box_id)
            else:
                self._guard(self._group(box_id))  # one whose start was cut off runs without

    # -- while it runs --

    def limit(self, box_id: str, limits: BoxLimits) -> None:
        """Change the limits of a running box.

        Raises Conflict(box_not_running), Conflict(limit_below_use).
        """
        self._first(box_id)
        cgroup_limits.write_limits(self._group(box_id), limits)

    def freeze(self, box_id: str) -> None:
        """Stop every process of a running box where it is.

        Raises NotAvailable(box_busy), Conflict(box_not_running).
        """
        try:
            freezer.freeze(self._group(box_id))
        except FileNotFoundError as error:
            raise _not_running(box_id) from error

    def thaw(self, box_id: str) -> None:
        """Let a frozen box run on."""
        freezer.thaw(self._group(box_id))

    def frozen(self) -> frozenset[str]:
        """Return the running boxes that are frozen, or were told to be."""
        return frozenset(each for each in self.running() if freezer.is_frozen(self._group(each)))

    def push_out(self, box_id: str) -> None:
        """Move the memory of a frozen box to swap where there is any."""
        freezer.push_out(self._group(box_id))

    def cpu_times(self, box_ids: Iterable[str]) -> Mapping[str, int]:
        """Return the nanoseconds of CPU that boxes have used; those that run."""
        told = {box_id: freezer.cpu_ns(self._group(box_id)) for box_id in box_ids}
        return {box_id: used_ns for box_id, used_ns in told.items() if used_ns is not None}

    def counters(self, box_id: str, link: meter.LinkBytes | None) -> meter.Counters:
        """Return what the kernel has counted of a running box; link: what it counted of its link."""
        return meter.read_counters(self._group(box_id), link)

    def usage(self, box_id: str) -> cgroup_limits.Use:
        """Return what a running box uses. Raises Conflict(box_not_running)."""
        try:
            return cgroup_limits.read_use(self._group(box_id))
        except FileNotFoundError as error:
            raise _not_running(box_id) from error

    def set_hostname(self, box_id: str, hostname: str) -> None:
        """Give a running box another host name at once. Raises Conflict(box_not_running)."""
        first = self._first(box_id)
        try:
            namespace = os.open(f"/proc/{first.init_pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
            try:
                # Asked again after the file is open: now it is that of this process for sure.
                if started_ticks(first.init_pid) != first.started_ticks:
                    raise _not_running(box_id)
                _set_hostname(namespace, hostname)
            finally:
                os.close(namespace)
        except (FileNotFoundError, ProcessLookupError) as error:
            raise _not_running(box_id) from error

    def entry(self, box_id: str) -> BoxEntry:
        """Return what an exec needs to enter a running box. Raises Conflict(box_not_running)."""
        group = self._group(box_id)
        return BoxEntry(
            first=self._first(box_id),
            group=group.unified,
            legacy_tasks=tuple(cgroups.legacy_tasks(group, INNER)),
            freeze_files=tuple(cgroups.freeze_files(group, INNER)),
            processes_directory=group.directory("pids"),
            memory_counter=cgroup_limits.memory_counter(group),
            processes_counter=cgroup_limits.processes_counter(group),
        )

    def groups(self) -> list[str]:
        """Return the directories of the running boxes in the v2 tree, where their execs' lie."""
        return [self._group(box_id).unified for box_id in self.running()]

    # -- starting --

    def _start_new(self, start: BoxStart, disk: str) -> Running:
        box_id = start.box_id
        directory = os.path.join(self._configs, box_id)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        config, log = os.path.join(directory, "config"), os.path.join(directory, "log")
        text = lxc_config.render_config(
            lxc_config.ContainerConfig(
                hostname=start.hostname,
                disk=os.path.abspath(disk),
                init_program=self._init_program,
                first_id=self._ids_base + start.slot * lxc_config.IDS_PER_BOX,
                group=self._group(box_id).path,
                monitor_group=self._monitors().child(box_id).path,
                pivot_group=self._pivots().child(box_id).path,
                limits=cgroup_limits.plan_limits(self.layout, start.limits),
                log=log,
            )
        )
        _replace(config, text.encode())
        command = [self._runtime, "-P", self._runtime_path, "-n", box_id, "-f", config, "-d"]
        if not self.layout.runtime_joins:
            command = ["sh", "-c", _JOIN_AND_RUN, self._make_own_group(box_id), *command]
        lock = os.open(directory, _DIRECTORY)
        try:
            # Held by the runtime until the box runs or cannot, even if the daemon dies meanwhile.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            completed = self._confined.submit(
                process.run_untied,
                command,
                timeout_ns=_START_TIMEOUT_NS,
                environment=_RUNTIME_ENVIRONMENT,
                inherited=(lock,),
            ).result()
        finally:
            os.close(lock)
        if not self.layout.runtime_joins:
            self._move_monitor(box_id)
        monitor = self._monitor(box_id)
        if completed.code != 0 or monitor is None or monitor.first is None:
            raise _start_failed(log, completed)
        try:
            _check_confined(monitor.first.init_pid)
            self._settle(self._group(box_id), start.limits)
        except (FileNotFoundError, ProcessLookupError) as error:  # it ended meanwhile
            raise _start_failed(log, completed) from error
        return monitor.first

    def _await_start(self, box_id: str) -> None:
        """Wait for a start that a daemon before us began and the runtime is still busy with.

        Raises NotAvailable(box_start_failed) if it takes longer than any start.
        """
        try:
            lock = os.open(os.path.join(self._configs, box_id), _DIRECTORY)
        except FileNotFoundError:
            return
        deadline_ns = time.monotonic_ns() + _START_TIMEOUT_NS
        try:
            while not _locked(lock):
                if time.monotonic_ns() > deadline_ns:
                    raise NotAvailable(
                        "box_start_failed",
                        f"Box {box_id} has been starting for too long. See which lxc-start has it "
                        "in its arguments, end that, and try again.",
                    )
                time.sleep(_PAUSE_S)
        finally:
            os.close(lock)

    def _settle(self, group: Tree, limits: BoxLimits) -> None:
        cgroup_limits.write_limits(group, limits)
        self._guard(group)

    def _guard(self, group: Tree) -> None:
        cgroups.withdraw_delegation(group.child(INNER))
        self._devices.attach(group.unified)

    def _make_own_group(self, box_id: str) -> str:
        directory = self._group(box_id).child(INNER).unified
        os.makedirs(directory, mode=0o755, exist_ok=True)
        return f"{directory}/cgroup.procs"

    def _move_monitor(self, box_id: str) -> None:
        target = self._monitors().child(box_id).unified
        os.makedirs(target, mode=0o755, exist_ok=True)
        for pid in cgroups.list_processes(self._group(box_id).unified):
            if is_monitor(pid, self._title(box_id)):
                cgroups.write_value(f"{target}/cgroup.procs", str(pid))

    # -- ending --

    def _clear(self, box_id: str) -> None:
        """End all that there is of a box and remove what it leaves, the configuration last."""
        # The monitor would end by itself once its box has ended, and remove the groups; ending it
        # outright saves it a dozen moves between groups (4 ms and not 6 to 25), and leaves one
        # path to get right. A box that ended by itself may have its monitor tidying up right now,
        # from the group that it pivots to.
        cgroups.kill(self._group(box_id))
        for trees in (self._monitors(), self._pivots(), self._boxes()):
            cgroups.kill_and_remove(trees.child(box_id), _END_TIMEOUT_NS)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{_RUNTIME_LOCKS}{self._runtime_path}/.{box_id}")
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(os.path.join(self._configs, box_id))

    # -- looking --

    def _boxes(self) -> Tree:
        return Tree(self.layout, self._instance)

    def _monitors(self) -> Tree:
        return Tree(self.layout, f"{self._instance}.monitor")

    def _pivots(self) -> Tree:
        return Tree(self.layout, f"{self._instance}.pivot")

    def _group(self, box_id: str) -> Tree:
        return self._boxes().child(box_id)

    def _first(self, box_id: str) -> Running:
        monitor = self._monitor(box_id)
        if monitor is None or monitor.first is None:
            raise _not_running(box_id)
        return monitor.first

    def _title(self, box_id: str) -> str:
        return f"[lxc monitor] {self._runtime_path} {box_id}"

    def _monitor(self, box_id: str) -> Monitor | None:
        return find_monitor(self._monitors().child(box_id).unified, self._title(box_id))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _check_confined(pid: int) -> None:
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        modes = [line.split()[1] for line in file if line.startswith("Seccomp:")]
    assert modes == ["2"], "a box must not run without its seccomp filter"


def _confine_and_meet(program: bytes, barrier: threading.Barrier) -> None:
    """Confine this thread; the barrier makes each thread of the pool take exactly one such job."""
    try:
        seccomp.confine_thread(program)
    finally:
        barrier.wait(timeout=_END_TIMEOUT_NS / 10**9)


def _set_hostname(namespace: int, hostname: str) -> None:
    """Set the host name of a UTS namespace, from a thread that ends with it.

    Namespaces belong to threads, and one that could not go back must not be used again.
    """
    failures = list[int]()

    def work() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        name = hostname.encode()
        if libc.setns(namespace, _CLONE_NEWUTS) != 0 or libc.sethostname(name, len(name)) != 0:
            failures.append(ctypes.get_errno())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if failures:
        raise Failed("hostname_failed", f"The host name was not set: {os.strerror(failures[0])}.")


def _not_running(box_id: str) -> Conflict:
    return Conflict("box_not_running", f"Box {box_id} does not run. Start it first.")


def _start_failed(log: str, completed: process.Completed) -> NotAvailable:
    try:
        with open(log, encoding="utf-8", errors="replace") as file:
            lines = file.read().strip().splitlines()
    except FileNotFoundError:
        lines = []
    said = "\n".join(lines[-_LOG_LINES_SHOWN:]) or completed.last_words() or "nothing"
    return NotAvailable(
        "box_start_failed",
        f"The box did not start. Run `skerry doctor` to check this machine. LXC said:\n{said}",
    )


def _installed(command: str, package: str) -> str:
    path = process.find(command)
    if path is None:
        raise NotAvailable(
            "command_missing", f"{command} is not installed. Run `apt-get install {package}`."
        )
    return path


def _replace(path: str, data: bytes) -> None:
    """Write a file for root alone, whole or not at all; it need not outlive a reboot."""
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)
    os.replace(temporary, path)

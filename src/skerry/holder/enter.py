"""The child's way into a box: from a copy of the holder to the command. Nothing here returns.

The order is the point:

1. Control groups, while the host's files are in sight. A frozen group would stop the child here, so
   the holder looked before, and has a time limit.
2. A session of its own, so that one signal reaches the command and its children.
3. All namespaces in one call. From here on paths are the box's and nothing read is trusted. The
   memory stays hidden from the box (`kernel.hide_memory`) until exec replaces it.
4. Root of the box, without the groups of the host's root, bound to the capabilities that the box's
   first process is bound to. The seccomp filter is there since the zygote loaded it.
5. The user. No no_new_privs: sudo would not work.
6. Pipes or terminal, made *as the user in the box*: /dev/stdout can be opened again only by who
   owns the pipe, and a terminal must be in the box's own devpts to have a name there.
7. exec. The interpreter's own file, which a hostile `#!/proc/self/exe` would run in the box, belongs
   to the host's root, an id that the box does not have, so the box can read and not write it.
"""

import errno
import fcntl
import os
import stat
import sys
from _socket import SCM_RIGHTS, SOL_SOCKET, socket  # `socket` itself takes 2 MB of memory

from skerry.holder import frames, kernel
from skerry.holder.box import Box, full, write_file
from skerry.holder.passwd import User, find_user
from skerry.holder.request import Refusal, Request

_ALL_NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWUTS
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWCGROUP
)
# The last is where every box has `skerry-env`.
_DEFAULT_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/.skerry/bin"
_USER_FILE_BYTES_MAX = 1024 * 1024
_PTMX = os.makedev(5, 2)
_SHOWN_BYTES_MAX = 200


def enter_and_execute(request: Request, box: Box, report: socket) -> None:
    """Become the command of request in box; never returns.

    report gets a map with the child's `pid` (in the box) and `directory` together with the holder's
    ends of stdin, stdout, stderr or of the terminal, and then its end by the exec. Or a list with
    the code and the message of what went wrong.
    """
    try:
        try:
            _enter_and_execute(request, box, report)
        except Refusal as refusal:
            report.send(frames.pack([refusal.code, refusal.message]))
        except Exception as error:  # noqa: BLE001 - the child has nobody else to tell
            text = f"The command could not be started in the box ({error})."
            report.send(frames.pack(["exec_failed", text]))
    finally:
        os._exit(127)


def _enter_and_execute(request: Request, box: Box, report: socket) -> None:
    _join_groups(request)
    os.setsid()
    if box.confinement is not None:
        write_file("/proc/self/attr/exec", b"exec " + box.confinement)
    _enter_namespaces(box)
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    kernel.bound_capabilities(box.capabilities)
    user = _user(request.user)
    _become(user)
    kernel.die_with_parent()
    ends = _open_terminal(request) if request.tty else _open_pipes(request)
    _change_directory(request, user)
    rights = b"".join(end.to_bytes(4, sys.byteorder) for end in ends)
    hello = {"pid": os.getpid(), "directory": os.getcwdb()}
    report.sendmsg([frames.pack(hello)], [(SOL_SOCKET, SCM_RIGHTS, rights)])
    kernel.set_signal(kernel.SIGPIPE, kernel.SIGNAL_DEFAULT)
    kernel.set_signal(kernel.SIGXFSZ, kernel.SIGNAL_DEFAULT)
    kernel.close_all_on_exec()
    _execute(request.argv, _environment(request, user))


def _join_groups(request: Request) -> None:
    try:
        for path in request.legacy_tasks:
            # `tasks` and not `cgroup.procs`: one thread that moves itself needs no lock over all
            # processes, which waits for milliseconds.
            write_file(path, b"0")
    except FileNotFoundError as error:
        raise _not_running() from error


def _enter_namespaces(box: Box) -> None:
    try:
        kernel.set_namespaces(box.pidfd, _ALL_NAMESPACES)
    except ProcessLookupError as error:
        raise _not_running() from error


def _not_running() -> Refusal:
    return Refusal("box_not_running", "The box ended just now. Start it and try again.")


def _user(wanted: bytes | None) -> User:
    user = find_user(_read_hostile("/etc/passwd"), _read_hostile("/etc/group"), wanted)
    if user is None:
        assert wanted is not None, "there is always a default user"
        raise Refusal(
            "bad_user",
            f"The box has no user {_show(wanted)}. Name one of its /etc/passwd, by name or number.",
        )
    return user


def _read_hostile(path: str) -> bytes:
    """Return the beginning of a file of the box's, nothing where it is no regular file."""
    try:
        # A pipe in its place would block without O_NONBLOCK.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return b""
        return os.read(descriptor, _USER_FILE_BYTES_MAX)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _become(user: User) -> None:
    try:
        os.setgroups(user.groups)
        os.setresgid(user.gid, user.gid, user.gid)
        os.setresuid(user.uid, user.uid, user.uid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Refusal(
            "bad_user",
            f"User {_show(user.name)} of the box has an id that a box does not have. Ids in a "
            "box end at 65535; change the line in its /etc/passwd or /etc/group.",
        ) from error


def _open_terminal(request: Request) -> list[int]:
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        main = os.open("/dev/pts/ptmx", flags)
        status = os.fstat(main)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _PTMX:
            raise OSError(errno.ENODEV, "it is something else")
        fcntl.ioctl(main, kernel.TIOCSPTLCK, (0).to_bytes(4, sys.byteorder))
        end = fcntl.ioctl(main, kernel.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
        fcntl.ioctl(main, kernel.TIOCSWINSZ, kernel.window_size(request.rows, request.columns))
        fcntl.ioctl(end, kernel.TIOCSCTTY, 0)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            text = "The host has no terminal left (kernel.pty.max): its boxes use them all."
            raise Refusal("terminal_unavailable", text) from error
        raise Refusal(
            "terminal_unavailable",
            f"The box gives no terminal: /dev/pts/ptmx in it: {error.strerror}. Run the command "
            "without a terminal, or restart the box.",
        ) from error
    for descriptor in range(3):
        os.dup2(end, descriptor)
    return [main, end]


def _open_pipes(request: Request) -> list[int]:
    ends: list[int] = []
    if request.stdin:
        read, write = os.pipe()
        os.dup2(read, 0)
        ends.append(write)
    for descriptor in (1, 2):
        read, write = os.pipe()
        os.dup2(write, descriptor)
        ends.append(read)
    return ends


def _change_directory(request: Request, user: User) -> None:
    """Go where request says: seen from the home; without a word of it home, or else `/`."""
    wanted = request.directory
    if wanted is None or not wanted.startswith(b"/"):
        try:
            os.chdir(user.home)
        except (OSError, ValueError):
            os.chdir("/")
    if wanted is None:
        return
    try:
        os.chdir(wanted)
    except OSError as error:
        raise Refusal(
            "bad_directory",
            f"The command cannot start in {_show(wanted)} of the box as {_show(user.name)}: "
            f"{error.strerror}. Name a directory that is there and may be entered.",
        ) from error


def _environment(request: Request, user: User) -> dict[bytes, bytes]:
    environment = {
        b"PATH": _DEFAULT_PATH,
        b"HOME": user.home,
        b"USER": user.name,
        b"LOGNAME": user.name,
        b"SHELL": user.shell,
        b"LANG": b"C.UTF-8",
    }
    if request.tty:
        environment[b"TERM"] = b"xterm-256color"
    environment.update(request.environment)
    return environment


def _execute(argv: list[bytes], environment: dict[bytes, bytes]) -> None:
    """Replace this process by argv, found as execvp(3) finds it, though never read by a shell."""
    name = argv[0]
    places = environment.get(b"PATH", b"").split(b":")
    paths = [name] if b"/" in name else [(place or b".") + b"/" + name for place in places if name]
    failure = 0
    for path in paths:
        try:
            os.execve(path, argv, environment)  # noqa: S606 - the point: no shell
        except OSError as error:
            code = error.errno or 0
            if code in {errno.ENOENT, errno.ENOTDIR} and not os.path.exists(path):
                continue
            failure = code
            if code != errno.EACCES:  # as a shell does, look on for one that may be run
                break
    raise _refusal_of(name, failure)


def _refusal_of(name: bytes, failure: int) -> Refusal:
    """Return what to say of a command that exec refused; failure 0: it was not found."""
    if failure == 0:
        return Refusal(
            "command_not_found",
            f"There is no command {_show(name)} in the box for this user. Install it, or give its "
            "whole path.",
        )
    if failure == errno.E2BIG:
        return Refusal(
            "arguments_too_long",
            "Arguments and environment are longer than the kernel takes (128 KiB each, a few MiB "
            "in all). Put them into a file, or send them through stdin.",
        )
    if failure == errno.EAGAIN:
        return full()
    reason = {
        errno.ENOENT: "the interpreter that it names is missing",
        errno.ENOEXEC: "it is no program of this machine and has no #! line",
        errno.EACCES: "it is no file that this user may run",
    }.get(failure, os.strerror(failure))
    return Refusal(
        "command_not_runnable",
        f"{_show(name)} in the box cannot be run: {reason}. Check the file and its permissions.",
    )


def _show(text: bytes) -> str:
    return repr(text[:_SHOWN_BYTES_MAX].decode(errors="replace"))

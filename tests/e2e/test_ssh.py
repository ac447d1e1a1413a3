"""The SSH door, by OpenSSH's own client: boxes, files, ports, agents, the control plane."""

import contextlib
import hashlib
import json
import os
import pty
import signal
import socket
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.conftest import Program, free_port
from tests.process import running


@dataclass
class Door:
    """A door on a daemon, and how OpenSSH is told to go there."""

    program: Program
    port: int
    home: Path
    log: Path

    def options(self, key: str = "key", agent: str = "none") -> list[str]:
        """Return the options of every client."""
        return [
            "-F", "/dev/null", "-i", str(self.home / key), "-o", "IdentitiesOnly=yes",
            "-o", f"IdentityAgent={agent}", "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes",
            "-o", f"UserKnownHostsFile={self.home / 'known_hosts'}", "-o", "LogLevel=ERROR",
        ]  # fmt: skip

    def ssh(self, user: str, *words: str, key: str = "key", agent: str = "none") -> list[str]:
        """Return a command line of ssh; words: its options, then a command."""
        return ["ssh", *self.options(key, agent), "-p", str(self.port), "-l", user, *words]

    def run(
        self,
        user: str,
        *command: str,
        options: tuple[str, ...] = (),
        stdin: bytes = b"",
        key: str = "key",
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command to its end."""
        line = self.ssh(user, *options, "127.0.0.1", *command, key=key)
        return subprocess.run(line, input=stdin, capture_output=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def door(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The daemon's door, with one key of a token and one of nobody."""
    home = tmp_path_factory.mktemp("ssh")
    for name in ("key", "strange"):
        make = [
            "ssh-keygen",
            "-q",
            "-t",
            "ed25519",
            "-N",
            "",
            "-C",
            f"{name}@test",
            "-f",
            home / name,
        ]
        subprocess.run(make, check=True)
    token = program.ok("token", "create", "ssh-guest").split()[-1]
    line = (home / "key.pub").read_text()
    status, _, _ = program.http("POST", "/v1/keys", {"public_key": line}, token=token)
    assert status == 201
    opened = Door(program, program.ssh_port, home, program.data / "ssh" / "err")
    scan = subprocess.run(
        ["ssh-keyscan", "-p", str(opened.port), "-t", "ed25519", "127.0.0.1"],
        capture_output=True, check=True,
    )  # fmt: skip
    (home / "known_hosts").write_bytes(scan.stdout)
    yield opened
    print(opened.log.read_text())


def answer_of(descriptor: int, wanted: bytes) -> bytes:
    """Read from a terminal until wanted is there."""
    said = b""
    while wanted not in said:
        piece = os.read(descriptor, 65536)
        assert piece, said
        said += piece
    return said


def test_a_command_is_read_by_a_shell(door: Door, box: str) -> None:
    done = door.run(box, "echo", "one | tr a-z A-Z; id -un; pwd; exit 7")

    assert (done.returncode, done.stdout) == (7, b"ONE\nbox\n/home/box\n")


def test_output_and_errors_stay_apart(door: Door, box: str) -> None:
    done = door.run(box, "echo out; echo err >&2")

    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_ten_megabytes_go_both_ways_unchanged(door: Door, box: str) -> None:
    data = os.urandom(10 << 20)

    done = door.run(box, "tee /tmp/copy | cat; sha256sum < /tmp/copy >&2", stdin=data)

    assert done.stdout == data
    assert done.stderr.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_script_may_come_by_stdin(door: Door, box: str) -> None:
    done = door.run(box, stdin=b"echo hello from $(hostname)\nexit 3\n")

    assert (done.returncode, done.stdout.decode()) == (3, f"hello from {box}\n")


def test_only_what_says_how_to_show_text_is_taken_of_the_environment(door: Door, box: str) -> None:
    options = ("-o", "SetEnv=LANG=C.UTF-8 LC_TIME=C PATH=/evil")

    done = door.run(box, "echo $LANG $LC_TIME; echo $PATH", options=options)

    assert done.stdout.decode().splitlines()[0] == "C.UTF-8 C"
    assert "evil" not in done.stdout.decode()


def test_a_shell_has_a_terminal_that_changes_its_size(door: Door, box: str) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color"}
    line = door.ssh(box, "-tt", "127.0.0.1")
    with running(subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs, env=environment,
                          start_new_session=True)) as shell:  # fmt: skip
        os.write(ours, b"tty; echo term=$TERM\n")
        assert b"/dev/pts/" in answer_of(ours, b"term=xterm-256color")
        termios.tcsetwinsize(ours, (33, 101))
        shell.send_signal(signal.SIGWINCH)
        while b"33 101" not in answer_of(ours, b"$ "):
            os.write(ours, b"stty size\n")
        os.write(ours, b"exit 5\n")
        answer_of(ours, b"exit 5")
        assert shell.wait(timeout=20) == 5
    os.close(ours)
    os.close(theirs)


def test_a_stopped_box_wakes(door: Door, box: str) -> None:
    door.program.ok("stop", box)

    assert door.run(box, "echo awake").stdout == b"awake\n"


def test_files_go_and_come_by_scp_and_sftp(door: Door, box: str, tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "a").write_bytes(data)
    where = f"scp://{box}@127.0.0.1:{door.port}"
    for flags in ([], ["-O"]):
        scp = ["scp", "-q", *flags, *door.options()]
        subprocess.run([*scp, tmp_path / "a", f"{where}//tmp/copied"], check=True, timeout=60)
        subprocess.run([*scp, f"{where}//tmp/copied", tmp_path / "b"], check=True, timeout=60)
        assert (tmp_path / "b").read_bytes() == data
        (tmp_path / "b").unlink()

    batch = b"mkdir d\nput %b d/x\nget d/x %b\nls -l d\n" % (
        bytes(tmp_path / "a"), bytes(tmp_path / "c"),
    )  # fmt: skip
    sftp = ["sftp", "-q", *door.options(), "-P", str(door.port), "-b", "-", f"{box}@127.0.0.1"]
    subprocess.run(sftp, input=batch, check=True, timeout=60, capture_output=True)

    assert (tmp_path / "c").read_bytes() == data
    assert door.run(box, "stat -c %U d/x").stdout == b"box\n"


@contextlib.contextmanager
def forwarding(door: Door, box: str, *options: str) -> Iterator[None]:
    """Have ssh forward while the block runs."""
    line = door.ssh(box, *options, "-o", "ExitOnForwardFailure=yes", "127.0.0.1", "echo up; cat")
    with running(subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"up\n"
        yield
        process.stdin.close()
        assert process.wait(timeout=20) == 0


SERVER = """
import socket
s = socket.create_server(("127.0.0.1", 7001))
print("listening", flush=True)
while True:
    c = s.accept()[0]
    c.sendall(b"you said " + c.recv(100))
    c.close()
"""


@pytest.fixture
def serving(door: Door, box: str) -> Iterator[str]:
    """A box in which something listens on port 7001 of its localhost."""
    line = door.ssh(box, "127.0.0.1", "python3 -u -")
    with running(subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(SERVER.encode())
        process.stdin.close()
        assert process.stdout.readline() == b"listening\n"
        yield box
        process.terminate()


def said_to(port: int, greeting: bytes = b"", skip: int = 0) -> bytes:
    """Say hello at a local port, after a greeting whose answer has skip bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as there:
        stream = there.makefile("rwb")
        if greeting:
            stream.write(greeting)
            stream.flush()
            stream.read(skip)
        stream.write(b"hello")
        stream.flush()
        return stream.read()


def test_a_port_of_the_box_is_forwarded(door: Door, serving: str) -> None:
    port = free_port()
    with forwarding(door, serving, "-L", f"{port}:localhost:7001"):
        assert said_to(port) == b"you said hello"


def test_what_the_box_reaches_is_forwarded(door: Door, serving: str) -> None:
    """By a name that only the box knows, so that it is the box that connects."""
    port = free_port()
    door.run(serving, "echo 127.0.0.1 only-here | sudo tee -a /etc/hosts")
    with forwarding(door, serving, "-L", f"{port}:only-here:7001"):
        assert said_to(port) == b"you said hello"


def test_socks_is_forwarded(door: Door, serving: str) -> None:
    port = free_port()
    socks = b"\x05\x01\x00" + b"\x05\x01\x00\x03\x09localhost" + (7001).to_bytes(2, "big")
    with forwarding(door, serving, "-D", str(port)):
        assert said_to(port, socks, 12) == b"you said hello"


def test_a_closed_port_and_a_port_of_ours_are_refused(door: Door, box: str) -> None:
    port = free_port()
    with (
        forwarding(door, box, "-L", f"{port}:localhost:9"),
        contextlib.suppress(ConnectionError),  # ssh closes it politely, or not
    ):
        assert said_to(port) == b""
    done = door.run(
        box, "true", options=("-R", "7070:localhost:1", "-o", "ExitOnForwardFailure=yes")
    )
    assert done.returncode == 255


def test_an_agent_is_there_while_the_connection_is(door: Door, box: str, tmp_path: Path) -> None:
    path = str(tmp_path / "agent")
    with running(
        subprocess.Popen(["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL)
    ) as agent:
        environment = {**os.environ, "SSH_AUTH_SOCK": path}
        while subprocess.run(["ssh-add", "-q", door.home / "key"], env=environment, check=False,
                             stderr=subprocess.DEVNULL).returncode:  # fmt: skip
            pass
        asked = "ssh-add -l; stat -c %a $SSH_AUTH_SOCK; echo $SSH_AUTH_SOCK"
        line = door.ssh(box, "-A", "127.0.0.1", asked, agent=path)
        done = subprocess.run(line, env=environment, capture_output=True, timeout=60, check=False)
        agent.terminate()
    listed, mode, where = done.stdout.decode().splitlines()
    assert ("key@test" in listed, mode) == (True, "600"), done
    assert door.run(box, f"ls {where}").returncode != 0


def test_the_control_plane_lists_and_makes_boxes_as_the_account(door: Door, box: str) -> None:
    assert door.run("skerry", "create by-ssh --label 'two words'").returncode == 0
    try:
        listed = json.loads(door.run("skerry", "list", "--json").stdout)
        assert {box: [], "by-ssh": ["two words"]}.items() <= {
            each["name"]: each["labels"] for each in listed
        }.items()
        assert door.run("by-ssh", "hostname").stdout == b"by-ssh\n"
    finally:
        done = door.run("skerry", "destroy by-ssh --yes --purge")
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("", 0, "usage: ssh skerry@HOST"),
        ("help create", 0, "--image"),
        ("nothing", 2, "there is no command"),
        ("token list", 2, "not for here"),
        ("list --url http://10.0.0.1/", 2, "not for here"),
        ("list --url=http://10.0.0.1/", 2, "not for here"),
        ("policy set none --file /etc/passwd", 1, "No such file"),
        ("key add /etc/hostname", 1, "No such file"),
        ("key add /proc/self/environ", 1, "No such file"),
        ("info no-such-box", 1, "no-such-box"),
        ("token create mine --scope admin", 2, "not for here"),
        ("exec box -- true", 2, "ssh BOX@HOST"),
        ("'unclosed", 2, "No closing quotation"),
    ],
)
def test_the_control_plane_says_no(door: Door, command: str, code: int, said: str) -> None:
    done = door.run("skerry", *([command] if command else []))

    assert done.returncode == code, done
    assert said in (done.stdout + done.stderr).decode()


def test_the_control_plane_on_a_terminal(door: Door) -> None:
    done = door.run("skerry", "version", options=("-tt",))

    assert (done.returncode, done.stdout[:7]) == (0, b"skerry ")


def test_a_key_may_come_by_stdin(door: Door) -> None:
    line = (door.home / "strange.pub").read_bytes()
    done = door.run("skerry", "key add - --name other", stdin=line)
    assert (done.returncode, done.stdout) == (0, b"other\n")

    assert door.run("skerry", "list", key="strange").returncode == 0
    assert door.run("skerry", "key delete other").returncode == 0
    assert door.run("skerry", "list", key="strange").returncode == 255


def test_a_stranger_is_not_let_in(door: Door, box: str) -> None:
    done = door.run(box, "true", key="strange")

    assert (done.returncode, done.stderr) == (
        255, f"{box}@127.0.0.1: Permission denied (publickey).\r\n".encode(),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["no-such-box", "../etc", "a b", "%2e%2e", "x" * 200])
def test_a_box_that_is_not_there_is_told(door: Door, name: str) -> None:
    done = door.run(name, "true")

    assert done.returncode == 255
    assert b"skerry: " in done.stderr


def processes_of(door: Door, box: str, what: str) -> int:
    """Return how many processes of a box have what in their command line."""
    told = door.program.ok("exec", box, "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    return told.count(what)


@pytest.mark.parametrize("options", [(), ("-tt",)], ids=["command", "terminal"])
def test_nothing_is_left_of_a_client_that_was_killed(
    door: Door, box: str, options: tuple[str, ...]
) -> None:
    line = door.ssh(box, *options, "127.0.0.1", "echo up; sleep 4321 & sleep 4321; sleep 4321")
    with running(subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as client:
        assert client.stdout is not None
        assert client.stdout.readline().strip() == b"up"
        client.kill()
    while processes_of(door, box, "4321") or door.program.json("sessions", box, "list"):
        pass


def test_what_was_made_to_outlive_a_terminal_does(door: Door, box: str) -> None:
    ours, theirs = pty.openpty()
    line = door.ssh(box, "-tt", "127.0.0.1")
    with running(subprocess.Popen(line, stdin=theirs, stdout=theirs, stderr=theirs)) as shell:
        os.write(ours, b"sleep 4323 & setsid sh -c 'echo u''p; exec sleep 4322' &\n")
        answer_of(ours, b"up\r\n")
        shell.kill()
    os.close(ours)
    os.close(theirs)
    while processes_of(door, box, "4323"):
        pass

    assert processes_of(door, box, "4322") == 1


def test_a_box_that_is_destroyed_ends_its_shells(door: Door) -> None:
    door.program.ok("create", "short-lived")
    line = door.ssh("short-lived", "127.0.0.1", "echo up; cat")
    with running(subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"up\n"
        door.program.ok("destroy", "short-lived", "--yes", "--purge")
        assert client.wait(timeout=30) != 0


def test_who_tries_too_many_keys_is_hung_up_on(door: Door, tmp_path: Path) -> None:
    options: list[str] = []
    for number in range(14):
        path = tmp_path / f"k{number}"
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path]
        subprocess.run(make, check=True)
        options += ["-i", str(path)]

    done = door.run("skerry", "list", options=tuple(options), key="strange")

    assert b"Too many keys were tried" in done.stderr


def test_a_crowd_that_does_not_log_in_keeps_nobody_out_for_long(door: Door) -> None:
    with contextlib.ExitStack() as crowd:
        # One more than may stand there from one address is closed at once, without a word.
        standing = [
            crowd.enter_context(socket.create_connection(("127.0.0.1", door.port), timeout=20))
            for _ in range(60)
        ]
        heard = [heard_from(each) for each in standing]
        assert heard.count(b"SSH-2.0-") == 30
    while door.run("skerry", "version").returncode:
        pass


def test_crowds_from_several_addresses_keep_nobody_out(door: Door) -> None:
    with contextlib.ExitStack() as crowds:
        for number in range(120):
            came_from = (f"127.0.1.{number % 4}", 0)
            there = ("127.0.0.1", door.port)
            stream = socket.create_connection(there, timeout=20, source_address=came_from)
            heard_from(crowds.enter_context(stream))

        assert door.run("skerry", "version").returncode == 0


def heard_from(stream: socket.socket) -> bytes:
    """Return the first that is said, b"" if it was closed."""
    with contextlib.suppress(ConnectionError):
        return stream.recv(8)
    return b""


@pytest.fixture
def master(door: Door, box: str, tmp_path: Path) -> Iterator[list[str]]:
    """How ssh uses a connection to a box that stays."""
    control = ["-o", f"ControlPath={tmp_path / 'c'}"]
    subprocess.run(door.ssh(box, *control, "-fNM", "127.0.0.1"), check=True, timeout=60)
    yield door.ssh(box, *control, "127.0.0.1")
    subprocess.run(door.ssh(box, *control, "-q", "-O", "exit", "127.0.0.1"), check=True)


def test_connections_outlive_the_daemon(door: Door, master: list[str]) -> None:
    door.program.kill()
    door.program.start()

    done = subprocess.run([*master, "echo still here"], capture_output=True, timeout=60, check=True)

    assert done.stdout == b"still here\n"


def test_a_connection_without_a_channel_keeps_no_box_awake(
    door: Door, box: str, master: list[str]
) -> None:
    subprocess.run([*master, "true"], check=True, timeout=60)
    assert "It gets warm in" in door.program.ok("why", box)

    with running(subprocess.Popen([*master, "cat"], stdin=subprocess.PIPE)) as command:
        while "session" not in door.program.ok("why", box).splitlines()[0]:
            pass
        command.terminate()


def test_the_log_says_who_came_and_no_secret(door: Door, box: str) -> None:
    door.run(box, "true")
    door.run(box, "true", key="strange")
    refused = f"ssh: 127.0.0.1 was not let in, '{box}'"
    while refused not in (log := door.log.read_text()):  # it is told when the connection has ended
        pass

    assert f"ssh: 127.0.0.1 came as 'ssh-guest', '{box}'" in log
    assert "skerry_pass" not in log

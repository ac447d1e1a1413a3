"""The door's process."""

import socket
import subprocess
import sys
from pathlib import Path

from tests.process import running


def test_a_full_disk_keeps_nobody_out(tmp_path: Path) -> None:
    """The log is on it, and may lose lines; /dev/full is as full as a disk can be."""
    with socket.create_server(("127.0.0.1", 0)) as listener, open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "skerry.ssh", "--data", str(tmp_path), "--listener"]
        number = listener.fileno()
        with running(
            subprocess.Popen([*command, str(number)], pass_fds=[number], stderr=full)
        ) as door:
            with socket.create_connection(listener.getsockname(), timeout=20) as guest:
                assert guest.recv(8) == b"SSH-2.0-"
            door.terminate()
            assert door.wait(timeout=20) == 0

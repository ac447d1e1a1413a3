"""What a box is shown of the host's directories stays the box's own affair, as soon as it is shown."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from skerry.host.box_views import View, show
from tests.process import running

pytestmark = [
    pytest.mark.machine,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root"),
]


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory on a mount whose mounts are passed on, as they are where systemd runs."""
    directory = tmp_path / "shared"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", directory], check=True)
    subprocess.run(["mount", "--make-shared", directory], check=True)
    (directory / "below").mkdir()
    yield directory
    subprocess.run(["umount", "--recursive", directory], check=True)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in user and mount namespaces of its own, like a box's first."""
    command = ["unshare", "--user", "--map-root-user", "--mount", "--propagation", "shared"]
    script = "echo ready; exec sleep 1000"
    with running(
        subprocess.Popen([*command, "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def mounts_of(process: int | str) -> str:
    return Path(f"/proc/{process}/mountinfo").read_text()


def test_what_is_mounted_on_either_side_is_not_seen_on_the_other(
    shared: Path, other: subprocess.Popen[str], tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    view = View(str(shared), str(place), shifted=False)
    show([view], other.pid)
    show([view], other.pid)
    entering = ["nsenter", "--target", str(other.pid), "--user", "--mount", "--"]

    subprocess.run([*entering, "mount", "-t", "tmpfs", "theirs", place / "below"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "ours", shared / "below"], check=True)

    assert mounts_of(other.pid).count(f" {place} ") == 1
    assert "theirs" not in mounts_of("self")
    assert f"{place}/below" in mounts_of(other.pid)
    ours = [line for line in mounts_of(other.pid).splitlines() if " ours " in line]
    assert [line for line in ours if str(place) in line] == []

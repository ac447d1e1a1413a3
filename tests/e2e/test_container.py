"""The image of the object store, built and run by podman on a Debian of our own making.

Needs root, podman and mmdebstrap. Nothing is pulled from a registry of images, and all that podman
keeps lies in a directory that is removed. Containers have no network but their own loopback, in
which clients are started.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import ROOT

# Most of it is packages of Debian and of Python that are fetched.
pytestmark = pytest.mark.timeout(900)

ACCESS, SECRET = "tester", "secret-of-tester"
SUITE = os.environ.get("SKERRY_TEST_SUITE", "trixie")
MIRROR = os.environ.get("SKERRY_APT_MIRROR")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
IMAGES = {
    "objects": ("Containerfile", "."),
    "duckdb": ("packaging/duckdb.Containerfile", "packaging"),
}
# Explicit: podman's defaults exceed what root may set on some machines.
LIMITS = ("--ulimit=nofile=20000:20000", "--ulimit=nproc=19999:19999")
COMPOSED = yaml.safe_load((ROOT / "packaging" / "compose.yaml").read_text())["services"]


class Podman:
    """podman with storage of its own, by whatever driver and runtime work on this machine."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.options: list[str] = []

    def choose(self, base: Path) -> None:
        """Take the first of drivers and runtimes with which the archive of a tree runs."""
        said = ""
        for driver in ("overlay", "vfs"):
            for runtime in ("crun", "runc"):
                self.options = [
                    f"--root={self.directory}/{driver}", f"--runroot={self.directory}/run",
                    f"--tmpdir={self.directory}/tmp", f"--storage-driver={driver}",
                    f"--runtime={runtime}", "--cgroup-manager=cgroupfs", "--events-backend=file",
                ]  # fmt: skip
                done = self.call("import", "--quiet", str(base), "skerry-base")
                if done.returncode == 0:
                    done = self.call(
                        "run", "--rm", "--network=none", *LIMITS, "skerry-base", "true"
                    )
                if done.returncode == 0:
                    return
                said += done.stderr
        pytest.skip(f"podman runs nothing here: {said[-1000:]}")

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["podman", *self.options, *arguments],
            capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def ok(self, *arguments: str) -> str:
        done = self.call(*arguments)
        assert done.returncode == 0, (arguments, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout

    def build(self, name: str) -> None:
        file, context = IMAGES[name]
        secret = [f"--secret=id=authorities,src={AUTHORITIES}"] if AUTHORITIES.exists() else []
        self.ok(
            "build", "--format=docker", "--pull=never", "--network=host", *LIMITS, *secret,
            "--build-arg=BASE=localhost/skerry-base", f"--tag={name}", f"--file={ROOT / file}",
            str(ROOT / context),
        )  # fmt: skip

    def start(self, name: str, *options: str) -> None:
        """Make a container of the object store and wait until it is ready."""
        self.ok("run", "--detach", "--name", name, "--network=none", *LIMITS, *options, "objects")
        self.wait(name)

    def wait(self, name: str) -> None:
        command = ["podman", *self.options, "logs", "--follow", "--since=0s", name]
        following = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert following.stdout is not None
        said: list[str] = []
        for line in following.stdout:
            said.append(line)
            if line.startswith("skerry s3 is ready"):
                break
        following.kill()
        following.communicate(timeout=30)
        assert said, self.call("logs", name)
        assert said[-1].startswith("skerry s3 is ready"), said

    def aws(self, name: str, *words: str, stdin: bytes = b"") -> bytes:
        """Run the AWS command line where the container's loopback is."""
        process = self.ok("inspect", "--format={{.State.Pid}}", name).strip()
        program = ROOT / ".venv" / "bin" / "aws"
        return subprocess.run(
            ["nsenter", f"--target={process}", "--net", program, "--endpoint-url=http://127.0.0.1:9000", *words],
            input=stdin, capture_output=True, timeout=120, check=True,
            env={"AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1", "HOME": str(self.directory), "PATH": os.environ["PATH"]},
        ).stdout  # fmt: skip

    def remove(self) -> None:
        """Have nothing left of all that there is."""
        for words in (("rm", "--all", "--force", "--time=0"), ("volume", "rm", "--all", "--force")):
            self.call(*words)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for each in sorted((m for m in mounts if m.startswith(f"{self.directory}/")), reverse=True):
            subprocess.run(["umount", each], check=True)
        shutil.rmtree(self.directory)


def make_base(archive: Path) -> None:
    """Make the least Debian that packages can be added to."""
    sources = [f"deb {MIRROR} {SUITE} main"] if MIRROR else []
    done = subprocess.run(
        [
            "mmdebstrap", "--quiet", "--mode=root", "--variant=apt", "--skip=check/signed-by",
            f"--keyring={KEYRING}", "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            SUITE, str(archive), *sources,
        ],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def podman() -> Iterator[Podman]:
    """podman with the image of the object store."""
    if os.geteuid() != 0:
        pytest.skip("a Debian is made, and containers of it are run, which needs root")
    for program in ("podman", "mmdebstrap"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    made = Podman(Path(tempfile.mkdtemp(prefix="skerry-podman-", dir="/var/tmp")))
    try:
        archive = made.directory / "base.tar"
        make_base(archive)
        made.choose(archive)
        made.build("objects")
        yield made
    finally:
        made.remove()


def test_objects_outlive_their_container(podman: Podman) -> None:
    keys = [f"--env=AWS_ACCESS_KEY_ID={ACCESS}", f"--env=AWS_SECRET_ACCESS_KEY={SECRET}"]
    settings = [*keys, "--env=SKERRY_BUCKETS=data", "--volume=kept:/data"]
    podman.start("first", *settings)
    podman.aws("first", "s3", "cp", "-", "s3://data/a/key", stdin=b"hello")
    podman.ok("healthcheck", "run", "first")
    assert podman.ok("exec", "first", "id", "-u").strip() == "1000"

    podman.ok("stop", "--time=60", "first")

    # Not 137: it has ended by itself.
    assert podman.ok("inspect", "--format={{.State.ExitCode}}", "first").strip() == "0"
    podman.ok("rm", "first")
    podman.start("second", *settings)
    assert podman.aws("second", "s3", "cp", "s3://data/a/key", "-") == b"hello"
    podman.ok("rm", "--force", "--time=60", "second")


@pytest.mark.parametrize("place", ["volume", "directory"])
def test_it_runs_as_anybody_with_nothing_to_write_but_its_data(podman: Podman, place: str) -> None:
    directory = podman.directory / "theirs"
    directory.mkdir(exist_ok=True)
    os.chown(directory, 1234, 1234)
    where = "any" if place == "volume" else str(directory)
    podman.start(
        place, "--read-only", "--read-only-tmpfs=false", "--user=1234", "--cap-drop=all",
        "--security-opt=no-new-privileges", f"--volume={where}:/data",
    )  # fmt: skip

    podman.ok("healthcheck", "run", place)
    assert podman.ok("exec", place, "cat", "/data/root-key").startswith("SKERRY")
    podman.ok("stop", "--time=60", place)
    assert podman.ok("inspect", "--format={{.State.ExitCode}}", place).strip() == "0"


def test_data_that_are_somebody_elses_are_refused_with_what_to_do(podman: Podman) -> None:
    directory = podman.directory / "somebodys"
    directory.mkdir()
    os.chown(directory, 4321, 4321)

    refused = podman.call(
        "run", "--rm", "--network=none", *LIMITS, f"--volume={directory}:/data", "objects"
    )

    assert refused.returncode == 1
    assert "/data, or something in it, may not be written by user 1000" in refused.stderr
    assert "chown -R 1000 /data" in refused.stderr


def test_duckdb_asks_as_the_compose_file_has_it(podman: Podman) -> None:
    objects, duckdb = COMPOSED["objects"], COMPOSED["duckdb"]
    podman.build("duckdb")
    buckets = re.sub(r"\$\{\w+:-(.*)\}", r"\1", objects["environment"]["SKERRY_BUCKETS"])
    podman.start("lake", f"--env=SKERRY_BUCKETS={buckets}")
    podman.ok("exec", "lake", *objects["healthcheck"]["test"][1:])

    # The two have one loopback here, and a compose file's name for it.
    hosts = podman.directory / "hosts"
    hosts.write_text("127.0.0.1 localhost objects\n")

    there = ("--network=container:lake", f"--volume={hosts}:/etc/hosts:ro", "--read-only")
    said = podman.ok("run", "--rm", *there, *LIMITS, "duckdb", "-csv", *duckdb["command"])

    assert said.splitlines()[-3:] == ["4,143", "5,143", "6,142"]
    podman.ok("rm", "--force", "--time=60", "lake")


@pytest.mark.parametrize(
    ("file", "argument", "home", "pattern"),
    [
        ("Containerfile", "UV_VERSION", "scripts/setup", r"^readonly uv_version=(.*)$"),
        ("packaging/duckdb.Containerfile", "DUCKDB_VERSION", "pyproject.toml", r'"duckdb==(.*)"'),
    ],
)
def test_images_are_made_with_what_the_tests_use(
    file: str, argument: str, home: str, pattern: str
) -> None:
    named = re.findall(pattern, (ROOT / home).read_text(), re.MULTILINE)

    assert named == re.findall(rf"^ARG {argument}=(.*)$", (ROOT / file).read_text(), re.MULTILINE)

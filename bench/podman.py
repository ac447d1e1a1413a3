"""podman as the peer: the same work by its own command, with what it needs on this machine."""

import shutil
import subprocess
from pathlib import Path


class Podman:
    """podman on a root directory. Its network is off, which is in its favour."""

    def __init__(self, rootfs: Path) -> None:
        self._rootfs = rootfs
        # Explicit limits: its defaults exceed what root may set on some machines.
        self._limits = ["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=19999:19999"]
        self._runtime = next(
            runtime
            for runtime in (["--runtime", "crun"], ["--runtime", "runc"], [])
            if self._works(runtime)
        )

    def _works(self, runtime: list[str]) -> bool:
        command = ["podman", *runtime, *self._run_arguments(), "true"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def _run_arguments(self) -> list[str]:
        return ["run", "--rm", "--network", "none", *self._limits, "--rootfs", str(self._rootfs)]

    def describe(self) -> str:
        """Return version and runtime in a few words."""
        version = subprocess.run(
            ["podman", "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()
        return f"{version} {' '.join(self._runtime[1:])}".strip()

    def run(self) -> None:
        """Create a container, run a command in it to its end, remove it."""
        self._call(*self._run_arguments(), "echo", "hi")

    def start(self, name: str) -> None:
        """Start a container that stays."""
        arguments = ["run", "-d", "--name", name, "--network", "none", *self._limits]
        self._call(*arguments, "--rootfs", str(self._rootfs), "sleep", "3600")

    def exec(self, name: str) -> None:
        """Run a command in a container."""
        self._call("exec", name, "echo", "hi")

    def remove(self, name: str) -> None:
        """End a container and remove it."""
        self._call("rm", "-f", "-t", "0", name)

    def _call(self, *arguments: str) -> None:
        subprocess.run(
            ["podman", *self._runtime, *arguments], check=True, stdout=subprocess.DEVNULL
        )


def present() -> bool:
    """Return whether podman is installed."""
    return shutil.which("podman") is not None

"""Building an image by its recipe, in a directory that the caller made and throws away on failure.

A recipe with a suite begins with mmdebstrap, one with a parent with the copy of the parent's tree
that the caller made. Packages and steps then run in a chroot that has mount, process and host name
namespaces of its own: whatever happens to this process or to the build, its mounts and processes
are gone with it. It is no jail. What runs in it is root on the host, so trees that were imported,
or saved from a box, must never be a recipe's parent.

This file knows neither the pool nor what an image is called there.
"""

import os
import select
import shlex
import stat
import subprocess
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from skerry.base import Failed, Invalid, NotAvailable
from skerry.host.image_recipe import Recipe
from skerry.host.process import SYSTEM_PATH, find

Progress: TypeAlias = Callable[[str], None]

# Debian's own keys, which its package for Ubuntu brings too. mmdebstrap could find them by itself,
# but would then write the path into the image's sources where the host's apt does not know them.
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

BUILD_NS_MAX = 30 * 60 * 10**9  # the base takes half a minute, a slow mirror some minutes

_LINES_KEPT = 30  # what an error shows of the build's last words
_LINE_BYTES_MAX = 16 * 1024
_STEP = "skerry step: "  # begins the lines by which the script tells how far it is
_TOLD = (_STEP, "I: ", "Setting up ")
# Of mmdebstrap's own lines, those that say nothing about how far it is.
_NOT_TOLD = ("I: chroot architecture", "I: skipping", "I: automatically", "I: success")

# Passed on to the build: how the host reaches the world, and where it gets packages from.
_PASSED_ON = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("PIP_INDEX_URL", "NPM_CONFIG_REGISTRY"),
)
# Where programs look for the authorities that they trust. A build trusts those that its host does
# (a company's own, say); they lie in the build's /dev and do not stay in the image.
_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_AUTHORITIES_NAMES = ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "PIP_CERT", "NODE_EXTRA_CA_CERTS")

# Everything dies with the first process of the process namespace, and that with this thread.
_ALONE = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--mount", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc", "--"),
)

# $1 is the tree, $2 the script. What the build needs of the host lies in the build's own /dev.
_ENTER = """
tree=$1
find "$tree/dev" -mindepth 1 -delete  # an image holds no devices: each box gets a /dev of its own
hostname localhost
mount -t proc -o nosuid,nodev,noexec proc "$tree/proc"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$tree/sys"
mount -t tmpfs -o mode=755,size=64m,nosuid tmpfs "$tree/dev"
cd "$tree/dev"
mkdir pts shm skerry
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts pts
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs shm
for node in 'null 3' 'zero 5' 'full 7' 'random 8' 'urandom 9'; do
  mknod -m 666 "${node% *}" c 1 "${node#* }"
done
mknod -m 666 tty c 5 0
ln -s pts/ptmx ptmx
ln -s /proc/self/fd fd
ln -s fd/0 stdin
ln -s fd/1 stdout
ln -s fd/2 stderr
cp /etc/resolv.conf skerry/resolv.conf
if [ -e "$3" ]; then cp "$3" skerry/authorities; fi
printf '%s' "$2" >skerry/build
exec chroot "$tree" /bin/sh -eu /dev/skerry/build
"""

_BEGIN = """
cd /
rm -f /etc/resolv.conf
cp /dev/skerry/resolv.conf /etc/resolv.conf
printf '127.0.0.1 localhost\\n::1 localhost\\n' >/etc/hosts
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d  # packages shall start no services here
chmod 0755 /usr/sbin/policy-rc.d
if [ -e /etc/dpkg/dpkg.cfg.d/99mmdebstrap ]; then
  mv /etc/dpkg/dpkg.cfg.d/99mmdebstrap /etc/dpkg/dpkg.cfg.d/skerry
fi
"""

# Nothing is flushed for each package: the tree counts only when it is whole.
_INSTALL = """
apt-get -q -o Acquire::Retries=3 update
apt-get -q -y --no-install-recommends -o Acquire::Retries=3 -o DPkg::Options::=--force-unsafe-io \\
  install """

# Each box gets its own machine-id, SSH host keys, hostname, hosts and resolv.conf when it is made.
_CLEAN = """
cd /
rm -f /usr/sbin/policy-rc.d /etc/ssh/ssh_host_* /var/lib/dbus/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -rf /var/cache/ldconfig/* /root/.cache /root/.npm /root/.wget-hsts
find /tmp /var/tmp /run -mindepth 1 -delete
find /var/log -type f -delete
for file in machine-id resolv.conf hostname; do rm -f "/etc/$file"; : >"/etc/$file"; done
"""


def build_image(
    recipe: Recipe,
    tree: str,
    progress: Progress,
    *,
    mirror: str | None = None,
    timeout_ns: int = BUILD_NS_MAX,
) -> None:
    """Make of tree what recipe says, and leave no mount or process behind in any case.

    tree is an absolute path: an empty directory where recipe has a suite, a writable copy of the
    parent's tree where it has a parent. mirror is the address of a Debian mirror to use in place of
    mmdebstrap's own choice; the image's apt sources then name it too. progress is told each step;
    what it raises ends the build. Blocks for as long as the build takes.

    Raises Failed(image_build_failed) with the build's last lines, NotAvailable(command_missing,
    keyring_missing, image_build_timed_out), Invalid(bad_image) for a parent that cannot be entered.
    """
    deadline_ns = time.monotonic_ns() + timeout_ns
    if recipe.suite is not None:
        progress(f"fetching Debian {recipe.suite}")
        _follow(bootstrap_command(recipe, tree, mirror), deadline_ns, progress)
    _require_mount_points(tree)
    command = (*_ALONE, "/bin/sh", "-eu", "-c", _ENTER, "enter", tree, _script(recipe))
    _follow((*command, _AUTHORITIES), deadline_ns, progress)


def bootstrap_command(recipe: Recipe, tree: str, mirror: str | None) -> Sequence[str]:
    """Return the command that fills tree with the packages of a recipe that has a suite.

    Raises NotAvailable(keyring_missing).
    """
    assert recipe.suite is not None
    if not os.path.exists(KEYRING):
        raise NotAvailable(
            "keyring_missing",
            f"{KEYRING} is missing, without which no Debian package can be trusted. "
            "Install the package debian-archive-keyring.",
        )
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.leave_out]
    options += [f"--dpkgopt=path-include={pattern}" for pattern in recipe.keep]
    if recipe.packages:
        options.append(f"--include={','.join(recipe.packages)}")
    suites = [] if mirror is None else [recipe.suite, f"{recipe.suite}-updates"]
    sources = [f"deb {mirror} {suite} main" for suite in suites]
    return (
        *(*_ALONE, "mmdebstrap", "--mode=root", "--variant=apt", "--format=directory"),
        *("--skip=check/signed-by", f"--keyring={KEYRING}", *options),
        *(recipe.suite, tree, *sources),
    )


def _require_mount_points(tree: str) -> None:
    """Refuse a tree whose own links would lead the mounts of `_ENTER` out of it."""
    for path in ("proc", "sys", "dev"):
        try:
            mode = os.lstat(os.path.join(tree, path)).st_mode
        except FileNotFoundError:
            mode = 0
        if not stat.S_ISDIR(mode):
            raise Invalid(
                "bad_image",
                f"/{path} is no directory in the parent image. Build the parent by its recipe.",
            )


def _script(recipe: Recipe) -> str:
    """Return the shell script that root runs in the new tree."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in _environment().items()]
    lines.append(f"if [ -e /dev/skerry/authorities ]; then export{_authorities()}; fi")
    lines.append(_BEGIN)
    if recipe.parent is not None and recipe.packages:
        lines += [_telling(f"installing {len(recipe.packages)} packages and what they need")]
        lines += [_INSTALL + shlex.join(recipe.packages)]
    for number, step in enumerate(recipe.steps, 1):
        lines += [_telling(f"step {number} of {len(recipe.steps)}")]
        # A shell of its own, so that a step's cd, variables and exit end with it.
        lines += [f"/bin/sh -eu -c {shlex.quote(_unindented(step))} </dev/null"]
    lines += [_telling("cleaning up"), _CLEAN]
    return "\n".join(lines)


def _unindented(step: str) -> str:
    """Return step without the indentation that its TOML file gives it: here-documents end at 0."""
    return "\n".join(line.removeprefix("  ") for line in step.split("\n"))


def _authorities() -> str:
    return "".join(f" {name}=/dev/skerry/authorities" for name in _AUTHORITIES_NAMES)


def _telling(text: str) -> str:
    return f"echo {shlex.quote(_STEP + text)}"


def _environment() -> Mapping[str, str]:
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "PATH": SYSTEM_PATH,
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        **passed_on,
    }


def _follow(command: Sequence[str], deadline_ns: int, progress: Progress) -> None:
    """Run command to its end and tell progress what it says of its steps.

    Raises Failed(image_build_failed), NotAvailable(command_missing, image_build_timed_out).
    """
    for name in ("setpriv", "unshare", "mmdebstrap"):
        if name in command and find(name) is None:
            raise NotAvailable(
                "command_missing",
                f"{name} is not installed. Run `skerry doctor` for what to install.",
            )
    last_lines: deque[str] = deque(maxlen=_LINES_KEPT)
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=_environment(),
        cwd="/",
    ) as process:
        assert process.stdout is not None
        try:
            _read_lines(process.stdout.fileno(), deadline_ns, last_lines, progress)
        except BaseException:
            process.kill()
            raise
        code = process.wait()
    if code != 0:
        raise Failed(
            "image_build_failed",
            f"The build ended with exit code {code}: {_reason(last_lines)} "
            "What it last said is in the details.",
            {"last_lines": list(last_lines)},
        )


def _read_lines(
    descriptor: int, deadline_ns: int, last_lines: deque[str], progress: Progress
) -> None:
    """Read until nobody holds the other end: the build and all that it started are gone then."""
    rest = b""
    while True:
        wait_s = (deadline_ns - time.monotonic_ns()) / 1e9
        if wait_s <= 0 or not select.select([descriptor], [], [], wait_s)[0]:
            raise NotAvailable(
                "image_build_timed_out",
                "The build took longer than it may and was ended. Try again, or name a nearer "
                "Debian mirror with SKERRY_APT_MIRROR.",
                {"last_lines": list(last_lines)},
            )
        data = os.read(descriptor, 65536)
        if not data:
            return
        *lines, rest = (rest + data).replace(b"\r", b"\n").split(b"\n")
        rest = rest[-_LINE_BYTES_MAX:]
        for line in lines:
            text = line[:_LINE_BYTES_MAX].decode(errors="replace").strip()
            if not text:
                continue
            last_lines.append(text)
            if text.startswith(_TOLD) and not text.startswith(_NOT_TOLD):
                progress(text.removeprefix(_STEP).removeprefix("I: "))


def _reason(last_lines: Sequence[str]) -> str:
    """Return the line that most likely says why the build failed, as a sentence."""
    for line in reversed(last_lines):
        if line.startswith(("E: ", "ERROR: ", "error: ")):
            return line.partition(": ")[2].rstrip(".") + "."
    return (last_lines[-1].rstrip(".") if last_lines else "it said nothing") + "."

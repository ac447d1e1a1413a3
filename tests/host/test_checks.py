"""What `skerry doctor` makes of what it reads."""

from pathlib import Path

import pytest

from skerry.host import checks
from skerry.host.cgroups import Layout
from skerry.host.checks import Check

GIB = 1 << 30


def row(check: Check, state: str, word: str) -> None:
    assert check.state == state
    assert word in f"{check.found} {check.advice}"
    assert check.advice or state == "ok", "what is wrong comes with advice"


def test_kernels():
    row(checks.judge_kernel("6.1.0-28-amd64"), "ok", "6.1")
    row(checks.judge_kernel("5.10.0-8-amd64"), "missing", "5.15")
    row(checks.judge_disk_limits("6.12.1"), "ok", "simple")
    row(checks.judge_disk_limits("6.1.0-28-amd64"), "warning", "backports")


def test_user_namespaces():
    row(checks.judge_user_namespaces("96365"), "ok", "96365")
    row(checks.judge_user_namespaces("0"), "missing", "sysctl")
    row(checks.judge_user_namespaces(None), "missing", "CONFIG_USER_NS")


def test_programs_and_libraries():
    row(checks.judge_lxc("5.0.2"), "ok", "5.0.2")
    row(checks.judge_lxc("4.0.12"), "missing", "5.0")
    row(checks.judge_lxc(None), "missing", "apt-get install lxc")
    row(checks.judge_program("catatonit", "catatonit", "missing", None), "missing", "apt-get")
    row(checks.judge_program("mmdebstrap", "mmdebstrap", "warning", None), "warning", "apt-get")
    row(checks.judge_seccomp((2, 5, 4)), "ok", "2.5.4")
    row(checks.judge_seccomp((2, 4, 9)), "missing", "2.5")
    row(checks.judge_seccomp(None), "missing", "libseccomp2")
    row(checks.judge_nftables(has_library=False), "missing", "libnftables1")
    row(checks.judge_btrfs(has_driver=False), "missing", "modules")


def test_control_groups(tmp_path: Path):
    (tmp_path / "cgroup.controllers").write_text("cpu pids")
    bare = Layout(str(tmp_path), {}, runtime_joins=True)
    divided = Layout(str(tmp_path), {"memory": "/m"}, runtime_joins=True)

    row(checks.judge_control_groups(None), "ok", "version 1")
    row(checks.judge_control_groups(divided), "ok", "memory in version 1")
    row(checks.judge_control_groups(bare), "missing", "no controller for memory")


def test_room():
    row(checks.judge_disk_space(100 * GIB), "ok", "100 GiB")
    row(checks.judge_disk_space(5 * GIB), "warning", "10 GiB")
    row(checks.judge_disk_space(GIB), "missing", "--data")
    row(checks.judge_open_files(1024), "warning", "LimitNOFILE")
    row(checks.judge_open_files(-1), "ok", "any number")
    row(checks.judge_inotify("128"), "warning", "max_user_instances")
    row(checks.judge_inotify("65536"), "ok", "65536")


def test_apparmor():
    profiles = "/usr/bin/lxc-start (enforce)\nlxc-container-default (enforce)\n"

    row(checks.judge_apparmor(None, None), "ok", "not in use")
    row(checks.judge_apparmor("Y", None), "ok", "not confined")
    row(checks.judge_apparmor("Y", profiles), "ok", "apparmor_parser -R")


def test_swap_and_network():
    row(checks.judge_swap("Filename Type\n"), "ok", "none")
    row(checks.judge_swap("Filename Type\n/dev/zram0 partition\n"), "ok", "1 in use")
    row(checks.judge_network(["Chain a drops."]), "warning", "Chain a drops.")
    row(checks.judge_network([]), "ok", "nothing")


def test_who_asks():
    row(checks.judge_user(0), "ok", "root")
    row(checks.judge_user(1000), "missing", "sudo")


def test_a_warning_stops_nothing():
    warning = Check("a", "warning", "", "b")

    assert checks.can_run([warning])
    assert not checks.can_run([warning, Check("c", "missing", "", "d")])


@pytest.mark.machine
def test_all_checks_are_made_on_any_machine(tmp_path: Path):
    names = [check.name for check in checks.check_machine(str(tmp_path / "not" / "there"))]

    assert {"root", "kernel", "lxc", "control groups", "disk space", "network"} <= set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("size", "state"), [("1024\n", "warning"), ("65536\n", "ok"), (None, "ok")]
)
def test_a_table_that_one_box_can_fill_is_told(size: str | None, state: str) -> None:
    check = checks.judge_shared("terminals", "kernel.pty.max", 65_536, lambda _: size)

    assert check.state == state
    assert ("sysctl -w kernel.pty.max=262144" in check.advice) == (state == "warning")

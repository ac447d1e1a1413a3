"""The text that the runtime reads."""

import dataclasses

import pytest

from skerry.host.cgroup_limits import Setting
from skerry.host.lxc_config import ContainerConfig, render_config

CONFIG = ContainerConfig(
    hostname="one",
    disk="/data/pool/boxes/b/disk",
    init_program="/usr/bin/catatonit",
    first_id=1_000_131_072,
    group="skerry/b",
    monitor_group="skerry.monitor/b",
    pivot_group="skerry.pivot/b",
    limits=[Setting(1, "pids", "pids.max", "7"), Setting(2, "cpu", "cpu.max", "1 2")],
    log="/data/run/lxc/b/log",
)


def lines(config: ContainerConfig) -> list[str]:
    return render_config(config).splitlines()


def test_a_box_has_ids_of_its_own_on_an_unshifted_disk():
    text = lines(CONFIG)

    assert "lxc.idmap = u 0 1000131072 65536" in text
    assert "lxc.idmap = g 0 1000131072 65536" in text
    assert "lxc.rootfs.options = idmap=container,noatime" in text


def test_limits_go_to_the_version_that_has_them():
    text = lines(CONFIG)

    assert "lxc.cgroup.pids.max = 7" in text
    assert "lxc.cgroup2.cpu.max = 1 2" in text


def test_white_space_in_a_path_stays_one_field():
    text = lines(dataclasses.replace(CONFIG, init_program="/opt/my programs/catatonit"))

    assert any("/opt/my\\040programs/catatonit .skerry/init" in line for line in text)


def test_no_value_can_begin_another_line():
    with pytest.raises(AssertionError):
        render_config(dataclasses.replace(CONFIG, hostname="a\nlxc.idmap = u 0 0 1"))
